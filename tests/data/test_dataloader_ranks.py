# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Two ranks read what one rank reads, and a run of two ranks goes on with one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from loader_worker import GLOBAL_BATCH, PACKS, build, build_packed, global_batches

HALVES = (slice(0, 2), slice(2, 4))
"""Rows of a global evaluation batch that belong to each rank."""


@pytest.fixture(scope='module')
def two_ranks(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `loader_worker.py` reads on two processes."""
    out = tmp_path_factory.mktemp('two_ranks') / 'read.json'
    worker = Path(__file__).with_name('loader_worker.py')
    command = [sys.executable, '-m', 'composer.cli.launcher', '-n', '2', str(worker), str(shapes), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return json.loads(out.read_text())


@pytest.fixture(scope='module')
def one_rank(shapes: Path) -> list[set[str]]:
    """The global batches of an epoch on one process."""
    loader = build(shapes, 'train', GLOBAL_BATCH, training=True).dataloader
    return [{metadata['id'] for metadata in batch['metadata']} for batch in loader]


def test_same_global_batches(two_ranks: dict[str, Any], one_rank: list[set[str]]) -> None:
    assert [set(batch) for batch in two_ranks['first']] == one_rank[:2]


def test_resume_on_another_number_of_ranks(two_ranks: dict[str, Any], one_rank: list[set[str]], shapes: Path) -> None:
    loader = build(shapes, 'train', GLOBAL_BATCH, training=True).dataloader
    loader.dataset.load_state_dict(two_ranks['state'])
    assert [{metadata['id'] for metadata in batch['metadata']} for batch in loader] == one_rank[2:]


def test_evaluation_repeats_only_what_fills_up_the_ranks(two_ranks: dict[str, Any]) -> None:
    """Seven records on two ranks: the sampler repeats the first at the very end, where Composer takes it off again."""
    first_rank, second_rank = ([i for batch in two_ranks['validation'] for i in batch[half]] for half in HALVES)
    names = [f'shapes-validation-{i:06d}' for i in range(7)]
    assert first_rank == names[::2]
    assert second_rank == [*names[1::2], names[0]]


def test_packs_are_dealt_to_two_ranks_as_to_one(two_ranks: dict[str, Any], shapes: Path) -> None:
    whole = global_batches(build_packed(shapes, PACKS))
    assert two_ranks['packed'] == whole[:2]
    resumed = build_packed(shapes, PACKS)
    resumed.dataloader.dataset.load_state_dict(two_ranks['packed_state'])
    assert global_batches(resumed) == whole[2:] != []
