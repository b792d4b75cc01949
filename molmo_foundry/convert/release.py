# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The MolmoE-1B release, whose directory has a layout of its own.

Its `config.json` is a native configuration in JSON. Its tensors are ours under other names, with every expert by
itself. Molmo-7B-D, -7B-O and -72B need none of this.
"""

from typing import Any, Callable, Iterable, Mapping

import torch
from torch import Tensor
from transformers import PretrainedConfig

from molmo_foundry.convert.hub import HUB_OPTIONS, HubWeights, find_directory
from molmo_foundry.convert.key_maps import Rule, expand
from molmo_foundry.convert.lost_fields import NAME, lost_fields, own_fields, restore_fields
from molmo_foundry.convert.native_config import native_config
from molmo_foundry.convert.native_export import to_native
from molmo_foundry.convert.state import check_state
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.modeling import MolmoForCausalLM

_OURS, _THEIRS = 'model.transformer.blocks.{i}.', 'model.transformer.blocks.{i}.'
_EXPERT = _THEIRS + 'mlp.experts.{e}.'

MOLMOE_KEYS: dict[str, tuple[str, ...]] = {
    'model.transformer.ff_out.weight': ('lm_head.weight',),
    **{
        f'{_OURS}{name}.weight': (f'{_THEIRS}attn.{name}.weight',)
        for name in ('att_proj', 'attn_norm', 'attn_out', 'k_norm', 'q_norm')
    },
    f'{_OURS}ff_norm.weight': (f'{_THEIRS}mlp.ff_norm.weight',),
    f'{_OURS}ffn.router.layer.weight': (f'{_THEIRS}mlp.gate.weight',),
    f'{_OURS}ffn.experts.mlp.w1': (f'{_EXPERT}gate_proj.weight',),
    f'{_OURS}ffn.experts.mlp.v1': (f'{_EXPERT}up_proj.weight',),
    f'{_OURS}ffn.experts.mlp.w2': (f'{_EXPERT}down_proj.weight',),
}
"""Our key → the keys of the release. All others are the same in both."""

_HF_FIELDS = frozenset(PretrainedConfig().to_dict()) | {'auto_map', 'use_cache', 'attn_implementation', '_commit_hash'}
_KEPT_FIELDS = ('architectures', 'use_cache', 'torch_dtype', 'pad_token_id', 'bos_token_id', 'eos_token_id')


def config_from_native(config: Mapping[str, Any]) -> MolmoConfig:
    """Translates MolmoE-1B's ``config.json``.

    Raises:
        ValueError: If a key is unknown, or has a value that no Molmo was trained with.
    """
    native = {key: value for key, value in config.items() if key not in _HF_FIELDS}
    lost = native.pop(NAME, {})
    translated = native_config(native)
    translated.connector.drop_marked_crops = True
    translated = restore_fields(translated, lost, source='config.json')
    for key in _KEPT_FIELDS:
        if config.get(key) is not None:
            setattr(translated, key, config[key])
    return translated


REPOSITORY = 'allenai/Molmo-7B-D-0924'
"""Whose code runs exports that have its architecture, where molmo_foundry is not installed."""

RELEASED_CODE = {
    'config.json': {
        'AutoConfig': 'config_molmo.MolmoConfig',
        'AutoModelForCausalLM': 'modeling_molmo.MolmoForCausalLM',
    },
    'processor_config.json': {'AutoProcessor': 'preprocessing_molmo.MolmoProcessor'},
    'preprocessor_config.json': {
        'AutoImageProcessor': 'image_preprocessing_molmo.MolmoImageProcessor',
        'AutoProcessor': 'preprocessing_molmo.MolmoProcessor',
    },
}
"""The ``auto_map`` of each file of the release. An export names the repository, and holds no code itself."""


def released_code(config: MolmoConfig, layout: str = 'released') -> dict[str, dict[str, str]]:
    """The ``auto_map`` of each file, if the released code computes this model; else nothing.

    That code has CLIP and its connector built in, and dense decoders of the OLMo and Qwen2 kinds.
    """
    plain = MolmoConfig()
    same = (
        layout == 'released'
        and config.vision.to_dict() == plain.vision.to_dict()
        and config.connector.to_dict() == plain.connector.to_dict()
        and config.attention_layer_norm != 'heads'
        and config.head_dim * config.num_attention_heads == config.hidden_size
        and config.image_token_start == config.vocab_size
        and all(
            getattr(config, name) == getattr(plain, name)
            for name in ('additional_vocab_size', 'include_bias', 'layer_norm_type', 'moe_num_experts', 'weight_tying')
        )
    )
    return {
        file: {auto: f'{REPOSITORY}--{name}' for auto, name in classes.items()}
        for file, classes in RELEASED_CODE.items()
        if same
    }


def released_config(config: MolmoConfig) -> dict[str, Any]:
    """``config.json`` in the terms of Molmo-7B-D, with our blocks for vision and connector."""
    content = {
        **own_fields(config),
        **_kept_fields(config),
        'architectures': [MolmoForCausalLM.__name__],
        'tie_word_embeddings': False,
    }
    auto_map = released_code(config).get('config.json')
    return {**content, 'auto_map': auto_map} if auto_map else content


def _kept_fields(config: MolmoConfig) -> dict[str, Any]:
    """Of the fields that every configuration of transformers has, those that are told."""
    content = config.to_dict()
    return {key: content[key] for key in _KEPT_FIELDS if content.get(key) is not None}


def molmoe_config(config: MolmoConfig) -> dict[str, Any]:
    """``config.json`` in the terms of MolmoE-1B.

    Raises:
        ValueError: If the layout cannot hold the model.
    """
    if not config.moe_num_experts or config.attention_layer_norm is not True:
        raise ValueError('The layout molmoe is for mixtures of experts with QK-norm; use released or native.')
    native = to_native(config)
    legacy = {
        'image_pooling_2d': native['image_pooling_2d'].replace('_', '-'),
        'loss_token_weighting': native.pop('multi_annotation_weighting'),
    }
    about = {'architectures': [MolmoForCausalLM.__name__], 'model_type': config.model_type}
    content = {**native, **legacy, **_kept_fields(config), **about}
    lost = lost_fields(config, config_from_native(content))
    return {**content, NAME: lost} if lost else content


def molmoe_rules(config: MolmoConfig) -> list[Rule]:
    """The rules of the MolmoE layout for a model of this size."""
    return expand(
        MOLMOE_KEYS,
        blocks=config.num_hidden_layers,
        experts=config.moe_num_experts,
        transpose=(f'{_OURS}ffn.experts.mlp.w2',),
    )


def from_molmoe(keys: Iterable[str], get: Callable[[str], Tensor], config: MolmoConfig) -> dict[str, Tensor]:
    """Our state dict from the tensors of a MolmoE release.

    Args:
        keys (Iterable[str]): Keys of the release.
        get (Callable[[str], Tensor]): Its tensors by key.
        config (MolmoConfig): The architecture.

    Returns:
        dict[str, Tensor]: Tensors under our keys. What no rule speaks of keeps its key.

    Raises:
        ValueError: If a tensor is missing; names it.
    """
    rules = molmoe_rules(config)
    ruled = {source for rule in rules for source in rule.sources}
    state = {rule.target: rule.join(get) for rule in rules}
    state.update((key, get(key)) for key in keys if key not in ruled)
    return state


def load_molmoe(name_or_path: str, config: MolmoConfig, **options: Any) -> dict[str, Tensor]:
    """The weights of a MolmoE release under our keys.

    Args:
        name_or_path (str): Directory or hub id.
        config (MolmoConfig): The architecture.
        **options: ``revision``, ``cache_dir``, … of transformers.

    Raises:
        ValueError: If a tensor is missing, unknown or of another shape; names the file and the tensor.
    """
    directory = find_directory(name_or_path, **{key: options[key] for key in HUB_OPTIONS if key in options})
    weights = HubWeights(directory)
    state = from_molmoe(weights.keys, weights.get, config)
    with torch.device('meta'):
        expected = MolmoForCausalLM(config).state_dict()
    check_state(expected, state, source=str(weights.path))
    return state
