# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of coloured shapes: sampled, then drawn.

A scene puts one to five shapes into the cells of a 3 × 3 grid, so that "top left" is never in doubt. Lengths are in
pixels, angles in degrees, and y points down.
"""

import math
import random
from dataclasses import dataclass

from molmo_foundry.data.synthetic.drawing import COLORS, RGB, Canvas

BACKGROUNDS: dict[str, RGB] = {'white': (248, 248, 248), 'gray': (176, 176, 176), 'black': (24, 24, 24)}
RADII = {'small': (0.08, 0.1), 'large': (0.14, 0.16)}
"""Range of a shape's radius, as a share of the picture's shorter side; at most 1/6, half a cell."""

SIDES = (96, 112, 128, 144, 160, 176, 192)
"""Widths and heights that pictures come in."""

OUTLINES = {
    'circle': [(1.0, angle) for angle in range(0, 360, 6)],
    'square': [(1.0, angle) for angle in range(45, 360, 90)],
    'triangle': [(1.0, angle) for angle in range(-90, 270, 120)],
    'star': [(0.45 if i % 2 else 1.0, -90 + 36 * i) for i in range(10)],
}
"""Corners of each kind of shape, as (share of the radius, angle)."""

MAX_SHAPES = 5


@dataclass(frozen=True)
class Shape:
    """A shape in a scene; its centre (x, y) lies inside it, and `radius` reaches its farthest corner."""

    kind: str
    color: str
    size: str
    row: int
    col: int
    x: float
    y: float
    radius: float
    angle: float

    def outline(self) -> list[tuple[float, float]]:
        """Corners in pixels."""
        corners = [(share * self.radius, math.radians(self.angle + a)) for share, a in OUTLINES[self.kind]]
        return [(self.x + r * math.cos(a), self.y + r * math.sin(a)) for r, a in corners]

    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the outline in pixels."""
        xs, ys = zip(*self.outline())
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True)
class Scene:
    """A picture before it is drawn; its shapes are in reading order, row by row."""

    width: int
    height: int
    background: str
    shapes: tuple[Shape, ...]


def sample_scene(rng: random.Random) -> Scene:
    """Draw a scene; half of them repeat few colours and kinds, so that there is something to count."""
    width, height = rng.choice(SIDES), rng.choice(SIDES)
    variety = rng.choice((2, len(OUTLINES)))
    kinds, colors = rng.sample(sorted(OUTLINES), variety), rng.sample(sorted(COLORS), variety)
    cells = sorted(rng.sample([(row, col) for row in range(3) for col in range(3)], rng.randint(1, MAX_SHAPES)))
    shapes = []
    for row, col in cells:
        size = rng.choice(sorted(RADII))
        radius = rng.uniform(*RADII[size]) * min(width, height)
        slack_x, slack_y = width / 6 - radius, height / 6 - radius
        shapes.append(
            Shape(
                kind=rng.choice(kinds),
                color=rng.choice(colors),
                size=size,
                row=row,
                col=col,
                x=(col + 0.5) * width / 3 + rng.uniform(-slack_x, slack_x),
                y=(row + 0.5) * height / 3 + rng.uniform(-slack_y, slack_y),
                radius=radius,
                angle=rng.uniform(-15, 15),
            )
        )
    return Scene(width, height, rng.choice(sorted(BACKGROUNDS)), tuple(shapes))


def render_scene(scene: Scene) -> bytes:
    """Draw a scene as a JPEG file."""
    canvas = Canvas(scene.width, scene.height, BACKGROUNDS[scene.background])
    for shape in scene.shapes:
        canvas.polygon(shape.outline(), COLORS[shape.color])
    return canvas.encode()
