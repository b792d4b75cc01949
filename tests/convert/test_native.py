# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Native checkpoints: today's layout, older ones, and what is wrong with broken ones.

The recorded checkpoint `qwen2_clip` is rewritten into each variant. That it computes what the public Molmo computes is
the matter of `tests/model/test_golden.py`; here variants are compared with it.
"""

import re
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
import torch
import yaml
from intruder import Intruder
from torch import Tensor

from molmo_foundry.convert import load_native
from molmo_foundry.convert.native import modernize_state
from molmo_foundry.convert.native_config import native_config
from molmo_foundry.model.modeling import MolmoForCausalLM

State = dict[str, Tensor]
BLOCK = 'transformer.blocks.0'


@pytest.fixture(scope='module')
def folder(golden: Path) -> Path:
    return golden / 'qwen2_clip'


@pytest.fixture(scope='module')
def state(folder: Path) -> State:
    return torch.load(folder / 'model.pt', weights_only=True)


@pytest.fixture(scope='module')
def native(folder: Path) -> dict[str, Any]:
    """The native configuration."""
    return yaml.safe_load((folder / 'model.yaml').read_text())


@pytest.fixture(scope='module')
def reference(folder: Path) -> MolmoForCausalLM:
    return load_native(folder)


def write(directory: Path, state: Optional[State], config: Optional[dict], name: str = 'model.yaml') -> Path:
    directory.mkdir(exist_ok=True)
    if state is not None:
        torch.save(state, directory / 'model.pt')
    if config is not None:
        (directory / name).write_text(yaml.safe_dump(config))
    return directory


def assert_same_model(actual: MolmoForCausalLM, expected: MolmoForCausalLM) -> None:
    assert actual.config.to_dict() == expected.config.to_dict()
    for name, value in expected.state_dict().items():
        assert torch.equal(actual.state_dict()[name], value), name


def test_what_is_loaded(reference: MolmoForCausalLM, state: State) -> None:
    assert not reference.training
    assert {f'model.{key}' for key in state} == reference.state_dict().keys()
    assert not any(p.is_meta for p in reference.parameters())
    unused = reference.model.vision_backbone.image_vit.transformer.resblocks[3]
    assert not any(p.requires_grad for p in unused.parameters())
    assert reference.model.transformer.wte.embedding.requires_grad


def test_weights_keep_their_type(tmp_path: Path, state: State, native: dict[str, Any]) -> None:
    half = {key: value.bfloat16() for key, value in state.items()}
    model = load_native(write(tmp_path, half, native))
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_config_of_a_run(tmp_path: Path, reference: MolmoForCausalLM, state: State, native: dict[str, Any]) -> None:
    run = {'run_name': 'captioner', 'model': native, 'optimizer': {'name': 'adamw'}}
    assert_same_model(load_native(write(tmp_path, state, run, 'config.yaml')), reference)


def test_numbers_as_people_write_them(tmp_path: Path, state: State, native: dict[str, Any]) -> None:
    folder = write(tmp_path, state, {key: value for key, value in native.items() if key != 'layer_norm_eps'})
    with (folder / 'model.yaml').open('a') as file:
        file.write('layer_norm_eps: 2e-5\n')
    assert load_native(folder).config.layer_norm_eps == 2e-5


def in_groups(state: State) -> State:
    """Three blocks as groups of two: 0.0, 0.1 and 1.0."""

    def rename(key: str) -> str:
        return re.sub(r'blocks\.(\d)\.', lambda m: f'block_groups.{int(m[1]) // 2}.{int(m[1]) % 2}.', key)

    return {rename(key) if key.startswith('transformer.') else key: value for key, value in state.items()}


def with_fsdp_names(state: State) -> State:
    return {key.replace('.', '._fsdp_wrapped_module.', 1): value for key, value in state.items()}


def split_projections(state: State) -> State:
    """The separate projections of `llama` blocks; the gate is the second half of the fused one."""
    split: State = {}
    for key, value in state.items():
        if '.att_proj.' in key:
            parts = zip(('q_proj', 'k_proj', 'v_proj'), value.split((64, 32, 32)))
            split |= {key.replace('att_proj', name): part.clone() for name, part in parts}
        elif '.ff_proj.' in key:
            parts = zip(('ff_proj2', 'ff_proj1'), value.chunk(2))
            split |= {key.replace('ff_proj', name): part.clone() for name, part in parts}
        else:
            split[key] = value
    return split


@pytest.mark.parametrize(
    'change, fields',
    [
        (in_groups, {'block_group_size': 2}),
        (with_fsdp_names, {}),
        (split_projections, {'block_type': 'llama', 'activation_type': 'llama_swiglu'}),
    ],
)
def test_older_layouts(
    tmp_path: Path,
    reference: MolmoForCausalLM,
    state: State,
    native: dict[str, Any],
    change: Callable[[State], State],
    fields: dict[str, Any],
) -> None:
    assert change(state).keys() != state.keys()
    assert_same_model(load_native(write(tmp_path, change(state), native | fields)), reference)


def test_a_shared_norm_becomes_both_norms() -> None:
    norm = torch.ones(3)
    assert modernize_state({f'{BLOCK}.norm.weight': norm, 'transformer.ln_f.weight': norm}) == {
        f'{BLOCK}.attn_norm.weight': norm,
        f'{BLOCK}.ff_norm.weight': norm,
        'transformer.ln_f.weight': norm,
    }


LEGACY = {
    'image_pooling_2d': 'attention-meanq',
    'flash_attention': True,
    'image_padding_mask': 2,
    'alibi': False,
    'attn_logit_softcapping': None,
    'bos_token_id': 0,
    'do_random_scale': False,
    'eos_token_id': 0,
    'final_logit_softcapping': None,
    'fix_image_input_idx': 2,
    'gin_bindings': None,
    'multi_query_attention': None,
    'pad_to': None,
    'pad_token_id': 0,
    'prompt_override': None,
    'query_pre_attn_scalar': 224,
    'response_attention_dropout': 0.0,
    'rope_impl': 'llama',
    'unconditioned': False,
    'use_cls_feature': False,
}


def test_legacy_keys_change_nothing(native: dict[str, Any]) -> None:
    legacy = native | LEGACY | {'loss_token_weighting': native['multi_annotation_weighting']}
    del legacy['multi_annotation_weighting']
    legacy['vision_backbone'] = native['vision_backbone'] | {'fix_image_mask': True}
    assert native_config(legacy).to_dict() == native_config(native).to_dict()


@pytest.mark.parametrize(
    'fields, path, expected',
    [
        ({'image_padding_mask': False}, 'connector.padding_embed', None),
        ({'loss_token_weighting': 'root_subsegments'}, 'multi_annotation_weighting', 'root_subsegments'),
        ({'mlp_hidden_size': None, 'mlp_ratio': 6}, 'intermediate_size', 6 * 64),
        ({'max_position_embeddings': 99}, 'max_position_embeddings', 99),
        ({'max_position_embeddings': None, 'max_sequence_length': 77}, 'max_position_embeddings', 77),
        ({'include_bias': True}, 'layer_norm_bias', True),
        ({'include_bias': True, 'bias_for_layer_norm': False}, 'layer_norm_bias', False),
        ({'layer_norm_eps': None}, 'layer_norm_eps', 1e-5),
        ({'embedding_size': None}, 'embedding_size', 512),
        ({'moe_num_experts': 8}, 'moe_num_experts', 0),
        ({'block_type': 'moe', 'moe_num_experts': 8}, 'moe_num_experts', 8),
        ({'image_pooling_h': 3, 'image_pooling_w': 1}, 'connector.pooling_size', [3, 1]),
    ],
)
def test_derived_fields(native: dict[str, Any], fields: dict[str, Any], path: str, expected: object) -> None:
    base = {key: value for key, value in native.items() if key != 'multi_annotation_weighting'}
    value: Any = native_config(base | fields)
    for name in path.split('.'):
        value = getattr(value, name)
    assert value == expected


def test_defaults_are_the_native_ones(native: dict[str, Any]) -> None:
    """A file may leave out what has its default, and some native defaults are not ours."""
    required = {'additional_vocab_size': 128, 'weight_tying': False, 'crop_mode': 'resize'}
    config = native_config(required | {'vision_backbone': {}})
    assert (config.residual_dropout, config.embedding_dropout, config.attention_dropout) == (0.1, 0.1, 0.1)
    assert (config.layer_norm_type, config.include_bias, config.layer_norm_bias) == ('default', True, True)
    assert (config.vocab_size, config.embedding_size) == (50257, 50304)
    assert (config.connector.pooling, config.connector.vit_layers) == ('attention', [-1])
    assert (config.vision.num_hidden_layers, config.vision.hidden_act) == (24, 'gelu')


@pytest.mark.parametrize(
    'fields, message',
    [
        ({'d_modle': 64, 'wte_scale': 1}, 'native config: unknown keys: d_modle, wte_scale'),
        ({'rope': False}, 'native config: rope=False is not supported; only True is'),
        ({'block_type': 'parallel'}, "native config: block_type='parallel' is not supported; only 'sequential' is"),
        ({'activation_type': 'gelu'}, "native config: activation_type='gelu' is not supported"),
        ({'image_projector': '2mlp'}, "projector='2mlp' is not supported; choose one of: mlp, linear"),
        ({'use_position_ids': False}, 'use_position_ids=False is not supported'),
        ({'vision_backbone': None}, 'native config: there is no vision_backbone'),
        ({'vision_backbone': {'image_sise': 1}}, 'native config: unknown keys: vision_backbone.image_sise'),
        ({'vision_backbone': {'resize_mode': 'area'}}, "vision_backbone.resize_mode='area' does not exist"),
    ],
)
def test_configs_that_are_not_understood(native: dict[str, Any], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        native_config(native | fields)


def without(state: State, *keys: str) -> State:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    'change, message',
    [
        (
            lambda state: without(state, f'{BLOCK}.att_proj.weight', f'{BLOCK}.att_proj.bias'),
            rf'missing: model\.{BLOCK}\.att_proj\.bias, model\.{BLOCK}\.att_proj\.weight\.',
        ),
        (
            lambda state: {key: value for key, value in state.items() if '.blocks.1.' not in key},
            r'missing: model\.transformer\.blocks\.1\.att_proj\.bias, .* and 2 more',
        ),
        (lambda state: state | {f'{BLOCK}.wpe': torch.ones(1)}, rf'does not have: model\.{BLOCK}\.wpe\.'),
        (
            lambda state: state | {'transformer.ln_f.weight': torch.ones(65)},
            r'model\.transformer\.ln_f\.weight has shape \(65,\), but the configuration makes it \(64,\)',
        ),
        (
            lambda state: without(split_projections(state), f'{BLOCK}.k_proj.weight'),
            rf'{BLOCK}\.q_proj\.weight has no {BLOCK}\.k_proj\.weight beside it',
        ),
    ],
)
def test_tensors_that_do_not_fit(
    tmp_path: Path, state: State, native: dict[str, Any], change: Callable[[State], State], message: str
) -> None:
    with pytest.raises(ValueError, match=f'model.pt.*{message}'):
        load_native(write(tmp_path, change(state), native))


def test_missing_files_are_named(tmp_path: Path, state: State, native: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError, match='nowhere/model.pt does not exist; a native checkpoint is a directory'):
        load_native(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='weights has neither model.yaml nor config.yaml'):
        load_native(write(tmp_path / 'weights', state, None))
    with pytest.raises(ValueError, match='config.yaml has no section `model`'):
        load_native(write(tmp_path / 'run', state, {'run_name': 'x'}, 'config.yaml'))
    (tmp_path / 'list').mkdir()
    (tmp_path / 'list' / 'model.yaml').write_text('- 1\n')
    with pytest.raises(ValueError, match='model.yaml is not a mapping of configuration keys'):
        load_native(write(tmp_path / 'list', state, None))
    (tmp_path / 'list' / 'model.yaml').write_text('d_model: [1\n')
    with pytest.raises(ValueError, match='model.yaml is not YAML'):
        load_native(tmp_path / 'list')


@pytest.mark.parametrize('mark', ['rank0.pt', 'model_and_optim/.metadata', 'model/rank0.pt', 'model/.metadata'])
def test_sharded_checkpoints_are_told_how_to_go_on(tmp_path: Path, native: dict[str, Any], mark: str) -> None:
    shard = write(tmp_path, None, native) / mark
    shard.parent.mkdir(exist_ok=True)
    shard.touch()
    with pytest.raises(FileNotFoundError, match='sharded native checkpoint. Unshard it .*scripts/unshard.py'):
        load_native(tmp_path)


def test_pickled_code_is_not_run(tmp_path: Path, state: State, native: dict[str, Any]) -> None:
    target = tmp_path / 'intruded'
    torch.save({**state, 'extra': Intruder(target)}, tmp_path / 'probe.pt')
    torch.load(tmp_path / 'probe.pt', weights_only=False)
    assert target.exists(), 'the file would run code if it were let'
    target.unlink()

    write(tmp_path, {**state, 'extra': Intruder(target)}, native)
    with pytest.raises(ValueError, match='model.pt holds .*getattr, neither tensor nor plain value'):
        load_native(tmp_path)
    assert not target.exists()
