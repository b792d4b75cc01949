# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The language models and vision towers that Molmo was built from, as data, and tiny ones for a CPU.

`build_config('qwen2_7b', 'openai')` is Molmo-7B-D's architecture. Source and licence stand beside each preset.
"""

from dataclasses import dataclass
from typing import Any, Mapping

from molmo_foundry.model.config import MolmoConfig


@dataclass(frozen=True)
class Preset:
    """A published model's architecture.

    Attributes:
        source: Hub id of the published weights; empty for a model of our own.
        licence: Licence of those weights.
        fields: `MolmoConfig` fields of a language model, or `MolmoVisionConfig` fields of a vision tower.
        connector: `MolmoConnectorConfig` fields that a vision tower implies.
    """

    source: str
    licence: str
    fields: Mapping[str, Any]
    connector: Mapping[str, Any]


def _llm(source: str, licence: str, **fields: Any) -> Preset:
    return Preset(source, licence, {'initializer_range': 0.02, 'additional_vocab_size': 128, **fields}, {})


def _vit(source: str, licence: str, vit_layers: tuple[int, ...], **fields: Any) -> Preset:
    return Preset(source, licence, fields, {'vit_layers': vit_layers})


def _tiny_vit(connector_range: float, **fields: Any) -> Preset:
    shape = {'hidden_size': 96, 'intermediate_size': 384, 'num_hidden_layers': 4, 'num_attention_heads': 4}
    crops = {'max_crops': 4, 'overlap_margins': (2, 2)}
    connector = {'vit_layers': (-1, -3), 'initializer_range': connector_range}
    return Preset('', 'Apache-2.0', {**shape, **crops, 'initializer_range': 0.1, **fields}, connector)


LLM_PRESETS: dict[str, Preset] = {
    'qwen2_7b': _llm(
        'Qwen/Qwen2-7B',
        'Apache-2.0',
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=37888,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        qkv_bias=True,
        rope_theta=1e6,
        layer_norm_eps=1e-6,
    ),
    'qwen2_72b': _llm(
        'Qwen/Qwen2-72B',
        'Tongyi Qianwen',
        vocab_size=152064,
        hidden_size=8192,
        intermediate_size=59136,
        num_hidden_layers=80,
        num_attention_heads=64,
        num_key_value_heads=8,
        qkv_bias=True,
        rope_theta=1e6,
        layer_norm_eps=1e-5,
    ),
    'olmo_1024_preview': _llm(
        'allenai/OLMo-7B-1024-preview',
        'Apache-2.0',
        vocab_size=100278,
        embedding_size=100352,
        image_token_start=100352,
        hidden_size=4096,
        intermediate_size=22016,
        num_hidden_layers=32,
        num_attention_heads=32,
        rope_theta=5e5,
        layer_norm_eps=1e-6,
        attention_layer_norm=True,
        norm_after=True,
        init_cutoff_factor=3.0,
    ),
    'olmoe': _llm(
        'allenai/OLMoE-1B-7B-0924',
        'Apache-2.0',
        vocab_size=50280,
        embedding_size=50304,
        image_token_start=50304,
        hidden_size=2048,
        intermediate_size=2048,
        num_hidden_layers=16,
        num_attention_heads=16,
        rope_theta=1e4,
        layer_norm_eps=1e-5,
        attention_layer_norm=True,
        moe_num_experts=64,
        moe_top_k=8,
    ),
    'qwen2_5_0_5b': _llm(
        'Qwen/Qwen2.5-0.5B',
        'Apache-2.0',
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=9728,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        qkv_bias=True,
        rope_theta=1e6,
        layer_norm_eps=1e-6,
    ),
    'qwen3_0_6b': _llm(
        'Qwen/Qwen3-0.6B',
        'Apache-2.0',
        vocab_size=151936,
        hidden_size=1024,
        intermediate_size=6144,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        attention_layer_norm='heads',
        rope_theta=1e6,
        layer_norm_eps=1e-6,
    ),
    'smollm2_135m': _llm(
        'HuggingFaceTB/SmolLM2-135M',
        'Apache-2.0',
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=3072,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        rope_theta=1e5,
        layer_norm_eps=1e-5,
    ),
    'smollm2_1_7b': _llm(
        'HuggingFaceTB/SmolLM2-1.7B',
        'Apache-2.0',
        vocab_size=49152,
        hidden_size=2048,
        intermediate_size=16384,
        num_hidden_layers=24,
        num_attention_heads=32,
        rope_theta=1.3e5,
        layer_norm_eps=1e-5,
    ),
    'llama3_8b': _llm(
        'meta-llama/Meta-Llama-3-8B',
        'Llama 3 Community',
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=28672,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        rope_theta=5e5,
        layer_norm_eps=1e-5,
    ),
    'tiny': _llm(
        '',
        'Apache-2.0',
        vocab_size=1024,
        hidden_size=128,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        qkv_bias=True,
        rope_theta=1e4,
        layer_norm_eps=1e-6,
        max_position_embeddings=1024,
        initializer_range=0.08,
    ),
}
"""Language models by name. New OLMo-family models place the image tokens in the trained rows of `new_embedding`."""

VIT_PRESETS: dict[str, Preset] = {
    'openai': _vit('openai/clip-vit-large-patch14-336', 'MIT', (-2, -9)),
    'siglip': _vit(
        'google/siglip-so400m-patch14-384',
        'Apache-2.0',
        (-3, -9),
        vit_type='siglip',
        image_size=(378, 378),
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        hidden_act='gelu_pytorch_tanh',
        num_positions=729,
        layer_norm_eps=1e-6,
        resize_mode='siglip',
    ),
    'dinov2_large_336': _vit(
        'facebook/dinov2-large',
        'Apache-2.0',
        (-3, -9),
        vit_type='dino',
        num_hidden_layers=24,
        hidden_act='gelu',
        layer_norm_eps=1e-6,
        resize_mode='dino',
    ),
    'metaclip_l14_336': _vit(
        'facebook/metaclip-l14-fullcc2.5b', 'CC-BY-NC-4.0', (-3, -9), num_hidden_layers=24, resize_mode='metaclip'
    ),
    'tiny': _tiny_vit(0.07, image_size=(112, 112), num_positions=65),
    'tiny_siglip': _tiny_vit(
        0.05, vit_type='siglip', image_size=(96, 96), patch_size=16, num_positions=36, resize_mode='siglip'
    ),
}
"""Vision towers by name.

