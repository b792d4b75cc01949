# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Soak: a packed run of two ranks under FSDP2, two workers each, killed again and again (`make soak`).

Each round is killed by SIGKILL at a random moment, of its start or of its steps, checkpoints being written included;
now all of its processes, now one rank, which its launcher then notices. The next goes on by itself. In the end there
must be the weights of a run that nobody disturbed, bit for bit, and each step must have had the same samples.
MOLMO_SOAK_ROUNDS says how often, 20 times by default.
"""

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from packed_run import SAMPLES, PackedRun, epochs_of, global_batches, losses_of, weights_of, write_data

pytestmark = pytest.mark.proof

ROUNDS = int(os.environ.get('MOLMO_SOAK_ROUNDS', '20'))
STEPS, SAVED = 100, 2
EARLY = 5
"""Every so many rounds, one is killed before its first step."""
WORLD = {'ranks': 2, 'workers': 2, 'steps': STEPS, 'saved': SAVED}


def kill(run: PackedRun, only_a_rank: bool) -> None:
    """Kills a run, or one of its ranks and, once the launcher has had its time, the rest."""
    if only_a_rank:
        ranks = [p for p in psutil.Process(run.process.pid).children() if 'train.py' in ' '.join(p.cmdline())]
        if ranks:
            ranks[-1].kill()
            run.process.wait(timeout=120)
    with suppress(ProcessLookupError):  # if the launcher has ended them all
        os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()


def steps_done(run: PackedRun) -> int:
    return max(global_batches(run.folder), default=0)


def test_kills_leave_no_trace(tmp_path: Path) -> None:
    write_data(tmp_path / 'data')
    whole = PackedRun(tmp_path / 'data', tmp_path / 'whole', **WORLD)
    whole.finish()
    moments = random.Random(5)
    reached = []
    for number in range(ROUNDS):
        before = max(reached, default=0)
        run = PackedRun(tmp_path / 'data', tmp_path / 'killed', **WORLD)
        if number % EARLY == EARLY - 1:
            time.sleep(moments.uniform(0, 20))
        else:
            last = before + moments.randint(1, 3)
            deadline = time.monotonic() + 400
            while steps_done(run) < last:
                assert run.process.poll() is None and time.monotonic() < deadline, run.tail()
                time.sleep(0.02)
            time.sleep(moments.uniform(0, 1.5))
        assert run.process.poll() is None, f'round {number} ended by itself:\n{run.tail()}'
        kill(run, only_a_rank=number % 5 == 2)
        reached.append(steps_done(run))
        print(f'round {number}: killed at step {reached[-1]}', flush=True)
    assert max(reached) < STEPS, 'killed too late to prove anything'
    PackedRun(tmp_path / 'data', tmp_path / 'killed', **WORLD).finish()

    batches = global_batches(tmp_path / 'killed')
    assert list(batches) == list(range(1, STEPS + 1)), 'no step may be skipped'
    assert batches == global_batches(tmp_path / 'whole'), 'each step, however often it was made, has the same samples'
    epochs = epochs_of(batches)
    assert len(epochs) > 2 * len(SAMPLES), 'the test needs several epochs'
    for epoch in epochs:
        times = 2 if epoch[0].startswith('pair') else 1
        assert set(Counter(epoch).values()) == {times}, 'every sample as often as its stream says, none twice or never'
    assert losses_of(tmp_path / 'killed') == losses_of(tmp_path / 'whole')
    expected, actual = weights_of(tmp_path / 'whole'), weights_of(tmp_path / 'killed')
    assert expected.keys() == actual.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, actual[name]), name
