# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`data stats`: the numbers are those of the records, for the model that is asked for."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from molmo_foundry.cli.data import app
from molmo_foundry.data.convert.model_spec import ModelSpec
from molmo_foundry.data.convert.stats import Stats, measure_stats
from molmo_foundry.data.convert.stored import stored_records
from molmo_foundry.data.mds import MDSRecords, write_mds
from molmo_foundry.data.schema import RecordError
from molmo_foundry.data.synthetic import make_examples
from molmo_foundry.processing.types import Example


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ['stats', *map(str, arguments)])


def _stats(folder: Path, **model: object) -> Stats:
    return measure_stats(stored_records(folder), ModelSpec.from_presets(**model), 1)


def test_numbers(shapes: Path) -> None:
    stats = _stats(shapes / 'train')
    preprocessor = ModelSpec.from_presets().build()
    records = list(MDSRecords(shapes / 'train'))
    inputs = [preprocessor(record) for record in records]
    assert stats.columns['crops'].tolist() == [len(one.images) for one in inputs]
    slack = stats.columns['tokens'] - [len(one) for one in inputs]
    assert slack.min() >= 0 and slack.max() < 100, 'tokens are a bound, and a close one'
    annotations = [record.annotations for record in records]
    assert stats.columns['annotations'].tolist() == [len(those) for those in annotations]
    assert stats.columns['images'].tolist() == [1] * 40
    assert stats.styles == Counter(annotation['style'] for those in annotations for annotation in those)
    fixed = {'long_caption': 40, 'transcript': 40, 'pointing': 80, 'point_count': 40, 'a_okvqa_mc': 160}
    assert stats.styles.items() > fixed.items()


def test_table(shapes: Path, tmp_path: Path) -> None:
    result = _run(shapes / 'train', '--out', tmp_path / 'stats.png')
    assert result.exit_code == 0, result.output
    tokens = _stats(shapes / 'train').columns['tokens']
    lines = result.stdout.splitlines()
    assert lines[0].split() == ['total', 'mean', 'median', '95', '%', 'most']
    assert lines[1].split() == [
        'tokens',
        f'{tokens.sum():,}',
        f'{tokens.mean():,.1f}',
        f'{np.median(tokens):,.0f}',
        f'{np.percentile(tokens, 95):,.0f}',
        f'{tokens.max():,}',
    ]
    assert '40 records, 0 too long for max_seq_len 1,024' in lines
    assert '         160  a_okvqa_mc' in lines and lines[-1] == f'Histograms: {tmp_path}/stats.png'
    with Image.open(tmp_path / 'stats.png') as picture:
        levels = np.asarray(picture.convert('L'))
    assert (levels < 200).mean() > 0.05, 'there are bars in it'


@pytest.mark.parametrize('limit', [150, 400])
def test_too_long(tmp_path: Path, limit: int) -> None:
    """An annotation that does not fit is left out of a record; a record is too long if none fits."""
    texts = ['short', 'word ' * 300, 'x']
    examples = [Example(str(i), [], [{'text': text}]) for i, text in enumerate(texts)]
    examples.append(Example('tree', [], [{'text': text} for text in texts]))
    write_mds(examples, tmp_path / 'mds')
    stats = _stats(tmp_path / 'mds', max_seq_len=limit)
    assert stats.too_long == (1 if limit == 150 else 0)
    assert f'4 records, {stats.too_long} too long for max_seq_len {limit}' in stats.table()
    assert stats.styles == {'': 6}


def test_processes_change_nothing(tmp_path: Path) -> None:
    write_mds(make_examples('train', 80), tmp_path / 'mds')
    one = _stats(tmp_path / 'mds')
    two = measure_stats(stored_records(tmp_path / 'mds'), ModelSpec.from_presets(), 2)
    assert one.table() == two.table()


def test_a_bad_record_is_named(tmp_path: Path, shapes: Path) -> None:
    write_mds(make_examples('train', 3), tmp_path / 'mds')
    (shard,) = (tmp_path / 'mds').glob('shard.*')
    shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(RecordError, match='record 0 of .* is missing or damaged'):
        _stats(tmp_path / 'mds')


def test_what_cannot_be_looked_at(shapes: Path, tmp_path: Path) -> None:
    result = _run(shapes)
    assert result.exit_code == 1 and 'has the splits train, validation; name one' in result.stderr
    result = _run(tmp_path / 'nowhere')
    assert result.exit_code == 1 and 'No MDS data at' in result.stderr
    result = _run(shapes / 'validation', '--out', tmp_path / 'stats.xyz')
    assert result.exit_code == 1 and 'xyz' in result.stderr
