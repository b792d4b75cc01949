# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several rooms share."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Callable

import pytest

# Before torch is imported. Several tests fork, and a fork of a process with OpenMP threads hangs at its first parallel
# region; the others start processes of their own, which are as many as there are cores.
os.environ.setdefault('OMP_NUM_THREADS', '1')

GOLDEN = Path(__file__).parent / 'golden'


@pytest.fixture(scope='session')
def golden() -> Path:
    """The folder of recorded reference data."""
    return GOLDEN


@pytest.fixture(scope='module')
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess]:
    """Runs Chromium on a page's URL."""
    binary = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if binary is None:
        pytest.skip('there is no Chromium; Debian has it as the package chromium')
    profile = tmp_path_factory.mktemp('profile')
    common = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars']

    def run(url: str, *options: str) -> subprocess.CompletedProcess:
        command = [binary, *common, f'--user-data-dir={profile}', *options, url]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    return run
