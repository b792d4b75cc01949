# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The built-in data set is deterministic, and what it says about its pictures is true of their pixels."""

import hashlib
import io
import re
from collections import Counter
from typing import Iterable

import numpy as np
import pytest
from PIL import Image

from molmo_foundry.data.schema import validate
from molmo_foundry.data.synthetic import make_example, make_examples
from molmo_foundry.data.synthetic.drawing import COLORS
from molmo_foundry.data.synthetic.scene import BACKGROUNDS, OUTLINES, SIDES
from molmo_foundry.processing.types import Example

TRAIN, HELD_OUT = 2048, 256


@pytest.fixture(scope='module')
def examples() -> list[Example]:
    return list(make_examples('train', TRAIN))


def _pixels(example: Example) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(example.images[0])).convert('RGB')).astype(int)


def _of_style(example: Example, *styles: str) -> list[dict]:
    return [annotation for annotation in example.annotations if annotation['style'] in styles]


def _caption(example: Example) -> str:
    (annotation,) = _of_style(example, 'long_caption')
    return annotation['text']


def _palettes(examples: Iterable[Example]) -> set[tuple[str, str, str]]:
    """The kinds, the colours and the background of every scene that has three of each, so that its palette shows."""
    palettes = set()
    for example in examples:
        colors, kinds = zip(*(shape['name'].split() for shape in example.metadata['shapes']))
        if len(set(colors)) == len(set(kinds)) == 3:
            palettes.add((' '.join(sorted(set(colors))), ' '.join(sorted(set(kinds))), example.metadata['background']))
    return palettes


def test_size_and_variety(examples: list[Example]) -> None:
    images = {hashlib.sha256(example.images[0]).digest() for example in examples}
    validation = {hashlib.sha256(e.images[0]).digest() for e in make_examples('validation', HELD_OUT)}
    assert len(images) == len(examples)
    assert not images & validation
    sizes = {(e.metadata['width'], e.metadata['height']) for e in examples}
    assert sizes == {(width, height) for width in SIDES for height in SIDES}
    counts = Counter(len(annotation['points']) for e in examples for annotation in _of_style(e, 'point_count'))
    assert set(counts) == set(range(9))
    assert min(counts.values()) > 30  # none is so rare that it could not be learned
    styles = Counter(annotation['style'] for annotation in examples[0].annotations)
    assert 4 <= styles.pop('vqa2') <= 7  # of places it asks only what a label tells from all others
    assert styles == {'long_caption': 1, 'transcript': 1, 'pointing': 2, 'point_count': 1, 'a_okvqa_mc': 4}


def test_palettes_belong_to_one_split(examples: list[Example]) -> None:
    seen = [_palettes(examples), *(_palettes(make_examples(split, 4 * HELD_OUT)) for split in ('validation', 'test'))]
    assert min(len(palettes) for palettes in seen) > 20
    assert sum(len(palettes) for palettes in seen) == len(set.union(*seen))


@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
def test_all_colors_and_kinds_are_everywhere_in_every_split(split: str) -> None:
    """A split without red stars at the top left would teach by what is missing, not by what is seen."""
    shapes = [shape for example in make_examples(split, 1024) for shape in example.metadata['shapes']]
    cells = Counter((shape['name'], *(int(3 * at / 114) for at in shape['center'])) for shape in shapes)
    assert len(cells) == len(COLORS) * len(OUTLINES) * 9


def test_deterministic_by_seed_split_and_index(examples: list[Example]) -> None:
    assert list(make_examples('train', len(examples))) == examples
    assert make_example('train', 1234) == examples[1234]
    assert make_example('train', 3, seed=1).images != examples[3].images
    assert make_example('validation', 3).images != examples[3].images
    with pytest.raises(ValueError, match="no split 'dev'; choose one of: train, validation, test"):
        make_example('dev', 0)


def test_records_fit_the_schema(examples: list[Example]) -> None:
    for example in examples:
        validate(example, (example.metadata['width'], example.metadata['height']))
        assert _pixels(example).shape == (example.metadata['height'], example.metadata['width'], 3)


def test_points_are_inside_shapes_of_their_color(examples: list[Example]) -> None:
    """JPEG moves a flat colour by a few levels; colours differ from each other by more than 60 in some channel."""
    tolerance, checked = 30, 0
    for example in examples[:500]:
        pixels = _pixels(example)
        for annotation in _of_style(example, 'pointing', 'point_count'):
            color = annotation['label'].split()[0]
            for x, y in annotation['points']:
                column, row = int(x / 100 * pixels.shape[1]), int(y / 100 * pixels.shape[0])
                near = [name for name, rgb in COLORS.items() if np.abs(pixels[row, column] - rgb).max() <= tolerance]
                assert len(near) == 1, (example.id, x, y)
                assert color in (near[0], *OUTLINES), (example.id, color, near)
                checked += 1
    assert checked > 1000


