# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes that name a source of own data instead of MDS."""

import csv
from pathlib import Path
from typing import Any

import pytest
from own_images import png

from molmo_foundry.data.dataloader import build_molmo_dataloader
from molmo_foundry.data.schema import RecordError
from molmo_foundry.processing.tokenizer import MolmoTokenizer

COLUMNS = {'image': 'file', 'question': 'q', 'answer': 'a'}


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of two questions, with columns of its own names, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in 'ab':
        (tmp_path / f'{name}.png').write_bytes(png(name))
    return write(tmp_path / 'own.csv', ['a.png', 'What is it?', 'Blue.'], ['b.png', 'And this?', 'Red.'])


def write(path: Path, *rows: list[str]) -> Path:
    with open(path, 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([['file', 'q', 'a'], *rows])
    return path


def answers(stream: dict[str, Any], **block: Any) -> list[str]:
    """What the loader of a recipe with this stream teaches, in order."""
    dataset = {'streams': {'own': stream}, 'llm': 'tiny', 'vit': 'tiny', 'max_seq_len': 512, **block}
    tokenizer = MolmoTokenizer('tiny', vocab_size=1024)
    loader = build_molmo_dataloader(tokenizer, 1, dataset, drop_last=bool(block), num_workers=0).dataloader
    texts = []
    for batch in loader:
        labels = batch['labels'][batch['loss_weights'] > 0].tolist()
        texts.append(tokenizer.decode(labels, skip_special_tokens=True).strip())
    return texts


def test_source_is_converted_once(table: Path) -> None:
    stream = {'source': 'own.csv', 'columns': COLUMNS}
    assert answers(stream) == ['Blue.', 'Red.']
    (folder,) = Path('data_cache/streams').iterdir()
    written = {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()}
    assert answers(stream) == ['Blue.', 'Red.']
    assert written == {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()}


def test_changed_source_is_converted_anew(table: Path) -> None:
    stream = {'source': str(table), 'columns': COLUMNS}
    answers(stream)
    write(table, ['a.png', 'What is it?', 'Green.'])
    assert answers(stream) == ['Green.']
    assert len(list(Path('data_cache/streams').iterdir())) == 2


def test_changed_source_never_overwrites_a_folder_that_was_named(table: Path) -> None:
    stream = {'source': 'own.csv', 'columns': COLUMNS, 'local': 'mds'}
    assert answers(stream) == ['Blue.', 'Red.']
    write(table, ['a.png', 'What is it?', 'Green.'])
    with pytest.raises(ValueError, match='mds'):
        answers(stream)


def test_source_by_a_plan(table: Path) -> None:
    (row,) = answers({'source': 'own.csv', 'columns': COLUMNS, 'local': 'mds'}, packing=True)
    assert 'Blue.' in row and 'Red.' in row


def test_rows_are_held_out(table: Path) -> None:
    names = [f'{number}.' for number in range(7)]
    write(table, *(['a.png', 'Which?', name] for name in names))
    stream = {'source': 'own.csv', 'columns': COLUMNS, 'hold_out_every': 3}
    assert answers({**stream, 'split': 'train'}) == [names[i] for i in (0, 1, 3, 4, 6)]
    assert answers({**stream, 'split': 'validation'}) == [names[i] for i in (2, 5)]
    with pytest.raises(ValueError, match='several splits; set dataset.streams.own.split to one of: train, validation'):
        answers(stream)
    with pytest.raises(ValueError, match="own.csv has no split 'test'; choose of: train, validation"):
        answers({**stream, 'split': 'test'})


def test_mds_is_read_as_it_is(table: Path) -> None:
    stream = {'source': 'own.csv', 'columns': COLUMNS, 'split': 'train'}
    answers({**stream, 'local': 'mds/train'})
    assert answers({**stream, 'source': 'mds'}) == ['Blue.', 'Red.']
    assert answers({'source': 'mds/train'}) == ['Blue.', 'Red.']
    with pytest.raises(ValueError, match='mds/train is MDS, but without a folder validation'):
        answers({'source': 'mds/train', 'split': 'validation'})


@pytest.mark.parametrize(
    ('stream', 'error'),
    [
        ({'columns': COLUMNS, 'local': 'x'}, r'dataset\.streams\.own\.columns is about a source.*set .*own\.source'),
        ({'source': 'own.csv', 'remote': 's3://x'}, r'dataset\.streams\.own has both source and remote'),
        ({'source': 'own.csv', 'columns': {'questoin': 'q'}}, r'columns: questoin is no key of a record.*question'),
        ({'source': 'own.csv', 'columns': 'q'}, 'own.columns must map keys'),
        ({'source': 'own.csv', 'colunms': COLUMNS, 'columns': COLUMNS}, 'dataset.streams.own.colunms is not an option'),
    ],
)
def test_wrong_keys(table: Path, stream: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        answers(stream)


def test_wrong_sources(table: Path) -> None:
    with pytest.raises(FileNotFoundError, match='No data at none.csv'):
        answers({'source': 'none.csv'})
    write(table, ['a.png', 'What?', 'Blue.'], ['gone.png', 'What?', 'Red.'])
    stream = {'source': 'own.csv', 'columns': COLUMNS}
    with pytest.raises(RecordError, match=r'own\.csv.*gone\.png'):
        answers(stream)
    assert answers({**stream, 'skip_bad': True}) == ['Blue.']
