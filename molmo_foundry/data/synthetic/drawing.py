# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A canvas that is drawn larger and then reduced, for smooth edges; colours; text."""

import io

from PIL import Image, ImageDraw, ImageFont

RGB = tuple[int, int, int]

COLORS: dict[str, RGB] = {
    'red': (214, 40, 40),
    'green': (46, 160, 67),
    'blue': (40, 90, 214),
    'yellow': (245, 205, 40),
    'purple': (142, 68, 173),
    'orange': (243, 126, 29),
}
PAPER: dict[str, RGB] = {'white': (248, 248, 248), 'gray': (200, 200, 200)}
INK: RGB = (24, 24, 24)

_SUPERSAMPLING = 4
_JPEG_QUALITY = 92


class Canvas:
    """A picture that is being drawn; lengths are in pixels of the outcome.

    Args:
        width (int): Width.
        height (int): Height.
        background (RGB): Colour of the paper.
    """

    def __init__(self, width: int, height: int, background: RGB):
        self.width = width
        self.height = height
        self._image = Image.new('RGB', (width * _SUPERSAMPLING, height * _SUPERSAMPLING), background)
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, corners: list[tuple[float, float]], color: RGB) -> None:
        """A filled polygon."""
        self._draw.polygon([_scaled(corner) for corner in corners], fill=color)

    def rectangle(self, box: tuple[float, float, float, float], color: RGB) -> None:
        """A filled rectangle: left, top, right, bottom."""
        left, top, right, bottom = box
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], color)

    def line(self, points: list[tuple[float, float]], color: RGB, width: float) -> None:
        """A line through points."""
        self._draw.line([_scaled(point) for point in points], color, round(width * _SUPERSAMPLING), joint='curve')

    def disc(self, center: tuple[float, float], radius: float, color: RGB) -> None:
        """A filled circle."""
        x, y = center
        box = _scaled((x - radius, y - radius)) + _scaled((x + radius, y + radius))
        self._draw.ellipse(box, fill=color)

    def text(self, text: str, center: tuple[float, float], size: float, color: RGB) -> None:
        """A line of text around a point, in the font that comes with Pillow."""
        font = ImageFont.load_default(round(size * _SUPERSAMPLING))
        self._draw.text(_scaled(center), text, fill=color, font=font, anchor='mm')

    def encode(self) -> bytes:
        """The picture as a JPEG file."""
        file = io.BytesIO()
        self._image.reduce(_SUPERSAMPLING).save(file, 'JPEG', quality=_JPEG_QUALITY, subsampling=0)
        return file.getvalue()


def _scaled(point: tuple[float, float]) -> tuple[float, float]:
    return point[0] * _SUPERSAMPLING, point[1] * _SUPERSAMPLING
