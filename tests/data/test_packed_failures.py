# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Remote data, and what goes wrong while reading: damaged records, missing shards, runs that were killed."""

import logging
import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any, Iterator

import pytest
from planned_data import forget_resource_tracker, leave_no_traces, planned_dataset
from streaming import MDSWriter
from torch.utils.data import DataLoader

from molmo_foundry.data.packing.bad_samples import BadSamples
from molmo_foundry.data.packing.dataset import PlannedDataset
from molmo_foundry.data.packing.length_index import load_index, save_index
from molmo_foundry.data.schema import COLUMNS, RecordError, to_sample
from molmo_foundry.data.synthetic import make_examples
from molmo_foundry.processing.types import ModelInputs


@pytest.fixture(autouse=True)
def without_traces(tmp_path: Path) -> Iterator[None]:
    yield from leave_no_traces(tmp_path / 'tmp')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixteen records in shards of two or three, of which number 1 has an image that is cut off."""
    with MDSWriter(out=str(tmp_path / 'mds'), columns=COLUMNS, size_limit=5 << 12) as writer:
        for index, example in enumerate(make_examples('train', 16)):
            if index == 1:
                example.images = [example.images[0][:300]]
            size = example.metadata['width'], example.metadata['height']
            writer.write(to_sample(example, [size]))
    return tmp_path / 'mds'


def read_rows(dataset: PlannedDataset) -> list[Any]:
    return [row for row in dataset if isinstance(row, RecordError) or row.metadata['stats']['examples']]


def total(rows: list[ModelInputs], name: str) -> float:
    return sum(row.metadata['stats'][name] for row in rows)


def test_a_damaged_record_is_replaced_and_reported(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = planned_dataset({'a': {'local': str(folder)}})
    with caplog.at_level(logging.WARNING):
        rows = read_rows(dataset)
    assert (total(rows, 'examples'), total(rows, 'placeholders')) == (16, 1)
    assert "stream 'a', record 1 ('shapes-train-000001') cannot be used" in caplog.text
    row = next(row for row in rows if row.metadata['stats']['placeholders'])
    at = row.metadata['ids'].index('a, record 1')
    lost = row.segment_ids // 100_000 == at
    planned = dataset.planner.lengths[0]
    assert lost.sum() == planned.tokens[1] and row.loss_weights[lost].sum() == 0
    assert len(row.images) == sum(
        planned.crops[1] if name == 'a, record 1' else planned.crops[int(name[-2:])] for name in row.metadata['ids']
    )


def test_too_many_bad_samples_end_the_run(folder: Path) -> None:
    dataset = planned_dataset({'a': {'local': str(folder)}}, max_bad_fraction=0.0)
    rows = read_rows(dataset)
    last = rows[-1]
    assert rows[-4:] == [last] * 4, 'a whole batch, so that no loader drops the error'
    assert isinstance(last, RecordError) and all(isinstance(row, ModelInputs) for row in rows[:-4])
    for part in ('max_bad_fraction=0.0', "'shapes-train-000001'", 'images[0]'):
        assert part in str(last)


def test_the_share_of_bad_samples_is_judged_over_many() -> None:
    counts = BadSamples(0.01)
    for _ in range(10):
        counts.add_bad('one', ValueError('bad'))
    for _ in range(1989):
        counts.add_good()
    for _ in range(10):
        counts.add_bad('one', ValueError('bad'))
    with pytest.raises(RecordError, match='21 of 2010 samples'):
        counts.add_bad('the last straw', ValueError('bad'))


def test_a_missing_shard_is_replaced(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    planned_dataset({'a': {'local': str(folder)}})  # makes the length index
    dataset = planned_dataset({'a': {'local': str(folder), 'download_retry': 1}})
    lost = dataset.shards[1].samples
    (folder / 'shard.00001.mds').unlink()
    rows = read_rows(dataset)
    assert (total(rows, 'examples'), total(rows, 'placeholders')) == (16, 1 + lost)
    assert 'shard.00001.mds is missing and cannot be downloaded' in caplog.text
    assert all(len(row) <= row.metadata['stats']['planned_tokens'] for row in rows)


def test_a_damaged_shard_is_replaced(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    planned_dataset({'a': {'local': str(folder)}})
    dataset = planned_dataset({'a': {'local': str(folder)}})
    shard = folder / 'shard.00001.mds'
    shard.write_bytes(shard.read_bytes()[:40])
    rows = read_rows(dataset)
    assert total(rows, 'placeholders') == 1 + dataset.shards[1].samples
    assert 'shard.00001.mds is damaged' in caplog.text


def test_an_example_that_is_not_as_its_index_says_is_not_let_in(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    planned_dataset({'a': {'local': str(folder)}})
    (path,) = folder.glob('lengths-*.npz')
    lengths = load_index(path, 16)
    lengths.tokens[3] = 7
    lengths.crops[5] += 1
    save_index(path, lengths)
    rows = read_rows(planned_dataset({'a': {'local': str(folder)}}))
    assert total(rows, 'placeholders') == 3
    crops = lengths.crops[5]
    assert "record 3 ('shapes-train-000003') cannot be used" in caplog.text and 'but 7 and ' in caplog.text
    assert f'tokens and {crops - 1} crops, but {lengths.tokens[5]} and {crops} were planned; delete' in caplog.text


def remote_dataset(folder: Path, local: Path, **changed: Any) -> PlannedDataset:
    return planned_dataset({'a': {'remote': str(folder), 'local': str(local), 'download_retry': 1}}, **changed)


def read_ids(dataset: PlannedDataset, workers: int = 0) -> list[str]:
    loader = DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=list)
    return sorted(name for rows in loader for row in rows for name in row.metadata['ids'] if name)


def test_remote_data_is_downloaded_as_it_is_read(folder: Path, tmp_path: Path) -> None:
    planned_dataset({'a': {'local': str(folder)}})  # makes the length index, which the download finds
    dataset = remote_dataset(folder, tmp_path / 'cache', shuffle_block_size=4)
    assert not list((tmp_path / 'cache').glob('*.mds')), 'the index must spare reading the shards'
    assert len(read_ids(dataset, workers=2)) == 16
    assert len(list((tmp_path / 'cache').glob('*.mds'))) == len(dataset.shards)


def test_streams_without_a_folder_share_their_download(folder: Path) -> None:
    planned_dataset({'a': {'local': str(folder)}})
    streams = {
        'a': {'remote': str(folder)},
        'b': {'remote': str(folder), 'styles': ['pointing'], 'style': 'point_count'},
    }
    try:
        dataset = planned_dataset(streams)
        assert len(dataset.folders) == 1 and len(read_ids(dataset)) == 32
    finally:
        shutil.rmtree(dataset.folders[0].local)  # Streaming's own choice, from the address


def test_a_remote_without_an_index_is_read_to_measure_it(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = remote_dataset(folder, tmp_path / 'cache')
    assert 'copy the file there from' in caplog.text
    assert len(list((tmp_path / 'cache').glob('lengths-*.npz'))) == 1
    assert len(read_ids(dataset)) == 16


def test_the_cache_stays_within_its_limit(folder: Path, tmp_path: Path) -> None:
    planned_dataset({'a': {'local': str(folder)}})
    largest = max(shard.stat().st_size for shard in folder.glob('*.mds'))
    limit = 4 * largest + (folder / 'index.json').stat().st_size
    assert sum(shard.stat().st_size for shard in folder.glob('*.mds')) > limit, 'the test needs more data'
    dataset = remote_dataset(folder, tmp_path / 'cache', cache_limit=limit)
    assert len(read_ids(dataset)) == 16
    assert sum(shard.stat().st_size for shard in (tmp_path / 'cache').glob('*.mds')) <= limit


def test_a_shard_that_the_remote_has_lost_is_replaced(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    planned_dataset({'a': {'local': str(folder)}})
    (folder / 'shard.00001.mds').unlink()
    dataset = remote_dataset(folder, tmp_path / 'cache')
    rows = read_rows(dataset)
    assert total(rows, 'placeholders') == 1 + dataset.shards[1].samples
    assert caplog.text.count('to get shard.00001.mds of') == 3, 'it must be given up'


def test_a_killed_run_leaves_nothing_in_the_way(folder: Path, tmp_path: Path) -> None:
    """What it had in shared memory would make Streaming refuse its download folder."""
    planned_dataset({'a': {'local': str(folder)}})
    context = multiprocessing.get_context('fork')
    killed = context.Process(target=_read_a_row_and_die, args=(folder, tmp_path / 'cache'))
    killed.start()
    killed.join(timeout=60)
    assert killed.exitcode == -signal.SIGKILL
    assert len(read_ids(remote_dataset(folder, tmp_path / 'cache'))) == 16


def _read_a_row_and_die(folder: Path, local: Path) -> None:
    forget_resource_tracker()
    next(iter(remote_dataset(folder, local)))
    os.kill(os.getpid(), signal.SIGKILL)


def test_streams_that_contradict_each_other_about_a_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / 'other')
    streams = {
        'a': {'local': str(tmp_path / 'cache'), 'remote': str(folder)},
        'b': {'local': str(tmp_path / 'cache'), 'remote': str(tmp_path / 'other')},
    }
    with pytest.raises(ValueError, match="stream 'b' reads .*cache"):
        planned_dataset(streams)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        planned_dataset({'a': {'local': str(tmp_path / 'nowhere')}})
