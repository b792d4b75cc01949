# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that Composer wrote: in one piece by one process, and sharded by two."""

import subprocess
import sys
from pathlib import Path

import checkpoint_worker
import pytest
from published_parts import write_parts

from molmo_foundry.convert.export import export


@pytest.fixture(scope='session')
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `checkpoint_worker.run` on one process."""
    folder = tmp_path_factory.mktemp('one_process')
    checkpoint_worker.run(folder)
    return folder


@pytest.fixture(scope='session')
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on two processes under FSDP2."""
    folder = tmp_path_factory.mktemp('two_processes')
    write_parts(folder)
    command = [sys.executable, '-m', 'composer.cli.launcher', '-n', '2', checkpoint_worker.__file__, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder


@pytest.fixture(params=['one_process', 'two_processes'])
def run(request: pytest.FixtureRequest) -> Path:
    """Either run."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope='session')
def released(one_process: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the run on one process."""
    out = tmp_path_factory.mktemp('exported') / 'released'
    export(one_process / 'checkpoints', out)
    return out
