# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Streaming's shared memory: one run at a time takes names in it, and those of dead runs are freed.

Streaming gives the shared memory of a data set the first number that is not taken. Two runs that start on a machine at
the same moment would take the same one, and either fail or read each other's state. A run that is killed leaves its
names behind: a later one may be refused its download folder, or take up half of a state. So data sets are made under a
lock of the machine, after everything has been freed that belongs to no living process.
"""

import atexit
import logging
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from filelock import FileLock, Timeout
from streaming import StreamingDataset
from streaming.base.constant import BARRIER_FILELOCK, CACHE_FILELOCK, SHM_TO_CLEAN
from streaming.base.distributed import barrier, get_local_rank

from molmo_foundry.data.packing.node_files import node_folder

log = logging.getLogger(__name__)

SHARED_MEMORY = Path('/dev/shm')
"""Where Linux shows shared memory as files. On other systems nothing is freed."""

_OWNER = 'molmo_foundry_owner'
"""Of each number we take, a file that names the process."""

_NAME = re.compile(rf'\d{{6}}_({"|".join([*SHM_TO_CLEAN, _OWNER])})')
_MAPPED = re.compile(rb'/dev/shm/(\d{6})_[a-z_]+$', re.MULTILINE)
_PATIENCE = 120
"""Seconds to wait for other runs. Two runs on the same nodes that wait for each other would wait forever."""


@contextmanager
def registration(dataset: StreamingDataset) -> Iterator[None]:
    """Within it, a data set takes its number; every rank of a run goes through it at the same time.

    Args:
        dataset (StreamingDataset): Its constructor is to be called within.
    """
    folder = SHARED_MEMORY if SHARED_MEMORY.is_dir() else node_folder('locks')
    lock, leads = FileLock(folder / f'molmo_foundry_{os.getuid()}.lock'), get_local_rank() == 0
    if leads:
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            log.warning('%s is still taken after %d s; going on without it.', lock.lock_file, _PATIENCE)
        free_abandoned()
    barrier()
    try:
        yield
        if leads and SHARED_MEMORY.is_dir():
            owner = SHARED_MEMORY / f'{dataset._shm_prefix_int:06}_{_OWNER}'
            owner.write_text(f'{os.getpid()} {_start_of(os.getpid())}')
            atexit.register(owner.unlink, missing_ok=True)
    finally:
        lock.release()


def free_abandoned() -> list[str]:
    """Free shared memory of Streaming's whose owner is dead, or that no process has mapped, and its lock files.

    A process keeps what it saw of others mapped, when it looked for a number that is free. So not to be mapped means to
    be abandoned, but not the reverse.

    Returns:
        list[str]: The numbers that are free again.
    """
    if not SHARED_MEMORY.is_dir():
        return []
    names = [file.name for file in SHARED_MEMORY.iterdir() if _NAME.fullmatch(file.name) and _is_own(file)]
    numbers = {name[:6] for name in names}
    abandoned = {number for number in numbers if _owner_is_dead(number)}
    unmapped = numbers - abandoned - _mapped_by('self')
    if unmapped:
        for process in Path('/proc').glob('[0-9]*'):
            unmapped -= _mapped_by(process.name)
    abandoned |= unmapped
    for name in names:
        if name[:6] in abandoned:
            (SHARED_MEMORY / name).unlink(missing_ok=True)
    for number in abandoned:
        for lock in (BARRIER_FILELOCK, CACHE_FILELOCK):
            (Path(tempfile.gettempdir()) / f'{number}_{lock}').unlink(missing_ok=True)
    return sorted(abandoned)


def _is_own(file: Path) -> bool:
    try:
        return file.stat().st_uid == os.getuid()
    except FileNotFoundError:
        return False


def _owner_is_dead(number: str) -> bool:
    """Whether a number has an owner that lives no more; its process id may have been given to another since."""
    try:
        process, start = (SHARED_MEMORY / f'{number}_{_OWNER}').read_text().split()
    except (FileNotFoundError, ValueError):  # it is not ours, or was killed while it took the number
        return False
    return _start_of(int(process)) != start


def _start_of(process: int) -> str:
    """When a process started, in ticks of the kernel; empty if there is none."""
    try:
        return Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[19]
    except OSError:
        return ''


def _mapped_by(process: str) -> set[str]:
    """Numbers of which a process has something mapped; none if it is another user's, or over."""
    try:
        maps = Path('/proc', process, 'maps').read_bytes()
    except OSError:
        return set()
    return {number.decode() for number in _MAPPED.findall(maps)}