def test_shapes_fill_their_boxes_and_nothing_else(examples: list[Example]) -> None:
    """Levels that JPEG may move, and pixels by which smoothing and JPEG blur an edge."""
    tolerance, blur = 40, 1
    for example in examples[:300]:
        pixels = _pixels(example)
        foreground = np.abs(pixels - BACKGROUNDS[example.metadata['background']]).max(-1) > tolerance
        outside = foreground.copy()
        for shape in example.metadata['shapes']:
            left, top, right, bottom = shape['box']
            box = slice(int(top), int(bottom) + 1), slice(int(left), int(right) + 1)
            assert foreground[box].mean() > 0.2, (example.id, shape)
            outside[
                max(0, int(top) - blur) : int(bottom) + 2 + blur, max(0, int(left) - blur) : int(right) + 2 + blur
            ] = False
        assert not outside.any(), example.id


def test_labels_count_what_is_there(examples: list[Example]) -> None:
    for example in examples:
        names = [shape['name'].split() for shape in example.metadata['shapes']]
        for annotation in _of_style(example, 'pointing', 'point_count'):
            words = [word for word in annotation['label'].split() if word != 'shape']
            assert len(annotation['points']) == sum(all(word in name for word in words) for name in names)


def test_caption_names_every_shape_in_reading_order(examples: list[Example]) -> None:
    vocabulary: set[str] = set()
    relations: Counter[str] = Counter()
    for example in examples:
        text = _caption(example)
        vocabulary |= set(re.findall(r'\w+', text.lower()))
        assert re.findall(r' is an? (\w+ \w+)\.', text) == [shape['name'] for shape in example.metadata['shapes']]
        assert f'on a {example.metadata["background"]} background' in text
        for first, relation, second in re.findall(r'The (\w+ \w+) is (\w+(?: of)?) the (\w+ \w+)\.', text):
            ((x, y),) = [s['center'] for s in example.metadata['shapes'] if s['name'].endswith(first)]
            ((other_x, other_y),) = [s['center'] for s in example.metadata['shapes'] if s['name'].endswith(second)]
            sides = {'left of': x < other_x, 'right of': x > other_x, 'above': y < other_y, 'below': y > other_y}
            assert sides[relation]
            relations[relation] += 1
    assert len(vocabulary) < 50
    assert len(relations) == 4 and min(relations.values()) > 50


def test_transcripts_find_every_shape_by_what_they_name(examples: list[Example]) -> None:
    for example in examples:
        shapes = re.findall(r'(?:^| )((?:At|In|On) the [\w ]+?) is an? (\w+) (\w+)\.', _caption(example))
        (transcripts,) = [annotation['answers'] for annotation in _of_style(example, 'transcript')]
        for text, naming in zip(transcripts, ('{1} {2}', '{2}', '{1} shape'), strict=True):
            said = [
                (label, place)
                for label, places in re.findall(r'Every ([\w ]+): ([\w ,]+)\.', text)
                for place in places.split(', ')
            ]
            assert Counter(said) == Counter((naming.format(*shape), shape[0].lower()) for shape in shapes)


def test_questions_have_true_answers(examples: list[Example]) -> None:
    for example in examples:
        caption = _caption(example)
        choices, shorts = _of_style(example, 'a_okvqa_mc'), _of_style(example, 'vqa2')
        assert all(len(set(choice['options'])) == len(choice['options']) >= 3 for choice in choices)
        assert len({short['question'].split()[1] for short in shorts}) >= 3
        answers = [choice['options'][choice['answer_idx']] for choice in choices]
        for annotation, answer in zip(choices + shorts, answers + [short['answers'][0] for short in shorts]):
            asked = re.fullmatch(
                r'What (?:color is the|shape is)(?: (\w+))? ((?:at|in|on) the .+)\?', annotation['question']
            )
            if asked:
                kind, place = asked.groups()
                (name,) = re.findall(rf'{place.capitalize()} is an? (\w+ \w+)\.', caption)
                assert answer in name.split() and (kind is None or kind in name)
            elif annotation['question'] == 'How many shapes are there?':
                assert int(answer) == len(example.metadata['shapes'])
            elif annotation['question'].startswith('Where is'):
                label = annotation['question'][len('Where is the ') : -1].removesuffix('shape').strip()
                assert re.findall(rf'([\w ]+) is an? (?=[\w ]*\b{label}\b)', caption) == [' ' + answer.capitalize()]
