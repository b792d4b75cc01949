# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What must not be exported is named, and whatever breaks off leaves nothing behind."""

import json
import os
import pickle
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_states import sharded, whole
from intruder import Intruder
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from molmo_foundry.cli.convert import app
from molmo_foundry.convert.export import export


@pytest.mark.parametrize(
    'kwargs, message',
    [
        ({'layout': 'gguf'}, "layout='gguf' does not exist; choose one of: released, molmoe, native"),
        ({'dtype': 'int4'}, "dtype='int4' does not exist; choose one of: fp32, bf16, fp16"),
        ({'layout': 'molmoe'}, 'layout molmoe is for mixtures of experts'),
    ],
)
def test_wrong_arguments_leave_nothing(released: Path, tmp_path: Path, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export(str(released), tmp_path / 'out', **kwargs)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_directory_is_not_touched(released: Path, tmp_path: Path) -> None:
    (tmp_path / 'mine').write_text('mine')
    with pytest.raises(FileExistsError, match='exists already and is not empty'):
        export(str(released), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['mine']


def test_an_interrupt_leaves_nothing(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('molmo_foundry.convert.safetensors_files.save_file', interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(str(released), tmp_path / 'out')
    assert list(tmp_path.iterdir()) == []


def test_sigterm_leaves_nothing(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        'molmo_foundry.convert.safetensors_files.save_file', lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)
    )
    before = signal.getsignal(signal.SIGTERM)
    done = CliRunner().invoke(app, ['export', str(released), '--out', str(tmp_path / 'out')])
    assert done.exit_code == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_full_disk_is_named(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError('Error while serializing: I/O error: No space left on device')

    monkeypatch.setattr('molmo_foundry.convert.safetensors_files.save_file', full)
    with pytest.raises(OSError, match='model.safetensors cannot be written: .* No space left on device'):
        export(released, tmp_path / 'out')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('mark', ['model_and_optim/.metadata', 'model/rank0.pt'])
def test_sharded_native_checkpoints_are_told_how_to_go_on(tmp_path: Path, mark: str) -> None:
    (tmp_path / 'run' / mark).parent.mkdir(parents=True)
    (tmp_path / 'run' / mark).touch()
    with pytest.raises(FileNotFoundError, match='run holds a sharded native checkpoint. Unshard it with allenai/molmo'):
        export(tmp_path / 'run', tmp_path / 'out')


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def test_truncated_checkpoints_are_named(one_process: Path, two_processes: Path, tmp_path: Path) -> None:
    file = tmp_path / 'whole.pt'
    shutil.copy(whole(one_process), file)
    truncate(file, 30_000)
    with pytest.raises(ValueError, match='whole.pt is damaged, or no file of torch.save'):
        export(str(file), tmp_path / 'out')
    shards = tmp_path / 'shards'
    shutil.copytree(sharded(two_processes), shards)
    metadata = pickle.loads((shards / '.metadata').read_bytes())
    for place in metadata.storage_data.values():
        place.relative_path = f'../shards/{place.relative_path}'
    (shards / '.metadata').write_bytes(pickle.dumps(metadata))
    with pytest.raises(FileNotFoundError, match=r'/\.\./shards/__.*distcp, which holds state.*, is missing'):
        export(str(shards), tmp_path / 'out')
    shutil.copy(sharded(two_processes) / '.metadata', shards)
    truncate(shards / '__1_0.distcp', 5_000)
    with pytest.raises(ValueError, match='__1_0.distcp is truncated: state.* ends behind it'):
        export(str(shards), tmp_path / 'out')
    (shards / '__1_0.distcp').unlink()
    with pytest.raises(FileNotFoundError, match='__1_0.distcp, which holds state.*, is missing'):
        export(str(shards), tmp_path / 'out')
    truncate(shards / '.metadata', 100)
    with pytest.raises(ValueError, match=r'\.metadata is not the metadata of a checkpoint'):
        export(str(shards), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_broken_exports_are_named(released: Path, tmp_path: Path) -> None:
    """A directory in the released layout, in shards."""

    def broken(name: str) -> Path:
        shutil.copytree(tmp_path / 'good', tmp_path / name)
        return tmp_path / name

    export(released, tmp_path / 'good', shard_bytes=50_000)
    index = json.loads((tmp_path / 'good' / 'model.safetensors.index.json').read_text())
    key = 'model.transformer.blocks.1.att_proj.weight'
    shard = index['weight_map'][key]
    truncate(broken('short') / shard, 5_000)
    with pytest.raises(ValueError, match=f'short/{shard} is damaged, or no safetensors file'):
        export(tmp_path / 'short', tmp_path / 'out')
    (broken('less') / shard).unlink()
    with pytest.raises(
        FileNotFoundError, match=f'less/{shard} is missing, although model.safetensors.index.json names'
    ):
        export(tmp_path / 'less', tmp_path / 'out')
    state = load_file(broken('tampered') / shard)
    save_file({**state, key: state[key][:, 1:].contiguous()}, tmp_path / 'tampered' / shard)
    with pytest.raises(
        ValueError, match=rf'tampered/{shard}: {key} has shape \(64, 31\), but the configuration makes it'
    ):
        export(tmp_path / 'tampered', tmp_path / 'out')
    config = broken('other') / 'config.json'
    config.write_text(config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    with pytest.raises(ValueError, match=r'other/.*: tensors that .* are missing: model.transformer.blocks.2.att_proj'):
        export(tmp_path / 'other', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_pickled_code_is_not_run(one_process: Path, two_processes: Path, tmp_path: Path) -> None:
    target = tmp_path / 'intruded'
    content = torch.load(whole(one_process), weights_only=False)
    content['state']['callbacks']['Intruder'] = Intruder(target)
    torch.save(content, tmp_path / 'whole.pt')
    with pytest.raises(ValueError, match='whole.pt holds .*, neither tensor nor plain value, which is not read'):
        export(str(tmp_path / 'whole.pt'), tmp_path / 'out')

    shards = tmp_path / 'shards'
    shutil.copytree(sharded(two_processes), shards)
    metadata = pickle.loads((shards / '.metadata').read_bytes())
    metadata.planner_data['intruder'] = Intruder(target)
    (shards / '.metadata').write_bytes(pickle.dumps(metadata))
    with pytest.raises(ValueError, match=r'\.metadata is not the metadata of a checkpoint, or could run code'):
        export(str(shards), tmp_path / 'out')
    assert not target.exists()
    pickle.loads((shards / '.metadata').read_bytes())
    assert target.exists(), 'the file would run code if it were let'


def test_what_is_no_molmo_is_named(one_process: Path, released: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='No checkpoint at .*nowhere: it does not exist'):
        export(str(tmp_path / 'nowhere'), tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(
        FileNotFoundError, match='No checkpoint at .*empty: it has none of .metadata, model.pt, config.json'
    ):
        export(str(tmp_path / 'empty'), tmp_path / 'out')
    torch.save({'weight': torch.ones(1)}, tmp_path / 'plain.pt')
    with pytest.raises(ValueError, match="plain.pt is no Composer checkpoint of a Molmo: it has no 'state'"):
        export(str(tmp_path / 'plain.pt'), tmp_path / 'out')
    content = torch.load(whole(one_process), weights_only=False)
    missing = content['state']['model'].pop('model.model.transformer.ln_f.weight')
    torch.save(content, tmp_path / 'less.pt')
    with pytest.raises(ValueError, match=r'less.pt: .* are missing: model\.transformer\.ln_f\.weight'):
        export(str(tmp_path / 'less.pt'), tmp_path / 'out')
    content['state']['model']['model.model.transformer.ln_f.weight'] = torch.cat([missing, missing])
    torch.save(content, tmp_path / 'shape.pt')
    with pytest.raises(ValueError, match=r'shape.pt: model\.transformer\.ln_f\.weight has shape \(64,\)'):
        export(str(tmp_path / 'shape.pt'), tmp_path / 'out')
    content['state']['integrations']['huggingface']['model']['config']['content']['model_type'] = 'mpt'
    torch.save(content, tmp_path / 'mpt.pt')
    with pytest.raises(ValueError, match="mpt.pt holds a model of type 'mpt', no Molmo"):
        export(str(tmp_path / 'mpt.pt'), tmp_path / 'out')
