# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A Molmo in another layout and back: the same model to the last bit."""

import json
from pathlib import Path
from typing import Any

import pytest
from checkpoint_states import assert_equal
from hub_models import random_molmo
from safetensors.torch import load_file

from molmo_foundry import MolmoForCausalLM
from molmo_foundry.convert import load_native
from molmo_foundry.convert.export import export
from molmo_foundry.convert.lost_fields import own_fields

OURS: dict[str, dict[str, Any]] = {
    'qwen2': {'qkv_bias': True, 'eos_token_id': 3},
    'olmo2': {'attention_layer_norm': True, 'norm_after': True, 'embedding_size': 80, 'image_token_start': 80},
    'qwen3': {'attention_layer_norm': 'heads', 'head_dim': 16},
    'tied': {'weight_tying': True, 'additional_vocab_size': None},
    'siglip': {
        'vision': {'vit_type': 'siglip', 'num_positions': 16, 'resize_mode': 'siglip', 'max_crops': 3},
        'connector': {'vit_layers': [-1], 'padding_embed': None, 'pooling': 'attention'},
    },
    'olmoe': {
        **{'attention_layer_norm': True, 'moe_num_experts': 4, 'moe_top_k': 2, 'num_key_value_heads': 4},
        **{'embedding_size': 80, 'image_token_start': 80, 'moe_loss_weight': 0.01, 'prompt_type': 'none'},
    },
}
"""Models of every kind: settings that differ from those of `random_molmo`."""

ROUND_TRIPS = [
    (name, layout) for name in OURS for layout in ('released', 'native') if (name, layout) != ('qwen3', 'native')
]
ROUND_TRIPS += [('olmoe', 'molmoe')]


@pytest.mark.parametrize('name, layout', ROUND_TRIPS)
def test_there_and_back(tmp_path: Path, name: str, layout: str) -> None:
    """Bit-equal tensors and the same configuration, whatever the other layout has no words for."""
    model = random_molmo(**OURS[name])
    model.save_pretrained(tmp_path / 'ours')
    export(str(tmp_path / 'ours'), tmp_path / 'there', layout=layout)
    load = load_native if layout == 'native' else MolmoForCausalLM.from_pretrained
    export(str(tmp_path / 'there'), tmp_path / 'back')
    back = MolmoForCausalLM.from_pretrained(tmp_path / 'back')
    for found in (load(tmp_path / 'there'), back):
        assert_equal(found.state_dict(), model.state_dict())
        assert own_fields(found.config) == own_fields(model.config)
    assert back.config.eos_token_id == (model.config.eos_token_id if layout != 'native' else None)


def test_to_native_and_back(golden: Path, tmp_path: Path) -> None:
    for name in ('qwen2_clip', 'olmo2_siglip', 'llama_dino'):
        export(str(golden / name), tmp_path / name / 'released')
        export(str(tmp_path / name / 'released'), tmp_path / name / 'native', layout='native')
        before, after = load_native(golden / name), load_native(tmp_path / name / 'native')
        assert after.config.to_dict() == before.config.to_dict(), name
        assert_equal(after.state_dict(), before.state_dict())


def test_molmoe_and_back(golden: Path, tmp_path: Path) -> None:
    """The recorded release, byte for byte in its tensors, through our own layout."""
    export(str(golden / 'molmoe_hf'), tmp_path / 'ours')
    export(str(tmp_path / 'ours'), tmp_path / 'molmoe', layout='molmoe')
    original = load_file(golden / 'molmoe_hf' / 'model.safetensors')
    assert_equal(load_file(tmp_path / 'molmoe' / 'model.safetensors'), original)
    recorded = json.loads((golden / 'molmoe_hf' / 'config.json').read_text())
    written = json.loads((tmp_path / 'molmoe' / 'config.json').read_text())
    for key in ('image_pooling_2d', 'loss_token_weighting', 'd_model', 'moe_num_experts', 'block_type', 'vit_layers'):
        assert written[key] == recorded[key], key
    models = [MolmoForCausalLM.from_pretrained(path) for path in (golden / 'molmoe_hf', tmp_path / 'molmoe')]
    assert models[0].config.to_dict() | {'_name_or_path': ''} == models[1].config.to_dict() | {'_name_or_path': ''}
