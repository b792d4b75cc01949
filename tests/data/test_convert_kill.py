# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A conversion that is killed, again and again, ends with the bytes of one that was not.

Kills come from outside, while the conversion goes on: as soon as it has told of so many rows.
"""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conversions import files, run

ROWS = 400


def _killed_after(rows: int, source: Path, out: Path) -> bool:
    """Convert in a child process and kill it when it has made so many rows; whether that was in time."""
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        from molmo_foundry.data.convert import Settings, convert, open_store
        from molmo_foundry.data.convert.inputs import open_own

        settings = Settings(rows_per_part=16, shard_bytes=1 << 15)
        convert(open_own(source), open_store(out), settings, lambda rows: os.write(tell, b'.' * (rows == 1)))
        os._exit(0)
    os.close(tell)
    for _ in range(rows):
        os.read(told, 1)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(told)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize('seed', [0, 1])
def test_five_kills(source: Path, done: dict[str, bytes], tmp_path: Path, seed: int) -> None:
    rng, out = random.Random(seed), tmp_path / 'mds'
    finished = []
    for _ in range(5):
        assert _killed_after(rng.randint(20, 90), source, out)
        assert not (out / 'index.json').exists()
        finished.append(len(list(out.glob('part-*/part.json'))))
    assert finished == sorted(finished) and finished[-1] >= 5
    run(source, out)
    assert files(out) == done


def test_processes_end_with_their_parent(source: Path, done: dict[str, bytes], tmp_path: Path) -> None:
    """Its workers hold stdout open, so reading that ends when the last of them is gone."""
    script = Path(__file__).with_name('convert_worker.py')
    process = subprocess.Popen(
        [sys.executable, str(script), str(source), str(tmp_path / 'mds')], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.read(150)
    process.kill()
    process.stdout.read()
    assert process.wait() == -signal.SIGKILL
    assert 0 < len(list((tmp_path / 'mds').glob('part-*/part.json'))) < ROWS // 16
    run(source, tmp_path / 'mds')
    assert files(tmp_path / 'mds') == done
