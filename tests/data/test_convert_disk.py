# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A full disk ends a conversion with a clear error, and the same call goes on when there is room again."""

import os
import resource
import subprocess
from pathlib import Path
from typing import Iterator

import pytest
from conversions import files, run

ROWS = 300


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 KiB, about half of what the data takes."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mount = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=600k', 'tmpfs', str(folder)], capture_output=True)
    if mount.returncode:
        pytest.skip(f'may not mount a small file system: {mount.stderr.decode().strip()}')
    yield folder
    subprocess.run(['umount', str(folder)], check=True)


def test_full_disk(small_disk: Path, source: Path, done: dict[str, bytes]) -> None:
    out = small_disk / 'mds'
    with pytest.raises(OSError, match=r'no space left to write .*mds: .* The \d+ parts that are finished are kept'):
        run(source, out)
    finished = len(list(out.glob('part-*/part.json')))
    assert 0 < finished < ROWS // 16
    assert not list(out.glob('.part*')), 'the room of the part that did not fit is given back'
    subprocess.run(['mount', '-o', 'remount,size=8m', str(small_disk)], check=True)
    run(source, out)
    assert files(out) == done


def test_largest_file(source: Path, done: dict[str, bytes], tmp_path: Path) -> None:
    """A limit on files meets a process in the middle of a shard, as a quota would; the child exits with 3 then."""
    child = os.fork()
    if not child:
        from molmo_foundry.data.convert.store import NoSpaceError

        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        try:
            run(source, tmp_path / 'mds')
        except NoSpaceError as error:
            os._exit(3 if 'File too large' in str(error) else 4)
        os._exit(5)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    run(source, tmp_path / 'mds')
    assert files(tmp_path / 'mds') == done
