# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A Molmo that is yet to be trained: a published language model, a published vision tower, a random connector."""

from pathlib import Path
from typing import Any, Mapping, Optional, Union

import torch

from molmo_foundry.convert.checkpoint import Checkpoint
from molmo_foundry.convert.export import DTYPES, write_export
from molmo_foundry.convert.filling import Filled
from molmo_foundry.convert.hf_llm import llm_fields, load_llm, read_llm_config
from molmo_foundry.convert.hf_vit import load_vit, read_vit_config, vit_fields
from molmo_foundry.convert.hub import find_directory
from molmo_foundry.convert.staging import staged_output
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.presets import LLM_PRESETS, VIT_PRESETS, Preset
from molmo_foundry.processing.tokenizer import MolmoTokenizer

RESIZE_MODES = {'openai': 'default', 'siglip': 'siglip', 'dino': 'dino'}


def _find(presets: Mapping[str, Preset], source: str, kind: str) -> tuple[Optional[Preset], Path]:
    """The preset that ``source`` names, if any, and the directory of its weights."""
    preset = presets.get(source)
    if preset is not None and preset.source:
        return preset, find_directory(preset.source)
    if '/' not in source and not Path(source).is_dir():
        published = ', '.join(name for name, preset in presets.items() if preset.source)
        raise ValueError(f'{source} is no {kind}: give a directory, a hub id (owner/name), or one of: {published}.')
    return None, find_directory(source)


def llm_part(source: str) -> tuple[dict[str, Any], Path]:
    """The decoder's fields of `MolmoConfig` and the directory of its weights, for a preset, a directory or a hub id."""
    preset, directory = _find(LLM_PRESETS, source, 'language model')
    if preset is not None:
        return dict(preset.fields), directory
    config = read_llm_config(directory)
    own = {'vocab_size': config.vocab_size, 'max_position_embeddings': config.max_position_embeddings}
    return {**llm_fields(config), **own}, directory


def vit_part(source: str) -> tuple[dict[str, Any], Path]:
    """The fields ``vision`` and ``connector`` of `MolmoConfig`, and the directory of the tower's weights.

    The tower of a directory is used at the size that it was trained for, all its blocks are kept, and the connector
    reads the last but two and the last but eight of them, as the presets do.
    """
    preset, directory = _find(VIT_PRESETS, source, 'vision tower')
    if preset is not None:
        return {'vision': dict(preset.fields), 'connector': dict(preset.connector)}, directory
    config = read_vit_config(directory)
    fields = vit_fields(config)
    patches = getattr(config, 'num_patches', None) or (config.image_size // config.patch_size) ** 2
    side = round(patches**0.5)
    blocks = config.num_hidden_layers
    vision = {
        **fields,
        'image_size': [side * config.patch_size] * 2,
        'num_positions': side * side + (fields['vit_type'] != 'siglip'),
        'num_hidden_layers': blocks,
        'resize_mode': RESIZE_MODES[fields['vit_type']],
    }
    return {'vision': vision, 'connector': {'vit_layers': [-min(3, blocks), -min(9, blocks)]}}, directory


def init_model(
    llm: str,
    vit: str,
    out: Union[str, Path],
    *,
    tokenizer: Optional[str] = None,
    dtype: Optional[str] = None,
    seed: int = 0,
) -> dict[str, Filled]:
    """Makes a Molmo and saves it. If anything fails, nothing is left behind.

    Args:
        llm (str): A preset, or the directory or hub id of a language model.
        vit (str): A preset, or the directory or hub id of a vision tower.
        out (str | Path): Directory to make, here or in an object store (``s3://…``).
        tokenizer (str, optional): Directory or hub id. Default: the language model's.
        dtype (str, optional): ``fp32``, ``bf16`` or ``fp16``. Default: ``fp32``.
        seed (int): Of the connector's initial values.

    Returns:
        dict[str, Filled]: What was loaded for ``llm`` and ``vit``.

    Raises:
        FileExistsError: If ``out`` is there already.
        ValueError: If a part cannot be converted; says why.
    """
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f'dtype={dtype!r} does not exist; choose one of: {", ".join(DTYPES)}.')
    with staged_output(out) as staging:
        fields, llm_directory = llm_part(llm)
        tower, vit_directory = vit_part(vit)
        config = MolmoConfig(**fields, **tower)
        options = {'vocab_size': config.vocab_size, 'image_token_start': config.image_token_start}
        own_tokenizer = MolmoTokenizer(tokenizer or llm_directory, **options)
        torch.manual_seed(seed)
        model = MolmoForCausalLM(config)
        filled = {'llm': load_llm(model, llm_directory), 'vit': load_vit(model, vit_directory)}
        state = model.state_dict()
        tensors = {key: (lambda key=key: state[key]) for key in state}
        checkpoint = Checkpoint(str(out), config, tensors)
        write_export(checkpoint, staging, dtype=DTYPES.get(dtype or ''), tokenizer=own_tokenizer)
    return filled
