# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What the built-in data set says and asks about a scene, in a vocabulary of some fifty words.

Every function takes a scene and a random generator and returns one annotation of `data.schema`. Points are in whole
percent of the picture, a pixel: tenths could not be seen, and would only be noise to learn from.
"""

import random
from collections import Counter
from typing import Any, Callable

from molmo_foundry.data.synthetic.drawing import COLORS
from molmo_foundry.data.synthetic.scene import BACKGROUNDS, OUTLINES, Scene, Shape

PLACES = (
    ('at the top left', 'at the top', 'at the top right'),
    ('on the left', 'in the center', 'on the right'),
    ('at the bottom left', 'at the bottom', 'at the bottom right'),
)
"""Where a shape is, by row and column of the 3 × 3 grid."""

COUNTS = tuple('no one two three four five six seven eight'.split())

_RELATIONS = (('left of', 'right of'), ('above', 'below'))
"""How a shape stands to one that comes later, and the other way round: in its row, in its column."""

_ABSENT_SHARE = 0.15
_MAX_PLACES = 3
_ANNOTATORS = 10
"""Answers to a short question, all alike: VQA scores ask for agreement between annotators."""


def annotate(scene: Scene, rng: random.Random) -> list[dict[str, Any]]:
    """Write a scene's annotations: caption, transcripts, points twice, a count, short answers, four choices."""
    return [
        _caption(scene, rng),
        _transcripts(scene),
        *({'style': 'pointing', **_pointing(scene, rng)} for _ in range(2)),
        {'style': 'point_count', **_pointing(scene, rng)},
        *(_short_answer(ask(scene, rng)) for ask in rng.sample(_SHORT_QUESTIONS, 4)),
        *(_short_answer(pair) for pair in _ask_places(scene, rng)),
        *(_multiple_choice(scene, rng) for _ in range(4)),
    ]


def _place(shape: Shape) -> str:
    return PLACES[shape.row][shape.col]


def _caption(scene: Scene, rng: random.Random) -> dict[str, Any]:
    count = len(scene.shapes)
    start = f'There {"is" if count == 1 else "are"} {COUNTS[count]} shape{"" if count == 1 else "s"}'
    sentences = [f'{start} on a {scene.background} background.']
    sentences += [f'{_place(shape).capitalize()} is {_article(shape)} {_name(shape)}.' for shape in scene.shapes]
    pairs = _neighbours(scene)
    if pairs:
        first, second, axis = rng.choice(pairs)
        turned = rng.random() < 0.5
        first, second = (second, first) if turned else (first, second)
        sentences.append(f'The {_name(first)} is {_RELATIONS[axis][turned]} the {_name(second)}.')
    return {'style': 'long_caption', 'text': ' '.join(sentences)}


def _transcripts(scene: Scene) -> dict[str, Any]:
    """What three people say who go through the scene by name, by kind and by colour: first what it is, then where.

    Of the three, one is learned at a time. A caption tells what stands at a place; a transcript finds what it names.
    """
    return {'style': 'transcript', 'answers': [_transcript(scene, i) for i in range(3)]}


def _transcript(scene: Scene, naming: int) -> str:
    places: dict[str, list[str]] = {}
    for shape in scene.shapes:
        places.setdefault(_labels(shape)[naming], []).append(_place(shape))
    return ' '.join(f'Every {label}: {", ".join(found)}.' for label, found in places.items())


def _article(shape: Shape) -> str:
    return 'an' if shape.color[0] in 'aeiou' else 'a'


def _name(shape: Shape) -> str:
    return f'{shape.color} {shape.kind}'


def _neighbours(scene: Scene) -> list[tuple[Shape, Shape, int]]:
    """Pairs in one row (0) or column (1), in reading order; of shapes that their names tell from all others."""
    names = [_name(shape) for shape in scene.shapes]
    known = [shape for shape, name in zip(scene.shapes, names) if names.count(name) == 1]
    return [
        (first, second, int(first.col == second.col))
        for i, first in enumerate(known)
        for second in known[i + 1 :]
        if first.row == second.row or first.col == second.col
    ]


def _pointing(scene: Scene, rng: random.Random) -> dict[str, Any]:
    """A label and the centres of all shapes it fits; now and then it fits none."""
    label = rng.choice(_labels(rng.choice(scene.shapes)))
    if rng.random() < _ABSENT_SHARE:
        label = f'{rng.choice(list(COLORS))} {rng.choice(list(OUTLINES))}'
    matches = [shape for shape in scene.shapes if label in _labels(shape)]
    return {
        'label': label,
        'points': [[round(100 * s.x / scene.width), round(100 * s.y / scene.height)] for s in matches],
        'point_scale': 100,
    }


def _labels(shape: Shape) -> tuple[str, str, str]:
    """What one may call a shape."""
    return _name(shape), shape.kind, f'{shape.color} shape'


def _ask_count(scene: Scene, rng: random.Random) -> tuple[str, str]:
    color = rng.choice(list(COLORS)) if rng.random() < 0.5 else None
    count = sum(color in (None, shape.color) for shape in scene.shapes)
    return f'How many {color + " " if color else ""}shapes are there?', str(count)


def _ask_color(scene: Scene, rng: random.Random) -> tuple[str, str]:
    shape = rng.choice(scene.shapes)
    return f'What color is the {shape.kind} {_place(shape)}?', shape.color


def _ask_kind(scene: Scene, rng: random.Random) -> tuple[str, str]:
    shape = rng.choice(scene.shapes)
    return f'What shape is {_place(shape)}?', shape.kind


def _ask_presence(scene: Scene, rng: random.Random) -> tuple[str, str]:
    kind = rng.choice(list(OUTLINES))
    return f'Is there a {kind}?', 'yes' if any(shape.kind == kind for shape in scene.shapes) else 'no'


def _ask_background(scene: Scene, rng: random.Random) -> tuple[str, str]:
    return 'What color is the background?', scene.background


def _ask_places(scene: Scene, rng: random.Random) -> list[tuple[str, str]]:
    """Where up to three things are that a label tells from all others."""
    labels = Counter(label for shape in scene.shapes for label in _labels(shape))
    known = [(label, _place(shape)) for shape in scene.shapes for label in _labels(shape) if labels[label] == 1]
    return [(f'Where is the {label}?', place) for label, place in rng.sample(known, min(len(known), _MAX_PLACES))]


_Question = Callable[[Scene, random.Random], tuple[str, str]]

_SHORT_QUESTIONS: tuple[_Question, ...] = (_ask_count, _ask_color, _ask_kind, _ask_presence, _ask_background)
_CHOICES: tuple[tuple[_Question, tuple[str, ...]], ...] = (
    (_ask_color, tuple(COLORS)),
    (_ask_kind, tuple(OUTLINES)),
    (_ask_background, tuple(BACKGROUNDS)),
)
_MAX_CHOICES = 4


def _short_answer(pair: tuple[str, str]) -> dict[str, Any]:
    question, answer = pair
    return {'style': 'vqa2', 'question': question, 'answers': [answer] * _ANNOTATORS}


def _multiple_choice(scene: Scene, rng: random.Random) -> dict[str, Any]:
    ask, vocabulary = rng.choice(_CHOICES)
    question, answer = ask(scene, rng)
    others = [word for word in vocabulary if word != answer]
    options = [answer, *rng.sample(others, min(_MAX_CHOICES - 1, len(others)))]
    rng.shuffle(options)
    return {
        'style': 'a_okvqa_mc',
        'question': question,
        'options': options,
        'answer_idx': options.index(answer),
    }
