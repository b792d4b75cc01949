# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Real photographs with real captions, from the tar they are published in to batches and a few steps of training."""

import html
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import TRAINED_STEPS, train_tiny
from typer.testing import CliRunner

from molmo_foundry.cli.data import app
from molmo_foundry.data.dataloader import build_molmo_dataloader
from molmo_foundry.data.mds import MDSRecords
from molmo_foundry.processing.tokenizer import MolmoTokenizer

PAIRS = 32


@pytest.fixture(scope='module')
def tar() -> Path:
    """A WebDataset tar of CC12M."""
    default = Path(__file__).parents[3] / 'shared' / 'data'
    path = Path(os.environ.get('MOLMO_SHARED_DATA', default)) / 'cc12m_mini' / 'cc12m-train-0000.tar'
    if not path.is_file():
        pytest.skip(f'no {path}; MOLMO_SHARED_DATA names the folder with cc12m_mini')
    return path


def _run(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_from_tar_to_training(tar: Path, tmp_path: Path) -> None:
    out = tmp_path / 'cc12m'
    assert f'{PAIRS} records written, 0 skipped' in _run('convert', tar, '--out', out, '--part-rows', 10)
    with tarfile.open(tar) as files:
        members = {member.name: files.extractfile(member) for member in files}
        photographs = {name: file.read() for name, file in members.items() if file and name.endswith('.jpg')}
        captions = {
            name: file.read().decode().strip() for name, file in members.items() if file and name.endswith('.txt')
        }
    records = list(MDSRecords(out))
    assert [record.images for record in records] == [[photographs[name]] for name in sorted(photographs)]
    assert [record.annotations[0]['text'] for record in records] == [captions[name] for name in sorted(captions)]

    assert _run('validate', out) == f'{out}: all {PAIRS} records are good\n'
    assert f'{PAIRS} records, 0 too long' in _run('stats', out, '--out', tmp_path / 'stats.png')
    assert (tmp_path / 'stats.png').stat().st_size > 5000
    _run('show', out, '--out', tmp_path / 'page.html')
    assert html.escape(next(iter(captions.values()))[:40]) in (tmp_path / 'page.html').read_text()

    block = {'streams': {'own': {'local': str(out)}}, 'llm': 'tiny', 'vit': 'tiny', 'max_seq_len': 512}
    tokenizer = MolmoTokenizer('tiny', vocab_size=1024)
    loader = build_molmo_dataloader(tokenizer, 8, block, drop_last=False, num_workers=0).dataloader
    batches = list(loader)
    assert [len(batch['metadata']) for batch in batches] == [8, 8, 8, 8]
    for batch in batches:
        for row, metadata in zip(batch['labels'].tolist(), batch['metadata']):
            name = metadata['id'].rpartition('/')[2]
            assert captions[f'{name}.txt'] in tokenizer.decode([token for token in row if token >= 0])
        assert batch['images'].dtype.is_floating_point or np.ptp(batch['images'].numpy()) > 200

    stream = {'local': str(out), 'styles': ['long_caption']}
    rows = train_tiny(tmp_path, {'train': stream, 'validation': stream}, **{'variables.max_seq_len': 512})
    losses = [row['loss/train/total'] for row in rows if 'loss/train/total' in row]
    assert len(losses) == TRAINED_STEPS and losses[-1] < losses[0] - 0.3, losses
    assert any('metrics/eval/validation/ce' in row for row in rows)
