# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Words to read: one or two of them, each in a colour of its own.

A word in a colour, at the top or the bottom of a paper, belongs to one split.
"""

import random
from typing import Any

from molmo_foundry.data.synthetic.drawing import COLORS, PAPER, Canvas
from molmo_foundry.data.synthetic.picture import Picture
from molmo_foundry.data.synthetic.splits import split_of

WORDS = tuple('bird boat book bread cake cat clock cup fish house key lamp moon star sun tree'.split())

SIDE = 112
_SIZES = (32.0, 34.0)
_ROWS = ('at the top', 'at the bottom')


def make(rng: random.Random, split: str) -> Picture:
    """Draw one or two words, the second below the first, say what they are, and ask for each."""
    paper = rng.choice(sorted(PAPER))
    canvas = Canvas(SIDE, SIDE, PAPER[paper])
    rows = sorted(rng.sample(range(2), rng.randint(1, 2)))
    shown: dict[str, tuple[str, int]] = {}
    annotations: list[dict[str, Any]] = []
    for row in rows:
        word, color = _other_pair(rng, split, shown, row, sorted(PAPER).index(paper))
        shown[color] = (word, row)
        size = rng.uniform(*_SIZES)
        center = SIDE / 2 + rng.uniform(-2, 2), (row + 0.5) * SIDE / 2 + rng.uniform(-2, 2)
        canvas.text(word, center, size, COLORS[color])
    for color, (word, row) in shown.items():
        question = rng.choice((f'What is the {color} word?', f'What does it say {_ROWS[row]}?'))
        annotations.append({'style': 'text_vqa', 'question': question, 'answers': [word] * 10})
    sentences = [f'The {color} word {_ROWS[row]} is {word}.' for color, (word, row) in shown.items()]
    annotations.append({'style': 'long_caption', 'text': ' '.join(sentences)})
    metadata = {'words': [[color, *rest] for color, rest in shown.items()], 'paper': paper}
    return Picture(canvas.encode(), annotations, metadata)


def _other_pair(rng: random.Random, split: str, shown: dict[str, tuple[str, int]], *place: int) -> tuple[str, str]:
    """A word and a colour that a split may have at a place, neither of which is shown already."""
    words = {word for word, _ in shown.values()}
    pairs = [
        (word, color)
        for w, word in enumerate(WORDS)
        for c, color in enumerate(COLORS)
        if word not in words and color not in shown and split_of(w, c, *place) == split
    ]
    return rng.choice(pairs)
