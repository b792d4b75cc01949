# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Points in an answer: found with what they are called, and drawn on the image."""

import re
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from molmo_foundry.processing.points import parse_points

_TAG = re.compile(r'<points?\b[^<>]*>(?P<text>[^<>]*)</points?>')
_FILL, _EDGE = '#e6007e', '#ffffff'


@dataclass(frozen=True)
class NamedPoint:
    """A point of an answer.

    Attributes:
        name: What the tag that it stands in shows; empty outside of tags.
        x: Percent of the image's width.
        y: Percent of its height.
    """

    name: str
    x: float
    y: float

    def pixels(self, width: int, height: int) -> tuple[float, float]:
        """Where it is in an image of that size."""
        return self.x * width / 100, self.y * height / 100


def find_points(answer: str) -> list[NamedPoint]:
    """All points of an answer, in order, in whatever way the model writes them; see `processing.points`."""
    points: list[NamedPoint] = []
    end = 0
    for tag in _TAG.finditer(answer):
        points += _named('', answer[end : tag.start()]) + _named(tag['text'].strip(), tag[0])
        end = tag.end()
    return points + _named('', answer[end:])


def draw_points(image: Image.Image, points: list[NamedPoint]) -> Image.Image:
    """A copy of an image with a numbered dot at each point."""
    drawn = image.convert('RGB')
    canvas = ImageDraw.Draw(drawn)
    radius = max(5.0, max(drawn.size) / 60)
    font = ImageFont.load_default(size=1.3 * radius)
    for number, point in enumerate(points, start=1):
        x, y = point.pixels(*drawn.size)
        canvas.circle((x, y), radius, fill=_FILL, outline=_EDGE, width=max(1, round(radius / 6)))
        if len(points) > 1:
            canvas.text((x, y), str(number), fill=_EDGE, font=font, anchor='mm')
    return drawn


def _named(name: str, text: str) -> list[NamedPoint]:
    return [NamedPoint(name, x, y) for x, y in parse_points(text, 100, 100).tolist()]
