# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of every kind give the same model, and none can run code."""

import os
import pickle
from pathlib import Path
from typing import Any, Callable

import pytest
import torch
import torch.distributed.checkpoint as dcp
from benchmark_records import save_model
from composer import Trainer

from molmo_foundry.convert import load_native
from molmo_foundry.eval.checkpoint import kind_of, load_model
from molmo_foundry.eval.fingerprint import weights_fingerprint
from molmo_foundry.eval.shards import load_shards
from molmo_foundry.model.composer_model import ComposerMolmo

MODEL = {'llm': 'tiny', 'vit': 'tiny', 'overrides': {'initializer_range': 0.3}}
TOKENIZER = {'name_or_path': 'tiny', 'vocab_size': 1024}


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='module')
def model(folder: Path) -> ComposerMolmo:
    return load_model(folder, {}, None)


def test_transformers_directory(folder: Path, model: ComposerMolmo) -> None:
    assert kind_of(folder) == 'transformers directory'
    assert model.tokenizer.image_token_ids == model.model.config.image_token_ids
    given = load_model(folder, MODEL, TOKENIZER)
    assert weights_fingerprint(given) == weights_fingerprint(model)


def test_native_directory(golden: Path) -> None:
    loaded = load_model(golden / 'qwen2_clip', {}, {'name_or_path': str(golden / 'tiny-qwen2')})
    expected = load_native(golden / 'qwen2_clip').state_dict()
    actual = loaded.model.state_dict()
    assert expected.keys() == actual.keys() and all(torch.equal(expected[key], actual[key]) for key in expected)


def test_composer_file(model: ComposerMolmo, tmp_path: Path) -> None:
    """A checkpoint as Composer's saver writes it, with random states and timestamps in it."""
    trainer = Trainer(model=model, progress_bar=False, run_name='test')
    saved = Path(trainer.save_checkpoint(str(tmp_path / 'ep0-ba1-rank0.pt')) or '')
    assert kind_of(saved) == 'Composer file'
    (tmp_path / 'latest-rank0.pt').symlink_to(saved.name)
    for path in (saved, tmp_path):
        loaded = load_model(path, MODEL, TOKENIZER)
        assert weights_fingerprint(loaded) == weights_fingerprint(model)
    with pytest.raises(ValueError, match='recipe needs the blocks model and tokenizer'):
        load_model(saved, {}, None)
    with pytest.raises(ValueError, match='ep0-ba1-rank0.pt: '):
        load_model(saved, {**MODEL, 'overrides': {'hidden_size': 64}}, TOKENIZER)


def test_composer_shards(model: ComposerMolmo, tmp_path: Path) -> None:
    dcp.save({'state': {'model': model.state_dict()}}, checkpoint_id=str(tmp_path / 'ep0-ba1'), no_dist=True)
    assert kind_of(tmp_path / 'ep0-ba1') == 'Composer sharded'
    loaded = load_model(tmp_path / 'ep0-ba1', MODEL, TOKENIZER)
    assert weights_fingerprint(loaded) != weights_fingerprint(model)
    load_shards(tmp_path / 'ep0-ba1', loaded)
    assert weights_fingerprint(loaded) == weights_fingerprint(model)
    with pytest.raises(ValueError, match='ep0-ba1 has no model.transformer.blocks.0'):
        load_shards(tmp_path / 'ep0-ba1', torch.nn.ModuleDict({'model': model.model.model}))


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


def test_no_code_runs(model: ComposerMolmo, tmp_path: Path) -> None:
    owned = tmp_path / 'owned'
    torch.save({'state': {'model': Attack(owned)}}, tmp_path / 'full.pt')
    (tmp_path / 'shards').mkdir()
    (tmp_path / 'shards' / '.metadata').write_bytes(pickle.dumps(Attack(owned)))
    with pytest.raises(ValueError, match='full.pt holds .*mkdir, neither tensor nor plain value'):
        load_model(tmp_path / 'full.pt', MODEL, TOKENIZER)
    with pytest.raises(
        ValueError, match='.metadata is not the metadata of a checkpoint, or could run code: posix.mkdir'
    ):
        load_shards(tmp_path / 'shards', model)
    assert not owned.exists()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='it does not exist. Give a Composer file'):
        kind_of(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='it has none of .metadata, model.pt, config.json'):
        kind_of(tmp_path)
