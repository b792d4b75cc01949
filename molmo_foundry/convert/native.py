# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Reading allenai/molmo's native checkpoints: `model.pt` with `model.yaml` or `config.yaml`.

Native keys are ours without the leading `model.`, but for old layouts, which `modernize_state` renames. What the native
schema has no word for stands in `molmo_foundry.yaml`, if we wrote the checkpoint.
"""

import re
from pathlib import Path
from typing import Any, Optional, Union

import torch
import yaml
from omegaconf import OmegaConf
from torch import Tensor

from molmo_foundry.convert.lost_fields import NAME, restore_fields
from molmo_foundry.convert.native_config import native_config
from molmo_foundry.convert.safe_pickle import load_torch
from molmo_foundry.convert.state import assign_state
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.modeling import MolmoForCausalLM

SHARDED_MARKS = ('rank0.pt', 'model_and_optim', 'model/rank0.pt', 'model/.metadata')


def sharded_advice(directory: Path) -> Optional[str]:
    """What to do about a sharded native checkpoint, which is not read here; None if it is none."""
    if not any((directory / mark).exists() for mark in SHARDED_MARKS):
        return None
    return (
        f'{directory} holds a sharded native checkpoint. Unshard it with allenai/molmo first '
        '(its scripts/unshard.py with --model-only writes model.pt and config.yaml).'
    )


def read_native_yaml(directory: Path) -> dict[str, Any]:
    """The native model section of ``model.yaml``, or of ``config.yaml`` under its key ``model``.

    Raises:
        FileNotFoundError: If neither file exists.
        ValueError: If it is not YAML, or ``config.yaml`` has no ``model`` section.
    """
    for name in ('model.yaml', 'config.yaml'):
        path = directory / name
        if path.is_file():
            content = _read_mapping(path)
            if name == 'config.yaml':
                if 'model' not in content:
                    raise ValueError(f'{path} has no section `model`; is it the configuration of a Molmo run?')
                content = content['model']
            return {str(key): value for key, value in content.items()}
    raise FileNotFoundError(f'{directory} has neither model.yaml nor config.yaml; a native checkpoint needs one.')


def _read_mapping(path: Path) -> dict[str, Any]:
    """A YAML mapping, in which 1e-5 is a number; plain YAML reads it as a text."""
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except yaml.YAMLError as error:
        raise ValueError(f'{path} is not YAML: {error}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} is not a mapping of configuration keys.')
    return content


def read_native_config(directory: Path) -> MolmoConfig:
    """The architecture of a native checkpoint.

    Raises:
        FileNotFoundError: If its configuration is missing.
        ValueError: If it is not understood.
    """
    config, beside = native_config(read_native_yaml(directory)), directory / f'{NAME}.yaml'
    if not beside.is_file():
        return config
    return restore_fields(config, _read_mapping(beside), source=str(beside))


def modernize_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames the keys of older native layouts.

    FSDP prefixes go, block groups become blocks, the shared ``norm`` of the first sequential blocks becomes both norms,
    and the separate projections of ``llama`` blocks are fused (their gate is ``ff_proj1``, their up ``ff_proj2``).

    Args:
        state (dict[str, Tensor]): A native state dict.

    Returns:
        dict[str, Tensor]: The same tensors under today's native keys.

    Raises:
        ValueError: If one of a block's separate projections is missing.
    """
    state = {key.replace('_fsdp_wrapped_module.', ''): value for key, value in state.items()}
    group_sizes = [int(m[1]) + 1 for key in state if (m := re.match(r'transformer\.block_groups\.0\.(\d+)\.', key))]
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if m := re.match(r'transformer\.block_groups\.(\d+)\.(\d+)\.(.*)', key):
            key = f'transformer.blocks.{int(m[1]) * max(group_sizes) + int(m[2])}.{m[3]}'
        if m := re.match(r'(transformer\.blocks\.\d+)\.norm\.(.*)', key):
            renamed[f'{m[1]}.attn_norm.{m[2]}'] = value
            key = f'{m[1]}.ff_norm.{m[2]}'
        renamed[key] = value
    for parts, fused in ((('q_proj', 'k_proj', 'v_proj'), 'att_proj'), (('ff_proj2', 'ff_proj1'), 'ff_proj')):
        for key in [key for key in renamed if f'.{parts[0]}.' in key]:
            names = [key.replace(parts[0], part) for part in parts]
            if missing := [name for name in names if name not in renamed]:
                raise ValueError(f'{key} has no {", ".join(missing)} beside it.')
            renamed[key.replace(parts[0], fused)] = torch.cat([renamed.pop(name) for name in names])
    return renamed


def read_native_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in ``path``, under today's native keys and mapped from the file. Pickled code is not run.

    Raises:
        ValueError: If the file is damaged, holds anything but tensors, or half of the projections of a block.
    """
    state = load_torch(path, name=str(path))
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f'{path} is no native checkpoint: it holds more than tensors by name.')
    try:
        return modernize_state(state)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def load_native(path: Union[str, Path]) -> MolmoForCausalLM:
    """Loads a native Molmo checkpoint.

    Args:
        path (str | Path): Directory with ``model.pt`` and ``model.yaml`` or ``config.yaml``. Pickled code is not run:
            only tensors are read.

    Returns:
        MolmoForCausalLM: The model on the CPU, in the checkpoint's data type, in evaluation mode.

    Raises:
        FileNotFoundError: If a file is missing; a sharded checkpoint is named as such.
        ValueError: If the configuration is not understood, or tensors are missing, unknown or of another shape.
    """
    directory = Path(path)
    weights = directory / 'model.pt'
    if not weights.is_file():
        missing = f'{weights} does not exist; a native checkpoint is a directory with model.pt.'
        raise FileNotFoundError(sharded_advice(directory) or missing)
    config = read_native_config(directory)
    state = read_native_weights(weights)
    with torch.device('meta'):
        model = MolmoForCausalLM(config)
    assign_state(model, {f'model.{key}': value for key, value in state.items()}, source=str(weights))
    return model.eval()
