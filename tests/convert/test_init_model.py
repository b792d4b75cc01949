# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Starting from a language model and a vision tower: as a directory, and in a recipe."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_models import saved
from published_parts import hub_llm, hub_tower, overrides
from test_hf_vit import TOWERS
from typer.testing import CliRunner

from molmo_foundry import ComposerMolmo, MolmoForCausalLM, MolmoProcessor
from molmo_foundry.cli.convert import app
from molmo_foundry.model.decoder import Decoder
from molmo_foundry.model.presets import build_config


@pytest.fixture(scope='module')
def llm(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published language model with its tokenizer of 512 tokens."""
    directory = saved(hub_llm(), tmp_path_factory.mktemp('hub') / 'llm')
    for path in (golden / 'tiny-qwen2').iterdir():
        shutil.copy(path, directory)
    return directory


@pytest.fixture(scope='module')
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(hub_tower(), tmp_path_factory.mktemp('hub') / 'vit')


def test_the_command_line(llm: Path, vit: Path, tmp_path: Path) -> None:
    arguments = ['init', '--llm', str(llm), '--vit', str(vit), '--out']
    for name in ('first', 'second'):
        done = CliRunner().invoke(app, [*arguments, str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        assert f'llm: 15 tensors from {llm}' in done.output
    first, second = (MolmoForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in ('first', 'second'))
    assert all(torch.equal(first[key], second[key]) for key in first), 'the connector follows from the seed'
    config = MolmoForCausalLM.from_pretrained(tmp_path / 'first').config
    assert (config.vocab_size, config.image_token_ids['<im_start>']) == (512, 512)
    assert (config.vision.vit_type, config.vision.resize_mode, config.vision.image_size) == (
        'siglip',
        'siglip',
        [16, 16],
    )
    assert MolmoProcessor.from_pretrained(str(tmp_path / 'first')).tokenizer.image_token_ids['<im_start>'] == 512
    failed = CliRunner().invoke(app, [*arguments, str(tmp_path / 'first')])
    assert failed.exit_code == 1 and 'exists already' in failed.output


@pytest.mark.parametrize('name', ['clip', 'siglip2', 'dino'])
def test_every_kind_of_tower(llm: Path, tmp_path: Path, name: str) -> None:
    directory = saved(TOWERS[name].make(), tmp_path / 'vit')
    arguments = ['init', '--llm', str(llm), '--vit', str(directory), '--out', str(tmp_path / 'out'), '--dtype', 'bf16']
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    model = MolmoForCausalLM.from_pretrained(tmp_path / 'out', torch_dtype='auto')
    assert model.dtype == torch.bfloat16 and model.config.vision.patch_grid == (4, 4)


def test_failures_leave_nothing(llm: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    done = CliRunner().invoke(app, ['init', '--llm', str(llm), '--vit', str(llm), '--out', str(out)])
    assert done.exit_code == 1 and "model_type='llama' cannot be converted" in done.output
    assert list(tmp_path.iterdir()) == []
    done = CliRunner().invoke(app, ['init', '--llm', 'qwen2', '--vit', 'siglip', '--out', str(out)])
    assert done.exit_code == 1 and 'qwen2 is no language model: give a directory, a hub id' in done.output
    assert 'qwen2_7b, qwen2_72b' in done.output and 'tiny' not in done.output
    assert list(tmp_path.iterdir()) == []


def recipe(llm: Path, **changes: Any) -> ComposerMolmo:
    """A recipe's model block."""
    return ComposerMolmo(llm='tiny', vit='tiny', overrides=overrides(), **{'llm_weights': str(llm), **changes})


def test_a_recipe(llm: Path, vit: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = recipe(llm, vit_weights=str(vit), init_device='mixed').model.model
    assert torch.equal(model.transformer.wte.embedding, hub_llm().model.embed_tokens.weight)
    norm = model.vision_backbone.image_vit.transformer.resblocks[0].ffn_norm.weight
    assert torch.equal(norm, hub_tower().vision_model.encoder.layers[0].layer_norm2.weight)
    shown = capfd.readouterr().err
    assert f'load {llm}: 100%' in shown and f'load {vit}: 100%' in shown


def test_a_recipe_of_another_architecture(llm: Path, vit: Path) -> None:
    with pytest.raises(ValueError, match=rf'{llm} is of another architecture .* num_hidden_layers=3 \(there: 2\)'):
        ComposerMolmo(llm='tiny', vit='tiny', overrides={**overrides(), 'num_hidden_layers': 3}, llm_weights=str(llm))
    with pytest.raises(ValueError, match=r'model.safetensors: model.embed_tokens.weight has shape \(512, 32\), which'):
        ComposerMolmo(llm='tiny', vit='tiny', overrides={**overrides(), 'vocab_size': 400}, llm_weights=str(llm))


def test_weights_need_a_real_device(llm: Path) -> None:
    with pytest.raises(ValueError, match='init_device=meta makes new weights; use mixed'):
        recipe(llm, init_device='meta')


@pytest.mark.parametrize(
    'name, expected, tied',
    [
        ('qwen2_5_0_5b', 494_032_768, True),
        ('qwen3_0_6b', 596_049_920, True),
        ('smollm2_135m', 134_515_008, True),
        ('smollm2_1_7b', 1_711_376_384, True),
        ('llama3_8b', 8_030_261_248, False),
    ],
)
def test_presets_have_as_many_parameters_as_was_published(name: str, expected: int, tied: bool) -> None:
    with torch.device('meta'):
        decoder = Decoder(build_config(name, 'tiny'))
    count = sum(p.numel() for p in decoder.parameters()) - decoder.wte.new_embedding.numel()
    assert count - tied * decoder.ff_out.weight.numel() == expected
