# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Simple documents, as in DocVQA: a heading and three fields. A heading with what a field says belongs to one split."""

import random
from typing import Any

from molmo_foundry.data.synthetic.drawing import INK, PAPER, Canvas
from molmo_foundry.data.synthetic.picture import Picture
from molmo_foundry.data.synthetic.splits import split_of

WIDTH, HEIGHT = 160, 112
HEADINGS = ('Bill', 'Ticket', 'Letter', 'Order')
FIELDS: dict[str, tuple[str, ...]] = {
    'Name': ('Anna', 'Ben', 'Carl', 'Dora', 'Emma', 'Finn', 'Gina', 'Hans', 'Ida', 'Jack', 'Kim', 'Leo'),
    'City': ('Rome', 'Oslo', 'Paris', 'Lima', 'Bern', 'Cairo', 'Delhi', 'Tokyo', 'Riga', 'Quito', 'Prague', 'Vienna'),
    'Total': tuple(str(number) for number in range(10, 100)),
    'Room': tuple(str(number) for number in range(1, 13)),
}


def make(rng: random.Random, split: str) -> Picture:
    """Draw a document, say what it holds, and ask for its heading and two of its fields."""
    canvas = Canvas(WIDTH, HEIGHT, PAPER['white'])
    heading = rng.choice(HEADINGS)
    canvas.text(heading, (WIDTH / 2, 16), 20, INK)
    canvas.line([(10, 30), (WIDTH - 10, 30)], INK, 1.5)
    fields: dict[str, str] = {}
    for place, name in enumerate(rng.sample(sorted(FIELDS), 3)):
        kind, known = HEADINGS.index(heading) + sorted(FIELDS).index(name), FIELDS[name]
        fields[name] = rng.choice([value for at, value in enumerate(known) if split_of(kind, at) == split])
        canvas.text(f'{name}: {fields[name]}', (WIDTH / 2 + rng.uniform(-12, 12), 46 + 24 * place), 18, INK)
    text = ' '.join([f'{heading}.', *(f'{name}: {value}.' for name, value in fields.items())])
    caption = {'style': 'long_caption', 'text': text}
    return Picture(
        canvas.encode(), [*_questions(rng, heading, fields), caption], {'heading': heading, 'fields': fields}
    )


def _questions(rng: random.Random, heading: str, fields: dict[str, str]) -> list[dict[str, Any]]:
    pairs = [('What kind of document is this?', heading)]
    pairs += [(f'What is the {name.lower()}?', fields[name]) for name in rng.sample(sorted(fields), 2)]
    return [{'style': 'doc_qa', 'question': question, 'answers': [answer]} for question, answer in pairs]
