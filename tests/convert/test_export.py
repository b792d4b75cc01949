# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Exports of checkpoints that Composer wrote: by the command line, and by the callback during training."""

import json
import os
import shutil
from pathlib import Path

import torch
from checkpoint_states import assert_equal, expected_of, sharded
from safetensors.torch import load_file
from transformers import AutoTokenizer
from typer.testing import CliRunner

from molmo_foundry import MolmoForCausalLM, MolmoProcessor
from molmo_foundry.cli.convert import app
from molmo_foundry.convert import load_native
from molmo_foundry.convert.export import export


def test_composers_checkpoints_bit_for_bit(run: Path, tmp_path: Path) -> None:
    export(str(run / 'checkpoints'), tmp_path / 'out')
    assert_equal(MolmoForCausalLM.from_pretrained(tmp_path / 'out').state_dict(), expected_of(run))


def test_the_callback_writes_the_same_in_bfloat16(run: Path, tmp_path: Path) -> None:
    export(str(run / 'checkpoints'), tmp_path / 'out', dtype='bf16')
    written = run / 'exports' / 'huggingface' / 'ba1'
    assert {path.name for path in written.iterdir()} == {path.name for path in (tmp_path / 'out').iterdir()}
    for path in written.iterdir():
        assert path.read_bytes() == (tmp_path / 'out' / path.name).read_bytes(), path.name
    assert_equal(load_file(written / 'model.safetensors'), expected_of(run), torch.bfloat16)
    assert sorted(path.name for path in written.parent.iterdir()) == ['ba1']


def test_an_export_is_ready_to_use(one_process: Path) -> None:
    written = one_process / 'exports' / 'huggingface' / 'ba1'
    model, processor = MolmoForCausalLM.from_pretrained(written), MolmoProcessor.from_pretrained(str(written))
    inputs = processor(text='what is this?', return_tensors='pt')
    assert model.generate(**inputs, max_new_tokens=2, do_sample=False).shape == (1, inputs['input_ids'].shape[1] + 2)
    assert AutoTokenizer.from_pretrained(written).convert_tokens_to_ids('<im_patch>') == 1026
    generation = json.loads((written / 'generation_config.json').read_text())
    assert generation['eos_token_id'] == processor.tokenizer.eos_token_id
    assert json.loads((written / 'config.json').read_text())['torch_dtype'] == 'bfloat16'
    assert 'library_name: transformers' in (written / 'README.md').read_text()


def test_a_run_of_several_ranks_is_named_by_its_folder(two_processes: Path, tmp_path: Path) -> None:
    """LLM-Foundry's link to sharded checkpoints; a link left by an earlier run on one GPU is older."""
    folder = tmp_path / 'checkpoints'
    shutil.copytree(sharded(two_processes), folder / 'ep0-ba1')
    (folder / 'ep0-ba0-rank0.pt').write_bytes(b'older')
    os.utime(folder / 'ep0-ba0-rank0.pt', (0, 0))
    (folder / 'latest-rank0.pt').symlink_to('ep0-ba0-rank0.pt')
    (folder / 'latest-sharded-rank0').symlink_to('ep0-ba1')
    export(folder, tmp_path / 'out')
    model = MolmoForCausalLM.from_pretrained(tmp_path / 'out')
    assert_equal(model.state_dict(), expected_of(two_processes))
    trained = MolmoForCausalLM(model.config).eval()
    trained.load_state_dict(expected_of(two_processes))
    ids = torch.arange(12)[None]
    assert torch.equal(model(ids).logits, trained(ids).logits)


def test_shards_have_an_index(released: Path, tmp_path: Path) -> None:
    export(str(released), tmp_path / 'out', shard_bytes=50_000)
    index = json.loads((tmp_path / 'out' / 'model.safetensors.index.json').read_text())
    expected = load_file(released / 'model.safetensors')
    files = {name: load_file(tmp_path / 'out' / name) for name in set(index['weight_map'].values())}
    assert len(files) > 2 and not (tmp_path / 'out' / 'model.safetensors').exists()
    assert_equal({key: files[name][key] for key, name in index['weight_map'].items()}, expected)
    assert index['metadata']['total_size'] == sum(4 * value.numel() for value in expected.values())
    assert_equal(MolmoForCausalLM.from_pretrained(tmp_path / 'out').state_dict(), expected)


def test_the_command_line(one_process: Path, released: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    checkpoint = str(one_process / 'checkpoints')
    done = CliRunner().invoke(app, ['export', checkpoint, '--out', str(out), '--dtype', 'bf16'])
    assert done.exit_code == 0, done.output
    assert_equal(load_file(out / 'model.safetensors'), expected_of(one_process), torch.bfloat16)
    failed = CliRunner().invoke(app, ['export', checkpoint, '--out', str(out)])
    assert failed.exit_code == 1 and 'exists already and is not empty' in failed.output
    bare = CliRunner().invoke(app, ['export', str(released), '--out', str(tmp_path / 'native'), '--layout', 'native'])
    assert bare.exit_code == 0, bare.output
    assert_equal(load_native(tmp_path / 'native').state_dict(), expected_of(one_process))
