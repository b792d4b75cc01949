# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Starting from any kind of checkpoint; those of real runs are in `recipes/test_stages.py`."""

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from golden_training import FOLDER

from molmo_foundry.convert import load_native
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.train.lora import LoraSettings, add_lora
from molmo_foundry.train.pretrained import load_pretrained


def composer_state(model: MolmoForCausalLM) -> dict[str, Any]:
    """What Composer saves, with tensors under the names that they have in `ComposerMolmo`."""
    weights = {f'model.{name}': tensor for name, tensor in model.state_dict().items()}
    return {'state': {'model': weights, 'run_name': 'one'}, 'rng': [{'torch': torch.get_rng_state()}]}


def whole(model: MolmoForCausalLM, folder: Path) -> Path:
    torch.save(composer_state(model), folder / 'latest-rank0.pt')
    return folder / 'latest-rank0.pt'


def sharded(model: MolmoForCausalLM, folder: Path) -> Path:
    dcp.save(composer_state(model), storage_writer=dcp.FileSystemWriter(folder / 'ep0-ba1'), no_dist=True)
    (folder / 'latest-sharded-rank0').symlink_to('ep0-ba1')
    return folder / 'latest-sharded-rank0'


def hugging_face(model: MolmoForCausalLM, folder: Path) -> Path:
    model.save_pretrained(folder / 'hf')
    return folder / 'hf'


def native(model: MolmoForCausalLM, folder: Path) -> Path:
    state = {name.removeprefix('model.'): tensor for name, tensor in model.state_dict().items()}
    torch.save(state, folder / 'model.pt')
    shutil.copy(FOLDER / 'model.yaml', folder)
    return folder


@pytest.mark.parametrize('write', [whole, sharded, hugging_face, native])
@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_weights_come_back_from_every_kind(write: Any, device: str, tmp_path: Path) -> None:
    source = load_native(FOLDER)
    path = write(source, tmp_path)
    with torch.device(device):
        model = MolmoForCausalLM(source.config)
    load_pretrained(model, path)
    for name, tensor in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = load_native(FOLDER)
    hugging_face(source, tmp_path)
    monkeypatch.setattr('molmo_foundry.convert.hub.snapshot_download', lambda name, **_: str(tmp_path / 'hf'))
    model = MolmoForCausalLM(source.config)
    load_pretrained(model, 'allenai/Molmo-7B-D-0924')
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in source.state_dict().items())


@pytest.mark.parametrize('write', [whole, sharded])
def test_low_rank_updates_are_merged(write: Any, tmp_path: Path) -> None:
    source = load_native(FOLDER)
    add_lora(source, LoraSettings(rank=2))
    for name, parameter in source.named_parameters():
        if 'lora_B' in name:
            torch.nn.init.ones_(parameter)
    model = load_native(FOLDER)
    load_pretrained(model, write(source, tmp_path))
    adapted = source.state_dict()
    for name, tensor in model.state_dict().items():
        layer, _, end = name.rpartition('.')
        base = adapted.get(name, adapted.get(f'{layer}.base_layer.{end}'))
        down, up = (adapted.get(f'{layer}.lora_{letter}.default.{end}') for letter in 'AB')
        expected = base if up is None else base + 32 / 2 * up @ down
        torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=0)
    assert not torch.equal(
        model.model.transformer.blocks[0].att_proj.weight,
        load_native(FOLDER).model.transformer.blocks[0].att_proj.weight,
    )


def test_bfloat16_weights_become_float32(tmp_path: Path) -> None:
    source = load_native(FOLDER).bfloat16()
    model = load_native(FOLDER)
    load_pretrained(model, hugging_face(source, tmp_path))
    assert {p.dtype for p in model.parameters()} == {torch.float32}


class Attack:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    mark, model = tmp_path / 'attacked', load_native(FOLDER)
    file, folder = tmp_path / 'file.pt', tmp_path / 'folder'
    torch.save({'state': {'model': {}}, 'x': Attack(mark)}, file)
    folder.mkdir()
    (folder / '.metadata').write_bytes(pickle.dumps(Attack(mark)))
    for path in (file, folder):
        with pytest.raises(ValueError, match='mkdir'):
            load_pretrained(model, path)
    assert not mark.exists()


def test_errors_name_what_is_wrong(tmp_path: Path) -> None:
    model = load_native(FOLDER)
    with pytest.raises(FileNotFoundError, match='No checkpoint at .*nowhere: it does not exist'):
        load_pretrained(model, tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='has none of .metadata, model.pt, config.json'):
        load_pretrained(model, tmp_path)
    torch.save({'weights': {}}, tmp_path / 'x.pt')
    with pytest.raises(ValueError, match="x.pt is no Composer checkpoint of a Molmo: it has no 'state'"):
        load_pretrained(model, tmp_path / 'x.pt')
    state = composer_state(model)
    del state['state']['model']['model.model.transformer.ln_f.weight']
    torch.save(state, tmp_path / 'y.pt')
    with pytest.raises(ValueError, match=r'y.pt.*missing: model.transformer.ln_f.weight'):
        load_pretrained(model, tmp_path / 'y.pt')
