# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A language model and a vision tower as they would be published, and the recipe of a Molmo made of them."""

import json
from pathlib import Path
from typing import Any

from hub_models import VISION, make_llm, saved
from test_hf_vit import TOWERS

from molmo_foundry.convert.hf_llm import llm_fields

SIGLIP = {'hidden_act': 'gelu_pytorch_tanh', 'layer_norm_eps': 1e-6, 'vit_type': 'siglip', 'num_positions': 16}


def hub_llm() -> Any:
    """A language model of 512 tokens."""
    return make_llm('smollm2', vocab_size=512)


def hub_tower() -> Any:
    """A vision tower."""
    return TOWERS['siglip'].make()


def overrides() -> dict[str, Any]:
    """What a recipe says over the presets ``tiny`` to get this architecture."""
    vision = {**VISION, **SIGLIP, 'head_dim': VISION['hidden_size'] // VISION['num_attention_heads']}
    return {**llm_fields(hub_llm().config), 'vocab_size': 512, 'vision': vision}


def write_parts(folder: Path) -> None:
    """Writes ``llm``, ``vit`` and ``overrides.json``."""
    saved(hub_llm(), folder / 'llm')
    saved(hub_tower(), folder / 'vit')
    (folder / 'overrides.json').write_text(json.dumps(overrides()))
