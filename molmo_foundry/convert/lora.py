# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""LoRA adapters merged into the weights that they adapt, tensor by tensor.

Adapters are either our own (`train.lora`), which keep their factor beside them, or a `PeftModel`'s, whose factor is in
PEFT's configuration.
"""

import re
from typing import Any, Callable, Mapping, Optional

from torch import Tensor

SCALE = 'lora_scale'
"""Name of the buffer that holds the factor of our own adapters."""

_ADAPTER = re.compile(r'\.(lora_A|lora_B)\.[^.]+\.weight$')
_MODULE = re.compile(r'\.(original_module|modules_to_save\.[^.]+)\.')

Readers = dict[str, Callable[[], Tensor]]


def has_lora(tensors: Mapping[str, Any]) -> bool:
    """Whether some of these keys are PEFT's."""
    return any('.lora_' in key or '.base_layer.' in key or '.modules_to_save.' in key for key in tensors)


def merge_lora(tensors: Readers, settings: Optional[Mapping[str, Any]], *, source: str) -> Readers:
    """Replaces adapted weights W and their adapters A and B by W + s B A.

    Modules that were trained whole replace the originals.

    Args:
        tensors (Readers): Functions that read the tensors, by key.
        settings (Mapping, optional): PEFT's configuration; not needed if there is a tensor ``lora_scale``.
        source (str): For messages.

    Returns:
        Readers: As many as the model has parameters, under its own keys.

    Raises:
        ValueError: If the settings are missing, or the adapters are of a kind that is not merged here.
    """
    scale = float(tensors[SCALE]()) if SCALE in tensors else peft_scale(settings, source=source)
    adapters: dict[str, dict[str, Callable[[], Tensor]]] = {}
    merged: Readers = {}
    for key, read in tensors.items():
        if key == SCALE:
            continue
        if found := _ADAPTER.search(key):
            adapters.setdefault(f'{key[: found.start()]}.weight', {})[found[1]] = read
        elif '.lora_' in key:
            raise ValueError(f'{source}: {key} is an adapter of a kind that is not supported; merge it with PEFT.')
        elif found := _MODULE.search(key):
            if found[1] != 'original_module':
                merged[f'{key[: found.start()]}.{key[found.end() :]}'] = read
        else:
            merged[key.replace('.base_layer.', '.')] = read
    for key, adapter in adapters.items():
        if key not in merged or adapter.keys() != {'lora_A', 'lora_B'}:
            raise ValueError(f'{source}: the adapter of {key} is incomplete.')
        merged[key] = _adapted(merged[key], adapter['lora_A'], adapter['lora_B'], scale)
    return merged


def peft_scale(settings: Optional[Mapping[str, Any]], *, source: str) -> float:
    """The factor s: ``lora_alpha / r``, or over the root of r with ``use_rslora``.

    Raises:
        ValueError: If there are no settings, or they ask for more than plain LoRA.
    """
    if not settings or settings.get('peft_type') != 'LORA':
        raise ValueError(f'{source}: LoRA weights without their factor or the configuration of PEFT cannot be merged.')
    for option in ('use_dora', 'rank_pattern', 'alpha_pattern', 'fan_in_fan_out', 'lora_bias'):
        if settings.get(option):
            raise ValueError(f'{source}: LoRA with {option}={settings[option]!r} is not supported; merge it with PEFT.')
    rank = settings['r']
    return settings['lora_alpha'] / (rank**0.5 if settings.get('use_rslora') else rank)


def _adapted(
    base: Callable[[], Tensor], a: Callable[[], Tensor], b: Callable[[], Tensor], scale: float
) -> Callable[[], Tensor]:
    def read() -> Tensor:
        weight = base()
        return (weight.float() + scale * (b().float() @ a().float())).to(weight.dtype)

    return read
