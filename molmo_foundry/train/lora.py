# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""LoRA by `peft`: low-rank updates of a component's matrices instead of the matrices themselves.

A recipe's block::

    model:
      pretrained: /models/Molmo-7B-D-0924
      freeze: [vit]
      lora: {rank: 16, alpha: 32, dropout: 0.05, components: [llm]}

The components listed train nothing but their updates; the others train as ever unless `freeze` names them. Layers are
put in place by `peft.inject_adapter_in_model`, so the model stays a `MolmoForCausalLM`, with the sharding, generation
and checkpoints of one. A checkpoint holds base weights, updates and their factor, all that `convert.lora.merge_lora`
needs to make plain weights of it.
"""

import re
from dataclasses import dataclass, fields
from typing import Any, Mapping

import torch
from torch import nn

from molmo_foundry.convert.lora import SCALE
from molmo_foundry.train.components import component_of

MATRICES: dict[str, str] = {
    'llm': r'.*transformer\.blocks\.\d+\.(att_proj|attn_out|ff_proj|ff_out)',
    'vit': r'.*image_vit\.transformer\.resblocks\.\d+\.(attention\.w[qkvo]|feed_forward\.w[12])',
    'connector': r'.*vision_backbone\.(image_pooling_2d\.w[qkvo]|image_projector(\.w[123])?)',
}
"""Linear layers of each component that get updates, as patterns of whole names."""

_DOWN, _UP = '.lora_A.default.', '.lora_B.default.'


@dataclass(frozen=True)
class LoraSettings:
    """The updates.

    Attributes:
        rank: Rank of an update.
        alpha: An update is multiplied by ``alpha / rank``.
        dropout: Dropout on the input of an update.
        components: Among ``llm``, ``vit`` and ``connector``.
    """

    rank: int = 16
    alpha: float = 32
    dropout: float = 0.0
    components: tuple[str, ...] = ('llm',)

    @classmethod
    def parse(cls, block: Mapping[str, Any]) -> 'LoraSettings':
        """Reads a recipe's block.

        Raises:
            ValueError: If a key is unknown, a component does not exist or the rank is below 1; names it.
        """
        known = [field.name for field in fields(cls)]
        for key in block:
            if key not in known:
                raise ValueError(f'model.lora.{key} is unknown; keys: {", ".join(known)}.')
        settings = cls(**{**block, 'components': tuple(block.get('components', ('llm',)))})
        for component in settings.components:
            if component not in MATRICES:
                raise ValueError(f'model.lora.components: {component!r} is none of {", ".join(MATRICES)}.')
        if not settings.components or settings.rank < 1:
            raise ValueError('model.lora needs at least one component and a rank of at least 1.')
        return settings


def add_lora(model: nn.Module, settings: LoraSettings) -> None:
    """Adds updates, zero at first, to the matrices of components, and freezes what else these components have.

    Args:
        model (nn.Module): A `MolmoForCausalLM` with its weights loaded and frozen as the recipe says.
        settings (LoraSettings): Which updates.

    Raises:
        ImportError: If `peft` is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ImportError('model.lora needs peft: pip install "molmo-foundry[lora]".') from error
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    targets = [
        name
        for name, module in model.named_modules()
        for component in settings.components
        if isinstance(module, nn.Linear) and re.fullmatch(MATRICES[component], name)
    ]
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=targets,
    )
    inject_adapter_in_model(lora, model)
    for name, parameter in model.named_parameters():
        is_update = _DOWN in name or _UP in name
        is_free = name in trained and component_of(name) not in settings.components
        parameter.requires_grad_(is_update or is_free)
    model.register_buffer(SCALE, torch.tensor(settings.alpha / settings.rank))
