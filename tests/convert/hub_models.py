# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Tiny models of transformers with random weights, and Molmos around them."""

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from molmo_foundry import MolmoConfig, MolmoForCausalLM
from molmo_foundry.convert.hf_llm import llm_fields

VOCAB = 48

LLM: dict[str, Any] = {
    'vocab_size': VOCAB,
    'hidden_size': 32,
    'intermediate_size': 24,
    'num_hidden_layers': 2,
    'num_attention_heads': 4,
    'num_key_value_heads': 2,
    'rope_theta': 5000.0,
    'rms_norm_eps': 1e-5,
    'pad_token_id': 0,
    'eos_token_id': 0,
}

LLMS: dict[str, tuple[str, dict[str, Any]]] = {
    'qwen2': ('Qwen2', {'tie_word_embeddings': False}),
    'qwen2-tied': ('Qwen2', {'tie_word_embeddings': True}),
    'qwen3': ('Qwen3', {'head_dim': 16, 'tie_word_embeddings': True}),
    'llama3': ('Llama', {'rms_norm_eps': 1e-6}),
    'smollm2': ('Llama', {'tie_word_embeddings': True, 'num_attention_heads': 2, 'num_key_value_heads': 1}),
    'llama-head-dim': ('Llama', {'head_dim': 12}),
    'olmo-1024-preview': ('Olmo2', {'num_key_value_heads': 4}),
    'olmoe': ('Olmoe', {'num_experts': 4, 'num_experts_per_tok': 2, 'num_key_value_heads': 4}),
}
"""Name → (prefix of the class in transformers, settings that differ from `LLM`)."""

DECODER = {'hidden_size': 32, 'intermediate_size': 48, 'num_hidden_layers': 2, 'num_attention_heads': 4}

VISION: dict[str, Any] = {
    'image_size': (16, 16),
    'patch_size': 4,
    'hidden_size': 16,
    'intermediate_size': 24,
    'num_hidden_layers': 3,
    'num_attention_heads': 2,
    'num_positions': 17,
}


def randomized(model: PreTrainedModel) -> Any:
    """Gives every parameter values large enough to matter, norms values about one."""
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=0.2)
        if 'norm' in name and name.endswith('weight'):
            parameter.data += 1
    return model.eval()


def make_llm(name: str, **changes: Any) -> Any:
    """A language model of `LLMS`."""
    prefix, settings = LLMS[name]
    config = getattr(transformers, f'{prefix}Config')(**{**LLM, **settings, **changes})
    return randomized(getattr(transformers, f'{prefix}ForCausalLM')(config))


def saved(model: PreTrainedModel, directory: Path, **options: Any) -> Path:
    """Saves a model as it would be published."""
    model.save_pretrained(directory, **options)
    return directory


def molmo_around(config: PretrainedConfig, **changes: Any) -> MolmoForCausalLM:
    """A random Molmo whose decoder has the architecture of a language model."""
    return random_molmo(**{**llm_fields(config), **changes})


def random_molmo(**fields: Any) -> MolmoForCausalLM:
    """A tiny Molmo with such a decoder; ``vision`` and ``connector`` are merged with its own."""
    vision = {**VISION, **fields.pop('vision', {})}
    connector = {'vit_layers': (-1, -3), **fields.pop('connector', {})}
    sizes = {'vocab_size': VOCAB, 'additional_vocab_size': 16, **DECODER}
    torch.manual_seed(1)
    return MolmoForCausalLM(MolmoConfig(**{**sizes, **fields, 'vision': vision, 'connector': connector})).eval()