Those of our own start from weights of about 1/sqrt(width). With the usual 0.02, which suits towers a thousand wide,
pictures would enter the language model a thousand times fainter than words, and nothing would be learned of them.
`tiny_siglip` cuts 96 pixels into 6 × 6 patches, which are pooled into 3 × 3 tokens, the cells of a rendered scene.
"""


def _lookup(presets: Mapping[str, Preset], name: str, kind: str) -> Preset:
    if name not in presets:
        raise ValueError(f'There is no {kind} preset {name!r}; choose one of: {", ".join(presets)}.')
    return presets[name]


def build_config(llm: str, vit: str, **overrides: Any) -> MolmoConfig:
    """The configuration of a language model with a vision tower.

    Args:
        llm (str): Name in `LLM_PRESETS`.
        vit (str): Name in `VIT_PRESETS`.
        **overrides (Any): Fields of `MolmoConfig`; ``vision`` and ``connector`` are mappings that are merged.

    Returns:
        MolmoConfig: The configuration.

    Raises:
        ValueError: If a preset does not exist or an override is not a field; both are named.
    """
    llm_preset, vit_preset = _lookup(LLM_PRESETS, llm, 'language model'), _lookup(VIT_PRESETS, vit, 'vision tower')
    nested: dict[str, Any] = {
        'vision': {**vit_preset.fields, **(overrides.pop('vision', None) or {})},
        'connector': {**vit_preset.connector, **(overrides.pop('connector', None) or {})},
    }
    defaults = MolmoConfig()
    for path, values, target in (
        ('', overrides, defaults),
        ('vision.', nested['vision'], defaults.vision),
        ('connector.', nested['connector'], defaults.connector),
    ):
        for key in values:
            if key not in vars(target):
                raise ValueError(f'{path}{key} is not a field of {type(target).__name__}.')
    fields: dict[str, Any] = {**llm_preset.fields, **overrides, **nested}
    return MolmoConfig(**fields)
