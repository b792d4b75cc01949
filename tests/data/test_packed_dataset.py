# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Reading by the plan: the same batches for any ranks and workers, exact resumption, refused checkpoints."""

import itertools
import shutil
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from planned_data import leave_no_traces, planned_dataset
from simulated_ranks import Batch, read_batches

from molmo_foundry.data.packing.dataset import PlannedDataset
from molmo_foundry.data.packing.length_index import load_index, save_index

WORLDS = [(1, 0), (1, 2), (2, 1), (2, 3), (4, 2)]
"""Ranks, and workers of each."""

GLOBAL_BATCH = 4
Make = Callable[..., PlannedDataset]


@pytest.fixture(autouse=True)
def without_traces(tmp_path: Path) -> Iterator[None]:
    yield from leave_no_traces(tmp_path / 'tmp')


@pytest.fixture(scope='module')
def make(shapes: Path, texts: Path) -> Make:
    """Makes data sets of captions, of counting and text with settings to be changed by name."""
    blocks = {
        'captions': {'local': str(shapes), 'split': 'train', 'styles': ['long_caption'], 'repeat': 0.5},
        'counting': {'local': str(shapes), 'split': 'train', 'styles': ['pointing'], 'style': 'point_count'},
        'text': {'local': str(texts), 'repeat': 3},
    }
    return lambda batch_size=GLOBAL_BATCH, streams=blocks, **changed: planned_dataset(streams, batch_size, **changed)


def ids(batches: list[Batch]) -> list[list[list[str]]]:
    return [[row['ids'] for row in batch] for batch in batches]


@pytest.fixture(scope='module')
def reference(make: Make) -> list[list[list[str]]]:
    """Ids of the first epoch, read by a single process."""
    return ids(read_batches(make, ranks=1, workers=0, global_batch_size=GLOBAL_BATCH)[0])


def test_an_epoch_has_every_sample_once(reference: list, shapes: Path) -> None:
    read = sorted(itertools.chain(*itertools.chain(*reference)))
    images = [f'shapes-train-{i:06d}' for i in range(40)]
    assert sorted(set(read)) == sorted(['', *images, *(f'text-{i}' for i in range(8))])
    assert [read.count(f'text-{i}') for i in range(8)] == [3] * 8
    assert sum(read.count(image) for image in images) == 60 and {read.count(image) for image in images} == {1, 2}


@pytest.mark.parametrize('ranks, workers', WORLDS)
def test_global_batches_are_the_same_for_any_ranks_and_workers(
    make: Make, reference: list, ranks: int, workers: int
) -> None:
    world = {'ranks': ranks, 'workers': workers, 'global_batch_size': GLOBAL_BATCH}
    stopped = 1 + (ranks + workers) % 3
    first, state = read_batches(make, num_batches=stopped, **world)
    assert ids(first) == reference[:stopped]
    assert (state['epoch'], state['packs']) == (0, stopped * GLOBAL_BATCH)
    ranks, workers = WORLDS[WORLDS.index((ranks, workers)) - 1]  # go on with others
    world = {'ranks': ranks, 'workers': workers, 'global_batch_size': GLOBAL_BATCH}
    rest, _ = read_batches(make, state=state, **world)
    assert ids(rest) == reference[stopped:]


def test_a_later_epoch_resumes_as_well(make: Make, reference: list) -> None:
    world = {'ranks': 2, 'workers': 1, 'global_batch_size': GLOBAL_BATCH}
    start = {**make().state_dict(0, True), 'epoch': 1}
    second, _ = read_batches(make, state=start, **world)
    assert ids(second) != reference
    assert sorted(itertools.chain(*itertools.chain(*ids(second)))) != []
    _, state = read_batches(make, state=start, num_batches=3, **world)
    assert (state['epoch'], state['packs']) == (1, 12)
    rest, _ = read_batches(make, state=state, ranks=1, workers=2, global_batch_size=GLOBAL_BATCH)
    assert ids(rest) == ids(second)[3:]


def test_another_batch_size_goes_on_with_the_next_pack(make: Make) -> None:
    world = {'ranks': 1, 'workers': 0}
    first, state = read_batches(make, num_batches=3, global_batch_size=4, **world)
    rest, _ = read_batches(make, state=state, global_batch_size=6, **world)
    packs = sorted(row['stats']['pack'] for batch in [*first, *rest] for row in batch)
    assert packs == list(range(len(packs)))


