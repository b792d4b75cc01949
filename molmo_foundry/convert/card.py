# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The model card of an export: what it is made of, and whose licences apply."""

from typing import Any, Mapping, Optional

from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.presets import LLM_PRESETS, VIT_PRESETS, Preset

_SIZES = ('hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads')


def find_preset(presets: Mapping[str, Preset], fields: Any) -> Optional[Preset]:
    """The published model that a configuration has the sizes of; None if there is none."""
    for preset in presets.values():
        sizes = {key: value for key, value in preset.fields.items() if key in (*_SIZES, 'vit_type', 'resize_mode')}
        if preset.source and sizes and all(getattr(fields, key) == value for key, value in sizes.items()):
            return preset
    return None


def model_card(config: MolmoConfig, layout: str) -> str:
    """The text of ``README.md``.

    Args:
        config (MolmoConfig): The architecture.
        layout (str): Of the weights: ``released`` or ``molmoe``.
    """
    parts = (
        ('Language model', find_preset(LLM_PRESETS, config)),
        ('Vision tower', find_preset(VIT_PRESETS, config.vision)),
    )
    rows = [f'| {name} | {preset.source} | {preset.licence} |' for name, preset in parts if preset is not None]
    head = ['| part | sizes of | licence there |', '| --- | --- | --- |']
    table = '\n'.join([*head, *rows, '', '']) if rows else ''
    return f"""---
library_name: transformers
pipeline_tag: image-text-to-text
tags: [molmo, molmo_foundry]
---
# A Molmo trained with molmo_foundry

To be completed: training data, intended use, limitations, evaluation, licence.

{table}```python
from molmo_foundry import MolmoForCausalLM, MolmoProcessor

model = MolmoForCausalLM.from_pretrained('DIRECTORY')
processor = MolmoProcessor.from_pretrained('DIRECTORY')
```

Weights are in the layout of {'MolmoE-1B-0924' if layout == 'molmoe' else 'Molmo-7B-D-0924'}.
"""
