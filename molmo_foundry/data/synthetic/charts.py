# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Bar and line charts with an axis from 0 to 10, as in ChartQA. The values of a chart belong to one split."""

import itertools
import random
from typing import Any

from molmo_foundry.data.synthetic.drawing import COLORS, INK, PAPER, Canvas
from molmo_foundry.data.synthetic.picture import Picture
from molmo_foundry.data.synthetic.splits import split_of

SIDE = 112
VALUES = range(1, 11)
MONTHS = ('Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun')
_GRID = (150, 150, 150)


def make(rng: random.Random, split: str) -> Picture:
    """Draw a chart, say what it shows, and ask for two of its values and for the largest."""
    names = tuple(COLORS) if (bars := rng.random() < 0.5) else MONTHS
    chosen = rng.sample(names, 3)
    heights = rng.choice([v for v in itertools.permutations(VALUES, 3) if split_of(*v) == split])
    values = dict(zip(chosen if bars else sorted(chosen, key=MONTHS.index), heights))
    canvas = Canvas(SIDE, SIDE, PAPER[rng.choice(sorted(PAPER))])
    left, bottom, unit = rng.uniform(19, 21), rng.uniform(94, 96), 8.2
    for tick in range(0, 11, 2):
        height = bottom - tick * unit
        canvas.line([(left, height), (SIDE - 4, height)], _GRID, 1)
        canvas.text(str(tick), (left - 9, height), 9, INK)
    step = (SIDE - 4 - left) / len(values)
    tops = [(left + (place + 0.5) * step, bottom - value * unit) for place, value in enumerate(values.values())]
    if bars:
        half = rng.uniform(0.25, 0.4) * step
        for (x, y), name in zip(tops, values):
            canvas.rectangle((x - half, y, x + half, bottom), COLORS[name])
    else:
        color = COLORS[rng.choice(sorted(COLORS))]
        canvas.line(tops, color, 2)
        for (x, y), name in zip(tops, values):
            canvas.disc((x, y), 3, color)
            canvas.text(name, (x, bottom + 8), 9, INK)
    said = ', '.join(f'{name} {value}' for name, value in values.items())
    caption = {'style': 'long_caption', 'text': f'A {"bar" if bars else "line"} chart with {said}.'}
    return Picture(canvas.encode(), [*_questions(rng, values, bars), caption], {'values': values})


def _questions(rng: random.Random, values: dict[str, int], bars: bool) -> list[dict[str, Any]]:
    asked = rng.sample(sorted(values), 2)
    pairs = [
        (f'What is the value of the {name} bar?' if bars else f'What is the value in {name}?', str(values[name]))
        for name in asked
    ]
    most = max(values, key=lambda name: values[name])
    pairs.append((f'Which {"color has the tallest bar" if bars else "month has the largest value"}?', most))
    return [{'style': 'chart_qa', 'question': question, 'answers': [answer]} for question, answer in pairs]
