# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Runs that start together get memory of their own, and only what belongs to nobody is freed."""

import multiprocessing
import os
import signal
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Iterator

import pytest
from planned_data import forget_resource_tracker, leave_no_traces, planned_dataset

from molmo_foundry.data import shared_memory
from molmo_foundry.data.shared_memory import free_abandoned

pytestmark = pytest.mark.skipif(not shared_memory.SHARED_MEMORY.is_dir(), reason='needs /dev/shm')
context = multiprocessing.get_context('fork')


@pytest.fixture(autouse=True)
def without_traces(tmp_path: Path) -> Iterator[None]:
    yield from leave_no_traces(tmp_path / 'tmp')


def taken(number: str) -> list[str]:
    return sorted(file.name[7:] for file in shared_memory.SHARED_MEMORY.glob(f'{number}_*'))


def open_and_wait(folder: Path, ready: Connection) -> None:
    forget_resource_tracker()
    dataset = planned_dataset({'a': {'local': str(folder)}})
    ready.send(f'{dataset._shm_prefix_int:06}')
    ready.recv()


def start(folder: Path) -> tuple[multiprocessing.Process, Connection]:
    own, other = context.Pipe()
    process = context.Process(target=open_and_wait, args=(folder, other), daemon=True)
    process.start()
    return process, own


def test_only_what_nobody_has_mapped_is_freed(texts: Path) -> None:
    planned_dataset({'a': {'local': str(texts)}})  # makes the length index
    (killed, killed_pipe), (living, living_pipe) = start(texts), start(texts)
    dead_number, number = killed_pipe.recv(), living_pipe.recv()
    memory = taken(number)
    assert number != dead_number and 'locals' in memory
    free_abandoned()
    assert taken(dead_number) == memory, 'both are alive'
    os.kill(killed.pid or 0, signal.SIGKILL)
    killed.join()
    free_abandoned()  # unless another run of this user has done it by now
    assert taken(dead_number) == [] and taken(number) == memory
    living_pipe.send('end')
    living.join()
    assert living.exitcode == 0


def test_memory_of_a_run_that_was_killed_while_it_took_a_number_is_freed() -> None:
    left = SharedMemory('765432_cache_usage', create=True, size=8)
    free_abandoned()
    assert taken('765432') == ['cache_usage'], 'it is mapped'
    left.close()
    free_abandoned()
    assert taken('765432') == []
    resource_tracker.unregister('/765432_cache_usage', 'shared_memory')


def test_many_that_start_at_once_do_not_share(texts: Path) -> None:
    planned_dataset({'a': {'local': str(texts)}})
    runs = [start(texts) for _ in range(8)]
    numbers = [pipe.recv() for _, pipe in runs]
    assert len(set(numbers)) == 8
    for process, pipe in runs:
        pipe.send('end')
        process.join()
        assert process.exitcode == 0
