# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of coloured shapes: sampled, then drawn.

A scene puts one to eight shapes into the cells of a 3 × 3 grid, so that "top left" is never in doubt. What is where, a
red star at the top left, say, belongs to one split. Lengths are in pixels, angles in degrees, and y points down.
"""

import math
import random
from dataclasses import dataclass

from molmo_foundry.data.synthetic.drawing import COLORS, RGB, Canvas
from molmo_foundry.data.synthetic.splits import split_of

BACKGROUNDS: dict[str, RGB] = {'white': (248, 248, 248), 'gray': (200, 200, 200), 'pink': (250, 215, 220)}
RADII = {'small': (0.1, 0.11), 'large': (0.14, 0.15)}
"""Range of a shape's radius, as a share of the picture's shorter side; at most 1/6, half a cell."""

SIDES = (96, 104, 112, 120, 128)
"""Widths and heights that pictures come in."""

_LARGEST = max(largest for _, largest in RADII.values())

OUTLINES = {
    'circle': [(1.0, angle) for angle in range(0, 360, 6)],
    'square': [(1.0, angle) for angle in range(45, 360, 90)],
    'triangle': [(1.0, angle) for angle in range(-90, 270, 120)],
    'star': [(0.45 if i % 2 else 1.0, -90 + 36 * i) for i in range(10)],
}
"""Corners of each kind of shape, as (share of the radius, angle)."""

MAX_SHAPES = 8
CELLS = tuple((row, col) for row in range(3) for col in range(3))


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


def allowed(cell: tuple[int, int], split: str) -> list[tuple[str, str]]:
    """Colours and kinds that a split may show in a cell."""
    return [
        (color, kind)
        for c, color in enumerate(COLORS)
        for k, kind in enumerate(OUTLINES)
        if split_of(c, k, CELLS.index(cell)) == split
    ]


def sample_scene(rng: random.Random, split: str) -> Scene:
    """Draw a scene of a split; many have few kinds or few colours, so that there is something to count."""
    width, height = rng.choice(SIDES), rng.choice(SIDES)
    kinds = rng.sample(sorted(OUTLINES), rng.choice((1, 1, 2, 4)))
    colors = rng.sample(sorted(COLORS), rng.choice((1, 3, 6)))  # each goes with each kind in some cell
    wanted = rng.randint(1, MAX_SHAPES)
    shapes: list[Shape] = []
    for row, col in rng.sample(CELLS, len(CELLS)):
        looks = [(color, kind) for color, kind in allowed((row, col), split) if color in colors and kind in kinds]
        if not looks or len(shapes) == wanted:
            continue
        color, kind = rng.choice(looks)
        size = rng.choice(sorted(RADII))
        radius = rng.uniform(*RADII[size]) * min(width, height)
        x = (col + 0.5) * width / 3 + _lean(rng, row, width / 6 - radius, width / 6 - _LARGEST * min(width, height))
        y = (row + 0.5) * height / 3 + rng.uniform(radius - height / 6, height / 6 - radius)
        shapes.append(Shape(kind, color, size, row, col, x, y, radius, angle=rng.uniform(-15, 15)))
    shapes.sort(key=lambda shape: (shape.row, shape.col))
    return Scene(width, height, rng.choice(sorted(BACKGROUNDS)), tuple(shapes))


def _lean(rng: random.Random, row: int, slack: float, least_slack: float) -> float:
    """How far right of its column's middle a shape stands: the lower the farther, so sorted points have an order."""
    limits = (-slack, -least_slack, least_slack, slack)
    return rng.uniform(limits[row], limits[row + 1])


def render_scene(scene: Scene) -> bytes:
    """Draw a scene as a JPEG file."""
    canvas = Canvas(scene.width, scene.height, BACKGROUNDS[scene.background])
    for shape in scene.shapes:
        canvas.polygon(shape.outline(), COLORS[shape.color])
    return canvas.encode()
