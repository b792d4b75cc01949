# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Packed runs through the real launcher: the same batches and losses on any ranks and workers, also after a change."""

import signal
import time
from pathlib import Path

import psutil
import pytest
from packed_run import PackedRun, global_batches, losses_of, metrics_of, write_data

pytestmark = pytest.mark.proof

STEPS = 9
SAVED = 100
WORLDS = {'1x0': (1, 0), '1x2': (1, 2), '2x1': (2, 1)}
"""Ranks, and workers of each."""

CHAIN = ['2x1', '1x2', '1x0']
"""Worlds of one run that is told to end, and goes on in the next."""

TOLERANCE = 1e-6
"""Relative: sums over two ranks are taken in another order than over one."""

FIGURES = {
    'packing/token_utilization',
    'packing/planned_token_utilization',
    'packing/crop_utilization',
    'packing/examples_per_pack',
    'packing/crops_per_pack',
    'packing/loss_tokens_per_pack',
    'packing/crop_imbalance',
    'packing/placeholders',
    'packing/dropped_annotations',
    *(f'streams/{name}/{figure}' for name in ('shapes', 'texts', 'pairs') for figure in ('examples', 'epochs')),
}


def start(folder: Path, name: str, world: str) -> PackedRun:
    ranks, workers = WORLDS[world]
    return PackedRun(folder / 'data', folder / name, ranks=ranks, workers=workers, steps=STEPS, saved=SAVED)


def stop(run: PackedRun, after: int) -> int:
    """Tells a run to end once it has made some steps; returns the last that it makes."""
    deadline = time.monotonic() + 400
    while max(losses_of(run.folder), default=0) < after:
        assert run.process.poll() is None and time.monotonic() < deadline, run.tail()
        time.sleep(0.02)
    for process in psutil.Process(run.process.pid).children(recursive=True):
        process.send_signal(signal.SIGTERM)
    run.finish(status=75)
    return max(losses_of(run.folder))


def test_batches_and_losses_do_not_depend_on_ranks_and_workers(tmp_path: Path) -> None:
    write_data(tmp_path / 'data')
    for world in WORLDS:
        start(tmp_path, world, world).finish()
    last = 0
    for world in CHAIN[:-1]:
        last = stop(start(tmp_path, 'chain', world), after=last + 2)
        assert last < STEPS - 1, 'told too late to prove anything'
    start(tmp_path, 'chain', CHAIN[-1]).finish()

    expected = losses_of(tmp_path / '1x0')
    batches = global_batches(tmp_path / '1x0')
    assert list(expected) == list(batches) == list(range(1, STEPS + 1))
    for name in ('1x2', '2x1', 'chain'):
        assert global_batches(tmp_path / name) == batches, name
        assert losses_of(tmp_path / name) == pytest.approx(expected, rel=TOLERANCE), name

    alone, together = metrics_of(tmp_path / '1x0'), metrics_of(tmp_path / '2x1')
    for step in range(1, STEPS + 1):
        assert FIGURES <= alone[step].keys()
        figures = FIGURES - {'packing/crop_imbalance'}  # there is none between the parts of one
        assert {name: together[step][name] for name in figures} == {name: alone[step][name] for name in figures}
        assert alone[step]['packing/crop_imbalance'] == 1 <= together[step]['packing/crop_imbalance']
    drawn = {name: sum(row[f'streams/{name}/examples'] for row in alone.values()) for name in ('shapes', 'texts')}
    assert sum(len(row) for rows in batches.values() for row in rows) >= sum(drawn.values()) > 0
    losses = {key.split('/')[1] for row in alone.values() for key in row if key.startswith('streams/') and '/ce' in key}
    assert losses == {'shapes', 'texts', 'pairs'}
