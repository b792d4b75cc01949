# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What an export has to have for the released code and for vLLM, which are not run here.

Compared with the index and the configuration of Molmo-7B-D-0924 where they are at hand: MOLMO_SHARED_DATA names the
folder above ``molmo_7b_d_release``.
"""

import json
import os
from pathlib import Path

import pytest
import torch
from hub_models import random_molmo
from safetensors.torch import load_file

from molmo_foundry import MolmoForCausalLM
from molmo_foundry.convert.export import export
from molmo_foundry.convert.release import released_config
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.hf_processor import MolmoProcessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer


def release() -> Path:
    """The folder of Molmo-7B-D's small files."""
    sibling = Path(__file__).parents[3] / 'shared' / 'data'
    folder = Path(os.environ.get('MOLMO_SHARED_DATA', sibling)) / 'molmo_7b_d_release'
    if not folder.is_dir():
        pytest.skip(f'{folder} does not exist; set MOLMO_SHARED_DATA to the folder above it')
    return folder


def state_of(llm: str, vit: str = 'openai') -> dict[str, torch.Tensor]:
    """The state dict on the meta device; what an export writes is what it has."""
    with torch.device('meta'):
        return MolmoForCausalLM(build_config(llm, vit)).state_dict()


def test_an_export_has_the_keys_of_the_release(tmp_path: Path) -> None:
    """Of as many blocks as Molmo-7B-D, each much narrower; `tests/model/test_presets.py` has the whole sizes."""
    model = random_molmo(num_hidden_layers=28, qkv_bias=True, vision={'num_hidden_layers': 23})
    model.save_pretrained(tmp_path / 'ours')
    export(tmp_path / 'ours', tmp_path / 'out', shard_bytes=100_000)
    ours, theirs = (
        json.loads((folder / 'model.safetensors.index.json').read_text())['weight_map']
        for folder in (tmp_path / 'out', release())
    )
    assert ours.keys() == theirs.keys()


def test_the_configuration_says_all_that_the_release_says(tmp_path: Path) -> None:
    """In the same words, so its readers find what they look for; ours says more."""
    config = build_config('qwen2_7b', 'openai')
    config.torch_dtype = 'float32'
    MolmoProcessor.from_config(config, MolmoTokenizer(release(), vocab_size=152064)).save_pretrained(str(tmp_path))
    (tmp_path / 'config.json').write_text(json.dumps(released_config(config)))
    for name in ('config.json', 'processor_config.json', 'preprocessor_config.json'):
        ours, theirs = (json.loads((folder / name).read_text()) for folder in (tmp_path, release()))
        for key in theirs.keys() - {'auto_map', 'transformers_version'}:
            assert ours[key] == theirs[key], f'{name}: {key}'


READ_BY_VLLM = (
    'attention_layer_norm embedding_size hidden_size intermediate_size layer_norm_eps layer_norm_type '
    'max_position_embeddings norm_after num_attention_heads num_hidden_layers num_key_value_heads qkv_bias rope_theta '
    'vocab_size weight_tying architectures'
).split()
"""Fields of ``config.json`` that vLLM's Molmo looks up (vllm/model_executor/models/molmo.py)."""


@pytest.mark.parametrize('llm', ['qwen2_7b', 'qwen2_72b', 'olmo_1024_preview'])
def test_the_configuration_has_what_vllm_reads(llm: str) -> None:
    content = released_config(build_config(llm, 'openai'))
    assert set(READ_BY_VLLM) <= content.keys()
    assert content['architectures'] == ['MolmoForCausalLM'] and content['layer_norm_type'] == 'rms'


# Blocks, rows of the table, width, queries with keys and values, fused MLP (of MolmoE: experts times their width).
SIZES = {
    'qwen2_7b': (28, 152064, 3584, 4608, 37888),
    'qwen2_72b': (80, 152064, 8192, 10240, 59136),
    'olmo_1024_preview': (32, 100352, 4096, 12288, 22016),
    'olmoe': (16, 50304, 2048, 6144, 65536),
}
"""Of Molmo-7B-D, -72B, -7B-O and MolmoE-1B."""


