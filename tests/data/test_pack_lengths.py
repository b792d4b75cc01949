# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The length index: true bounds, measured once, and again whenever what it depends on has changed."""

import logging
import shutil
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest
import torch
from planned_data import leave_no_traces, planned_dataset, tiny_preprocessor

from molmo_foundry.data.mds import MDSRecords, write_mds
from molmo_foundry.data.packing import folders
from molmo_foundry.data.packing.fingerprint import digest_of_mds, digest_of_processor, digest_of_tokenizer
from molmo_foundry.data.packing.length_index import UNREADABLE, build_index, load_index, save_index
from molmo_foundry.data.packing.plan import Lengths
from molmo_foundry.data.synthetic import make_examples
from molmo_foundry.processing.choices import example_rng
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import Example


@pytest.fixture(autouse=True)
def without_traces(tmp_path: Path) -> Iterator[None]:
    yield from leave_no_traces(tmp_path / 'tmp')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dozen records: message trees about an image, and text alone."""
    questions = [[{'question': f'{i}?', 'answer': 'one. ' * i}] for i in range(1, 5)]
    records = [*make_examples('train', 8), *(Example(f'text-{i}', [], own) for i, own in enumerate(questions))]
    write_mds(records, tmp_path / 'mds')
    return tmp_path / 'mds'


def lengths_of(folder: Path, **changed: Any) -> Lengths:
    return planned_dataset({'a': {'local': str(folder), **changed.pop('keys', {})}}, **changed).planner.lengths[0]


def test_no_example_is_longer_than_its_index_says(folder: Path) -> None:
    preprocessor = tiny_preprocessor(max_seq_len=300)
    lengths = lengths_of(folder, max_seq_len=300)
    slack = []
    for record, example in enumerate(MDSRecords(folder)):
        for epoch in range(5):
            inputs = preprocessor(example, rng=example_rng(0, epoch, example.id))
            assert len(inputs) <= lengths.tokens[record] <= 300
            assert len(inputs.images) == lengths.crops[record]
            slack.append(lengths.tokens[record] - len(inputs))
    # Of the four annotations of a picture, three are asked for in sentences of several lengths; nothing else has slack.
    assert max(slack[8 * 5 :]) == 0 < np.mean(slack[: 8 * 5]) < 3 * 12


def test_records_are_measured_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lengths_of(folder)
    monkeypatch.setattr(folders, 'build_index', lambda *_, **__: pytest.fail('measured again'))
    again = lengths_of(folder, seed=9, max_crops_per_pack=30)
    assert (again.tokens == first.tokens).all() and (again.crops == first.crops).all()


@pytest.mark.parametrize(
    'changed',
    [
        {'max_seq_len': 300},
        {'keys': {'styles': ['pointing'], 'style': 'point_count'}},
        {'keys': {'prompt': 'Now?'}},
        {'keys': {'styles': ['vqa2']}},
    ],
    ids=str,
)
def test_they_are_measured_again_if_they_are_read_otherwise(folder: Path, changed: dict[str, Any]) -> None:
    lengths_of(folder)
    lengths_of(folder, **changed)
    assert len(list(folder.glob('lengths-*.npz'))) == 2


def test_they_are_measured_again_if_the_data_changes(folder: Path, tmp_path: Path) -> None:
    before = digest_of_mds(folder)
    assert len(lengths_of(folder).tokens) == 12
    for file in folder.glob('[is]*'):
        file.unlink()
    write_mds(make_examples('train', 9), tmp_path / 'new')
    shutil.copytree(tmp_path / 'new', folder, dirs_exist_ok=True)
    assert digest_of_mds(folder) != before
    assert len(lengths_of(folder).tokens) == 9


def test_digests_tell_processors_and_tokenizers_apart() -> None:
    other_options = [
        {'prompt_type': 'none'},
        {'system_prompt_kind': 'style_and_length'},
        {'message_formatting': 'none'},
        {'vision': {'max_crops': 2}},
        {'vision': {'overlap_margins': (0, 0)}},
        {'connector': {'pooling_size': (1, 1)}},
    ]
    own = digest_of_processor(tiny_preprocessor())
    assert own == digest_of_processor(tiny_preprocessor())
    others = [digest_of_processor(tiny_preprocessor(max_seq_len=601))]
    others += [digest_of_processor(tiny_preprocessor(**options)) for options in other_options]
    assert len({own, *others}) == 1 + len(others)
    tokenizers = [MolmoTokenizer('tiny', vocab_size=size) for size in (1024, 1024, 1100)]
    first, same, other = map(digest_of_tokenizer, tokenizers)
    assert first == same != other


def test_a_damaged_index_is_measured_again(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    lengths = lengths_of(folder)
    (path,) = folder.glob('lengths-*.npz')
    path.write_bytes(path.read_bytes()[:100])
    assert (lengths_of(folder).tokens == lengths.tokens).all()
    assert f'{path} cannot be read' in caplog.text
    assert load_index(path, 12) is not None
    assert load_index(path, 13) is None and 'is not of 13 records' in caplog.text


def test_a_folder_that_takes_no_file_is_no_obstacle(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    lengths_of(folder)
    (path,) = folder.glob('lengths-*.npz')
    path.unlink()
    path.mkdir()  # the file can be neither read nor written
    (path / 'full').touch()
    first = lengths_of(folder)
    assert 'Cannot write beside the MDS' in caplog.text
    assert (lengths_of(folder).tokens == first.tokens).all()


def test_to_measure_leaves_no_trace_in_the_randomness_of_the_run(folder: Path) -> None:
    """A model that is made afterwards must not depend on whether there was an index."""
    state = torch.random.get_rng_state()
    lengths_of(folder)
    assert (torch.random.get_rng_state() == state).all()


def test_several_processes_measure_the_same(folder: Path) -> None:
    lengths = lengths_of(folder)
    for path in folder.glob('lengths-*.npz'):
        path.unlink()
    parallel = lengths_of(folder, index_workers=2)
    assert (parallel.tokens == lengths.tokens).all() and (parallel.crops == lengths.crops).all()


def test_a_record_that_cannot_be_measured_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    def measure(record: int) -> tuple[int, int]:
        if record == 2:
            raise ValueError('record x has no annotations')
        return 10 * record, record

    with caplog.at_level(logging.WARNING):
        lengths = build_index(measure, 4, title='some')
    assert lengths.tokens.tolist() == [0, 10, UNREADABLE[0], 30]
    assert lengths.crops.tolist() == [0, 1, UNREADABLE[1], 3]
    assert 'some: record x has no annotations' in caplog.text
    assert 'some: 1 of 4 records cannot be measured' in caplog.text


def test_an_index_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, 'savez_compressed', killed)
    with pytest.raises(KeyboardInterrupt):
        save_index(tmp_path / 'lengths-x.npz', Lengths(np.zeros(3), np.zeros(3)))
    assert not list(tmp_path.iterdir())