def test_rows_say_what_is_in_them(make: Make) -> None:
    dataset = make()
    rows = list(dataset)
    assert len(rows) % GLOBAL_BATCH == 0 and len(rows) <= len(dataset)
    for row in rows:
        stats = row.metadata['stats']
        assert stats['tokens'] == len(row) <= stats['planned_tokens'] <= 600
        assert stats['crops'] == len(row.images) <= 24
        assert stats['loss_tokens'] == (row.loss_weights > 0).sum()
        assert (
            stats['examples'] == len(row.metadata['ids']) - (stats['examples'] == 0) == sum(stats['streams'].values())
        )
        assert (stats['placeholders'], stats['epoch']) == (0, 0)
        segments = row.segment_ids // 100_000
        assert segments.max() + 1 == len(row.metadata['ids']) == max(1, len(row.metadata['streams']))
        for at, (name, stream) in enumerate(zip(row.metadata['ids'], row.metadata['streams'])):
            assert name.startswith('text') == (stream == 'text'), 'of the example with these segments'
            assert (segments == at).sum() > 0
    packed = [row for row in rows if row.metadata['stats']['examples']]
    assert sum(row.metadata['stats']['examples'] for row in packed) == 84
    assert len(packed) < 84 / 2


def test_no_epoch_has_more_rows_than_the_length_says(make: Make) -> None:
    planner = make(max_seq_len=400).planner
    packs = [len(planner.plan(epoch)) for epoch in range(25)]
    assert len(set(packs)) > 1 and max(packs) <= planner.most_packs()


def test_without_packing_rows_are_examples_in_the_order_of_the_plan(make: Make) -> None:
    rows = list(make(packing=False))
    assert all(len(row.metadata['ids']) == 1 for row in rows) and len(rows) == 84
    in_order = [row.metadata['ids'][0] for row in rows]
    packed = [name for row in make() for name in row.metadata['ids'] if name]
    # without dealing, the order would be that of the packs; a pack takes little that is not next
    assert sorted(in_order) == sorted(packed)


def test_mixtures_with_rates_have_no_length(make: Make, shapes: Path, texts: Path) -> None:
    streams = {
        'a': {'local': str(shapes), 'split': 'train', 'rate': 0.75},
        'b': {'local': str(texts), 'rate': 0.25},
    }
    dataset = make(streams=streams, epoch_size=80)
    with pytest.raises(TypeError, match='give max_duration in batches'):
        len(dataset)
    stats = [row.metadata['stats'] for row in dataset]
    assert sum(row['streams'].get('a', 0) for row in stats) == 60
    assert sum(row['streams'].get('b', 0) for row in stats) == 20
    last = max(stats, key=lambda row: row['pack'])
    assert last['stream_epochs'] == {'a': 60 / 40, 'b': 20 / 8}


@pytest.mark.parametrize(
    'changed, line',
    [
        ({'seed': 4}, 'seed: it was 3, it is 4'),
        ({'max_crops_per_pack': 20}, 'max_crops_per_pack: it was 24, it is 20'),
        ({'packing': False}, 'packing: it was True, it is False'),
        ({'look_ahead': 8}, 'look_ahead: it was 256, it is 8'),
    ],
)
def test_a_checkpoint_of_another_plan_is_refused(make: Make, changed: dict[str, Any], line: str) -> None:
    state = make().state_dict(8, True)
    make().load_state_dict(state)
    with pytest.raises(ValueError, match='allow_changed_plan=true') as error:
        make(**changed).load_state_dict(state)
    assert line in str(error.value)
    make(**changed, allow_changed_plan=True).load_state_dict(state)


def test_a_checkpoint_of_other_data_is_refused(make: Make, shapes: Path, texts: Path) -> None:
    streams = {'a': {'local': str(texts)}, 'b': {'local': str(texts), 'repeat': 2}}
    state = make(streams=streams).state_dict(8, True)
    other = {'a': {'local': str(shapes), 'split': 'train'}, 'c': {'local': str(texts)}}
    with pytest.raises(ValueError) as error:
        make(streams=other).load_state_dict(state)
    for part in ('streams.a.data: it was', 'streams.b: it was present, it is absent', 'streams.c: it was absent'):
        assert part in str(error.value)
    with pytest.raises(ValueError, match='version: it was absent'):
        make(streams=streams).load_state_dict({'epoch': 0, 'sample_in_epoch': 8, 'shuffle_seed': 3})


def test_a_checkpoint_of_other_lengths_is_refused(make: Make, texts: Path, tmp_path: Path) -> None:
    """They come out differently if, say, a shard could not be read when they were measured."""
    shutil.copytree(texts, tmp_path / 'texts', ignore=shutil.ignore_patterns('lengths-*'))
    streams = {'a': {'local': str(tmp_path / 'texts')}}
    state = make(streams=streams).state_dict(8, True)
    (path,) = (tmp_path / 'texts').glob('lengths-*.npz')
    lengths = load_index(path, 8)
    lengths.tokens[0] += 1
    save_index(path, lengths)
    with pytest.raises(ValueError, match='streams.a.lengths: it was'):
        make(streams=streams).load_state_dict(state)
