# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Dials with an hour and a minute hand, as in PixMo-Clocks. A time of day belongs to one split."""

import math
import random

from molmo_foundry.data.synthetic.drawing import COLORS, INK, PAPER, RGB, Canvas
from molmo_foundry.data.synthetic.picture import Picture
from molmo_foundry.data.synthetic.splits import choose_pair

SIDE = 112
QUESTION = 'What time is being shown?'


def make(rng: random.Random, split: str) -> Picture:
    """Draw a dial; its hands say hours and minutes."""
    hour, minute = choose_pair(rng, split, range(12), range(60))
    canvas = Canvas(SIDE, SIDE, PAPER[rng.choice(sorted(PAPER))])
    radius = rng.uniform(44, 52)
    center = (SIDE / 2 + rng.uniform(-3, 3), SIDE / 2 + rng.uniform(-3, 3))
    canvas.disc(center, radius, COLORS[rng.choice(sorted(COLORS))])
    canvas.disc(center, radius * 0.93, (255, 255, 255))
    for mark in range(12):
        length = 0.16 if mark % 3 == 0 else 0.08
        canvas.line([_on(center, radius * (0.9 - length), mark / 12), _on(center, radius * 0.9, mark / 12)], INK, 2)
    _hand(canvas, center, radius * 0.5, (hour + minute / 60) / 12, INK, 6)
    _hand(canvas, center, radius * 0.82, minute / 60, COLORS[rng.choice(('red', 'blue', 'green'))], 3)
    text = f'The time shown is {hour or 12}:{minute:02d}.'
    annotation = {'style': 'clocks', 'question': QUESTION, 'answer': text}
    caption = {'style': 'long_caption', 'text': f'A clock that shows {hour or 12}:{minute:02d}.'}
    return Picture(canvas.encode(), [annotation, caption], {'hour': hour, 'minute': minute, 'second': -1})


def _hand(canvas: Canvas, center: tuple[float, float], length: float, turn: float, color: RGB, width: float) -> None:
    canvas.line([_on(center, -0.12 * length, turn), _on(center, length, turn)], color, width)


def _on(center: tuple[float, float], radius: float, turn: float) -> tuple[float, float]:
    """A point on a circle, so much of a turn clockwise from the top."""
    return center[0] + radius * math.sin(math.tau * turn), center[1] - radius * math.cos(math.tau * turn)
