# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Words to read: one to three of them, each in a colour of its own. A word in a colour belongs to one split."""

import random
from typing import Any

from molmo_foundry.data.synthetic.drawing import COLORS, PAPER, Canvas, text_width
from molmo_foundry.data.synthetic.picture import Picture
from molmo_foundry.data.synthetic.splits import choose_pair

WORDS = tuple(
    """
    apple bird boat book bread cake car cat chair clock cloud coat cup desk dog door farm fish flag frog glass hat
    house key lamp leaf milk moon mouse park plate rain ring road rock rose ship shoe snow sock star stone sun table
    train tree wall wolf
    """.split()
)

SIDE = 112
_SIZES = (22.0, 27.0)
_ROWS = ('at the top', 'in the middle', 'at the bottom')


def make(rng: random.Random, split: str) -> Picture:
    """Draw one to three words below each other, say what they are, and ask for each."""
    canvas = Canvas(SIDE, SIDE, PAPER[rng.choice(sorted(PAPER))])
    rows = sorted(rng.sample(range(3), rng.randint(1, 3)))
    shown: dict[str, tuple[str, int]] = {}
    annotations: list[dict[str, Any]] = []
    for row in rows:
        word, color = _other_pair(rng, split, shown)
        shown[color] = (word, row)
        size = rng.uniform(*_SIZES)
        half = text_width(word, size) / 2
        center = rng.uniform(half + 2, SIDE - half - 2), (row + 0.5) * SIDE / 3 + rng.uniform(-4, 4)
        canvas.text(word, center, size, COLORS[color])
    for color, (word, row) in shown.items():
        question = rng.choice((f'What is the {color} word?', f'What does it say {_ROWS[row]}?'))
        annotations.append({'style': 'text_vqa', 'question': question, 'answers': [word] * 10})
    sentences = [f'The {color} word {_ROWS[row]} is {word}.' for color, (word, row) in shown.items()]
    annotations.append({'style': 'long_caption', 'text': ' '.join(sentences)})
    return Picture(canvas.encode(), annotations, {'words': [[color, *rest] for color, rest in shown.items()]})


def _other_pair(rng: random.Random, split: str, shown: dict[str, tuple[str, int]]) -> tuple[str, str]:
    """A word and a colour, neither of which is shown already."""
    while True:
        word, color = choose_pair(rng, split, WORDS, tuple(COLORS))
        if color not in shown and word not in {other for other, _ in shown.values()}:
            return word, color