@pytest.mark.parametrize('llm', SIZES)
def test_shapes_of_the_released_models(llm: str) -> None:
    blocks, rows, width, qkv, fused = SIZES[llm]
    shapes = {key: tuple(tensor.shape) for key, tensor in state_of(llm).items()}
    inner = 1024 if llm == 'olmoe' else fused // 2
    block = {'att_proj.weight': (qkv, width), 'attn_out.weight': (width, width)}
    block |= {'attn_norm.weight': (width,), 'ff_norm.weight': (width,)}
    if llm.startswith('qwen2'):
        block |= {'att_proj.bias': (qkv,)}
    else:
        block |= {'q_norm.weight': (width,), 'k_norm.weight': (width,)}
    if llm == 'olmoe':
        block |= {'ffn.router.layer.weight': (64, width)}
        block |= {f'ffn.experts.mlp.{name}': (fused, width) for name in ('w1', 'v1', 'w2')}
    else:
        block |= {'ff_proj.weight': (fused, width), 'ff_out.weight': (width, inner)}
    expected = {f'blocks.{i}.{key}': shape for i in range(blocks) for key, shape in block.items()}
    expected |= {'wte.embedding': (rows, width), 'wte.new_embedding': (128, width)}
    expected |= {'ff_out.weight': (rows, width), 'ln_f.weight': (width,)}
    prefix = 'model.transformer.'
    assert {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)} == expected
    projector = {f'w{i}': shapes[f'model.vision_backbone.image_projector.w{i}.weight'] for i in (1, 2, 3)}
    assert projector == {'w1': (inner, 1024), 'w2': (width, inner), 'w3': (inner, 1024)}
    assert shapes['model.vision_backbone.image_vit.positional_embedding'] == (577, 1024)
    assert sum('image_vit.transformer.resblocks' in key for key in shapes) == 23 * 16


def test_an_export_has_the_keys_of_its_architecture(released: Path) -> None:
    """Named as the release names them, over two decoder blocks and four of the tower."""
    block = ('att_proj.weight', 'att_proj.bias', 'attn_norm.weight', 'attn_out.weight', 'ff_norm.weight')
    block += ('ff_out.weight', 'ff_proj.weight')
    pairs = lambda names: {f'{name}.{end}' for name in names for end in ('weight', 'bias')}
    attention = {f'w{letter}' for letter in 'qkvo'}
    tower = pairs({f'attention.{name}' for name in attention} | {'feed_forward.w1', 'feed_forward.w2'})
    tower |= pairs({'attention_norm', 'ffn_norm'})
    vision = {f'image_pooling_2d.{name}' for name in pairs(attention)} | {'pad_embed'}
    vision |= {f'image_projector.w{i}.weight' for i in (1, 2, 3)}
    vision |= {f'image_vit.{name}' for name in ('class_embedding', 'positional_embedding', 'patch_embedding.weight')}
    vision |= {f'image_vit.{name}' for name in pairs({'pre_ln'})}
    vision |= {f'image_vit.transformer.resblocks.{i}.{name}' for i in range(4) for name in tower}
    decoder = {'wte.embedding', 'wte.new_embedding', 'ln_f.weight', 'ff_out.weight'}
    decoder |= {f'blocks.{i}.{name}' for i in range(2) for name in block}
    expected = {f'model.transformer.{name}' for name in decoder} | {f'model.vision_backbone.{name}' for name in vision}
    assert load_file(released / 'model.safetensors').keys() == expected


@pytest.mark.parametrize(
    'llm, vit, points', [('qwen2_7b', 'openai', True), ('qwen2_7b', 'siglip', False), ('olmoe', 'openai', False)]
)
def test_the_released_code_is_named_where_it_computes_the_model(llm: str, vit: str, points: bool) -> None:
    content = released_config(build_config(llm, vit))
    assert ('auto_map' in content) == points
    if points:
        assert content['auto_map']['AutoConfig'] == 'allenai/Molmo-7B-D-0924--config_molmo.MolmoConfig'
