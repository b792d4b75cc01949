# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Words, charts, clocks and documents: what is asked is in the picture, and held-out answers were never shown."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from molmo_foundry.cli.data import app
from molmo_foundry.data.mds import MDSRecords
from molmo_foundry.data.schema import validate
from molmo_foundry.data.synthetic import DATASETS, make_example, make_examples
from molmo_foundry.data.synthetic.drawing import COLORS, PAPER
from molmo_foundry.processing.types import Example

READING = [name for name in DATASETS if name != 'shapes']
SPLITS = {'train': 250, 'validation': 80, 'test': 80}


@pytest.fixture(scope='module', params=READING)
def splits(request: pytest.FixtureRequest) -> dict[str, list[Example]]:
    """The splits of a data set."""
    return {split: list(make_examples(split, count, dataset=request.param)) for split, count in SPLITS.items()}


def shown(example: Example) -> list[tuple]:
    """The combinations of attributes that a picture shows."""
    metadata = example.metadata
    if 'words' in metadata:
        return [(*word, metadata['paper']) for word in metadata['words']]
    if 'values' in metadata:
        return [tuple(metadata['values'].values())]
    if 'hour' in metadata:
        return [(metadata['hour'], metadata['minute'])]
    return [(metadata['heading'], *field) for field in metadata['fields'].items()]


def pixels(example: Example) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(example.images[0])).convert('RGB')).astype(int)


def test_records_fit_the_schema_and_differ(splits: dict[str, list[Example]]) -> None:
    examples = [example for split in splits.values() for example in split]
    for example in examples:
        height, width, _ = pixels(example).shape
        validate(example, (width, height))
    assert len({example.images[0] for example in examples}) == len(examples)
    assert len({example.id for example in examples}) == len(examples)


def test_held_out_combinations_are_not_in_training(splits: dict[str, list[Example]]) -> None:
    seen = {split: {pair for example in examples for pair in shown(example)} for split, examples in splits.items()}
    assert not seen['train'] & (seen['validation'] | seen['test']) and not seen['validation'] & seen['test']
    singles = {split: {value for pair in pairs for value in pair} for split, pairs in seen.items()}
    numbers = {str(number) for number in range(100)}  # of which a few documents do not show all
    assert singles['test'] <= singles['train'] | numbers


def test_answers_are_shown(splits: dict[str, list[Example]]) -> None:
    for example in splits['train']:
        known = {str(value) for pair in shown(example) for value in pair} | {example.metadata.get('heading')}
        known |= set(example.metadata.get('values', ()))
        if 'hour' in example.metadata:
            time = f'{example.metadata["hour"] or 12}:{example.metadata["minute"]:02d}'
            assert example.annotations[0]['answer'] == f'The time shown is {time}.'
            assert example.annotations[1]['text'].endswith(f' {time}.')
            continue
        *questions, caption = example.annotations
        rows, papers = {'0', '1'}, set(PAPER)
        assert all(value in caption['text'] for value in known - rows - papers - {None})
        for annotation in questions:
            (answer,) = set(annotation['answers'])
            assert answer in known, (example.id, annotation)


def test_no_answer_can_be_guessed(splits: dict[str, list[Example]]) -> None:
    """The most common answer is right for a quarter at most."""
    answers = Counter(
        annotation.get('answer') or annotation['answers'][0]
        for example in splits['train']
        for annotation in example.annotations
        if annotation['style'] != 'long_caption'
    )
    assert answers.most_common(1)[0][1] < sum(answers.values()) / 4


def test_bars_are_as_tall_as_their_values() -> None:
    """Two pixels of tolerance, for smoothing and JPEG; a unit is more than seven."""
    checked = 0
    for example in make_examples('train', 120, dataset='charts'):
        values = example.metadata['values']
        if not set(values) <= set(COLORS):
            continue
        image = pixels(example)
        heights = {name: (np.abs(image - COLORS[name]).max(-1) < 40).sum(0).max() for name in values}
        unit = sum(heights.values()) / sum(values.values())
        assert 7 < unit < 9, example.id
        for name, value in values.items():
            assert abs(heights[name] - unit * value) < 2, (example.id, name)
            checked += 1
    assert checked > 100


def test_words_have_their_colors() -> None:
    for example in make_examples('train', 60, dataset='words'):
        image = pixels(example)
        for color, _, row in example.metadata['words']:
            found = np.argwhere(np.abs(image - COLORS[color]).max(-1) < 30)
            assert len(found) > 15, (example.id, color)
            assert abs(found[:, 0].mean() - (row + 0.5) * 112 / 2) < 10, (example.id, color)


def test_rendering_by_name(tmp_path: Path) -> None:
    run = ['render', 'clocks', '--out', str(tmp_path), '--train', '5', '--validation', '3', '--test', '2']
    result = CliRunner().invoke(app, run)
    assert result.exit_code == 0, result.output
    assert [len(MDSRecords(tmp_path / split)) for split in SPLITS] == [5, 3, 2]
    assert MDSRecords(tmp_path / 'test')[1] == make_example('test', 1, dataset='clocks')
    assert ' '.join(CliRunner().invoke(app, run).output.split()).count('are there already') == 3
    wrong = CliRunner().invoke(app, ['render', 'cloks', '--out', str(tmp_path)])
    assert wrong.exit_code == 1 and 'choose one of: shapes, words, charts' in wrong.output
