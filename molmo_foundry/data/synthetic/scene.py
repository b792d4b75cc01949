# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of coloured shapes: sampled, then drawn.

A scene puts one to eight shapes into the cells of a 3 × 3 grid, so that "top left" is never in doubt. A palette, which
is some kinds in some colours on a background, belongs to one split; a scene of few shapes need not show all of it.
Lengths are in pixels, angles in degrees, and y points down.
"""

import itertools
import math
import random
from dataclasses import dataclass

from molmo_foundry.data.synthetic.drawing import COLORS, RGB, Canvas
from molmo_foundry.data.synthetic.splits import split_of

BACKGROUNDS: dict[str, RGB] = {'white': (248, 248, 248), 'gray': (200, 200, 200), 'pink': (250, 215, 220)}
RADII = (0.145, 0.16)
"""Range of a shape's radius, as a share of the picture's shorter side; at most 1/6, half a cell."""

SIDES = (104, 108, 112)
"""Widths and heights that pictures come in."""

_TILT = 5.0

OUTLINES = {
    'circle': [(1.0, angle) for angle in range(0, 360, 6)],
    'square': [(1.0, angle) for angle in range(45, 360, 90)],
    'triangle': [(1.0, angle) for angle in range(-90, 270, 120)],
    'star': [(0.45 if i % 2 else 1.0, -90 + 36 * i) for i in range(10)],
}
"""Corners of each kind of shape, as (share of the radius, angle)."""

MAX_SHAPES = 8
_KINDS = [kinds for count in (1, 2, 3) for kinds in itertools.combinations(OUTLINES, count)]
_COLORS = [colors for count in (1, 2, 3) for colors in itertools.combinations(COLORS, count)]
CELLS = tuple((row, col) for row in range(3) for col in range(3))


@dataclass(frozen=True)
class Shape:
    """A shape in a scene; its centre (x, y) lies inside it, and `radius` reaches its farthest corner."""

    kind: str
    color: str
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
    """A picture before it is drawn; its shapes are in the order of points, column by column and downwards."""

    width: int
    height: int
    background: str
    shapes: tuple[Shape, ...]


def _sample_palette(rng: random.Random, split: str) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Up to three kinds, up to three colours and a background that scenes of a split may combine."""
    kinds, background = rng.choice(_KINDS), rng.choice(sorted(BACKGROUNDS))
    indices = _KINDS.index(kinds), sorted(BACKGROUNDS).index(background)
    of_size = rng.choice((1, 2, 3))
    colors = [colors for i, colors in enumerate(_COLORS) if len(colors) == of_size and split_of(i, *indices) == split]
    return kinds, rng.choice(colors), background


def sample_scene(rng: random.Random, split: str) -> Scene:
    """Draw a scene of a split; few kinds in few colours, so that there is something to count."""
    width, height = rng.choice(SIDES), rng.choice(SIDES)
    kinds, colors, background = _sample_palette(rng, split)
    shapes = []
    for row, col in sorted(rng.sample(CELLS, rng.randint(1, MAX_SHAPES)), key=lambda cell: cell[::-1]):
        radius = rng.uniform(*RADII) * min(width, height)
        x = (col + 0.5) * width / 3 + _lean(rng, row, width / 6 - radius, width / 6 - RADII[1] * min(width, height))
        y = (row + 0.5) * height / 3 + rng.uniform(radius - height / 6, height / 6 - radius)
        angle = rng.uniform(-_TILT, _TILT)
        shapes.append(Shape(rng.choice(kinds), rng.choice(colors), row, col, x, y, radius, angle))
    return Scene(width, height, background, tuple(shapes))


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
