# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`docs/own-data.md`, typed line by line: from a tar of pictures to an exported model that answers."""

import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from documented_commands import REPOSITORY, commands_of

from molmo_foundry.data.synthetic import make_examples

pytestmark = pytest.mark.proof

PAIRS = 32


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, BytesIO(content))


def test_every_command_of_the_page(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / 'photos.tar', 'w') as tar:
        for number, example in enumerate(make_examples('train', PAIRS)):
            _add(tar, f'{number:04d}.jpg', example.images[0])
            _add(tar, f'{number:04d}.txt', example.annotations[0]['text'].encode())
    (tmp_path / 'photo.jpg').write_bytes(next(make_examples('validation', 1)).images[0])
    (tmp_path / 'questions.txt').write_text('What is in the picture?\nAnd where?\n')
    for folder in ('scripts', 'yamls'):
        (tmp_path / folder).symlink_to(REPOSITORY / folder)
    commands = [command for command in commands_of(REPOSITORY / 'docs/own-data.md') if not command.why_not_run]
    assert len(commands) == 10, 'the page promises ten'
    programs = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    outputs = []
    for command in commands:
        done = subprocess.run(
            command.text,
            shell=True,
            cwd=tmp_path,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'PATH': programs},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f'{command.text}\n{done.stdout[-4000:]}'
        outputs.append(done.stdout)
    assert 'all 32 records are good' in outputs[0]
    assert '28 records written' in outputs[1] and '4 records written' in outputs[1]
    assert all((tmp_path / name).is_file() for name in ('stats.png', 'page.html', 'runs/photos/loss.png'))
    assert 'metrics/eval/validation/ce' in (tmp_path / 'runs/photos/metrics.jsonl').read_text()
    assert (tmp_path / 'exports/photos/model.safetensors').is_file()
    assert outputs[8].count('\n> ') >= 2 and 'photo.jpg' in outputs[8]
    assert int(outputs[9].split()[-1]) > 1_000_000
