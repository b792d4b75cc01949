# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Released directories: MolmoE-1B's own layout, and the configurations of the other releases."""

import json
import shutil
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from molmo_foundry import MolmoConfig, MolmoForCausalLM
from molmo_foundry.model.presets import build_config

SHOWN_COLUMNS = slice(None, None, 8)
"""Columns of the logits that the recording holds."""


@pytest.fixture(scope='module')
def molmoe(golden: Path) -> MolmoForCausalLM:
    return MolmoForCausalLM.from_pretrained(golden / 'molmoe_hf')


def recorded(golden: Path, kind: str) -> tuple[dict[str, Any], Tensor]:
    """A batch and the logits of the released code."""
    arrays = np.load(golden / 'molmoe_hf' / f'batch_{kind}.npz')
    batch = {key: torch.from_numpy(arrays[key]) for key in arrays if key not in ('labels', 'loss_masks')}
    batch['images'] = batch['images'].float()
    return batch, torch.from_numpy(np.load(golden / 'molmoe_hf' / f'out_{kind}.npz')['logits'])


def leaking(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with missing crops where the released code puts them.

    Their tokens have index -1, which it adds to the row's start: their features go to the last token of the row before.
    """
    real = (batch['image_input_idx'] >= 0).any(-1)
    ragged: dict[str, list[Tensor]] = {'images': [], 'image_masks': [], 'image_input_idx': []}
    for row in range(len(real)):
        after = (row + 1) % len(real)
        for name, parts in ragged.items():
            parts += [batch[name][row][real[row]], batch[name][after][~real[after]]]
        ragged['image_input_idx'][-1].fill_(batch['input_ids'].shape[1] - 1)
    counts = [int(own.sum() + (~after).sum()) for own, after in zip(real, real.roll(-1, 0))]
    return {**batch, **{name: torch.cat(parts) for name, parts in ragged.items()}, 'crop_counts': counts}


@torch.no_grad()
@pytest.mark.parametrize('kind', ['single', 'multi'])
def test_molmoe_computes_the_recorded_logits(golden: Path, molmoe: MolmoForCausalLM, kind: str) -> None:
    """To 5e-4 at real tokens: float32 on another machine, through eight experts.

    The one exception is the last token of a row before one with missing crops, whose features leak into it there.
    """
    batch, expected = recorded(golden, kind)
    real = batch['input_ids'] >= 0
    assert real.sum() > 450
    missing = (batch['image_input_idx'] < 0).all(-1).any(1)
    leaked = torch.zeros_like(real)
    leaked[:, -1] = missing.roll(-1)
    wrong = (molmoe(**batch).logits[..., SHOWN_COLUMNS] - expected).abs().amax(-1) > 5e-4
    assert torch.equal(wrong & real, leaked & real)
    assert (leaked & real).nonzero().tolist() == ([[0, 429]] if kind == 'single' else [])
    logits = molmoe(**leaking(batch)).logits[..., SHOWN_COLUMNS]
    torch.testing.assert_close(logits[real], expected[real], atol=5e-4, rtol=0)


def test_molmoe_is_ours_once_it_is_loaded(tmp_path: Path, molmoe: MolmoForCausalLM) -> None:
    molmoe.save_pretrained(tmp_path)
    again = MolmoForCausalLM.from_pretrained(tmp_path)
    again.save_pretrained(tmp_path / 'again')
    assert (tmp_path / 'again' / 'config.json').read_text() == (tmp_path / 'config.json').read_text()
    for key, value in molmoe.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_molmoe_takes_the_options_of_from_pretrained(golden: Path) -> None:
    model, info = MolmoForCausalLM.from_pretrained(
        golden / 'molmoe_hf', torch_dtype=torch.bfloat16, attn_implementation='flex_attention', output_loading_info=True
    )
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.config._attn_implementation == 'flex_attention'
    assert not info['missing_keys'] and not info['unexpected_keys']


def changed_copy(source: Path, target: Path, change: Callable[[dict[str, Tensor]], Any]) -> Path:
    shutil.copytree(source, target)
    state = load_file(target / 'model.safetensors')
    change(state)
    save_file(state, target / 'model.safetensors')
    return target


EXPERT = 'model.transformer.blocks.1.mlp.experts.3.up_proj.weight'


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda state: state.pop(EXPERT), f'model.safetensors: there is no tensor {EXPERT}'),
        (lambda state: state.update(extra=torch.ones(1)), r'model.safetensors: .* does not have: extra\.'),
        (
            lambda state: state.update({'lm_head.weight': torch.ones(512, 65)}),
            r'model.safetensors: model\.transformer\.ff_out\.weight has shape \(512, 65\)',
        ),
    ],
)
def test_broken_molmoe_directories_are_named(
    golden: Path, tmp_path: Path, change: Callable[[dict[str, Tensor]], Any], message: str
) -> None:
    directory = changed_copy(golden / 'molmoe_hf', tmp_path / 'copy', change)
    with pytest.raises(ValueError, match=message):
        MolmoForCausalLM.from_pretrained(directory)


def test_a_field_that_does_not_exist_is_named(golden: Path, tmp_path: Path) -> None:
    """What the layout has no word for stands in a block of our own, which is checked as the rest."""
    content = json.loads((golden / 'molmoe_hf' / 'config.json').read_text())
    for fields, message in (
        ({'vocab': 1}, 'config.json: vocab under molmo_foundry is not a field of a Molmo'),
        ({'vision': {'size': 1}}, 'config.json: size under molmo_foundry is not a field'),
        ({'layer_norm_type': 'batch'}, "layer_norm_type='batch' is not supported"),
    ):
        (tmp_path / 'config.json').write_text(json.dumps({**content, 'molmo_foundry': fields}))
        with pytest.raises(ValueError, match=message):
            MolmoConfig.from_pretrained(tmp_path)


RELEASED_FIELDS = (
    'attention_layer_norm clip_qkv embedding_size hidden_size initializer_range intermediate_size layer_norm_eps '
    'layer_norm_type max_position_embeddings norm_after num_attention_heads num_hidden_layers num_key_value_heads '
    'qkv_bias rope_theta use_position_ids vocab_size weight_tying'
).split()
"""What the `config.json` of Molmo-7B-D, -7B-O and -72B has to say of the model."""


@pytest.mark.parametrize(
    'llm, image_token_start', [('qwen2_7b', 152064), ('qwen2_72b', 152064), ('olmo_1024_preview', 100278)]
)
def test_what_released_configs_leave_out_is_filled_in(tmp_path: Path, llm: str, image_token_start: int) -> None:
    """With the CLIP tower of the releases; only the image tokens of 7B-O stand elsewhere than in a new model."""
    full = build_config(llm, 'openai')
    released = {key: getattr(full, key) for key in RELEASED_FIELDS}
    released |= {'architectures': ['MolmoForCausalLM'], 'model_type': 'molmo', 'tie_word_embeddings': False}
    (tmp_path / 'config.json').write_text(json.dumps(released))
    config = MolmoConfig.from_pretrained(tmp_path)
    assert config.image_token_ids['<im_start>'] == image_token_start
    left_out = ('image_token_start', 'init_cutoff_factor', 'architectures', 'transformers_version', '_name_or_path')
    expected, actual = full.to_dict(), config.to_dict()
    assert {k: v for k, v in actual.items() if k not in left_out} == {
        k: v for k, v in expected.items() if k not in left_out
    }
