# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What a configuration of allenai/molmo has no word for, kept beside it so that a model comes back as it was.

An example: there the image tokens always follow the vocabulary, so a model whose table has unused rows before them
would come back with a larger vocabulary.
"""

from typing import Any, Mapping

from transformers import PretrainedConfig

from molmo_foundry.model.config import MolmoConfig

NAME = 'molmo_foundry'
"""Key of these fields in a ``config.json``, and name of their YAML file beside a native checkpoint."""

NESTED = ('vision', 'connector')
_COMMON = frozenset(PretrainedConfig().to_dict()) - {'model_type'}


def own_fields(config: PretrainedConfig) -> dict[str, Any]:
    """The fields of a configuration, nested ones too, without those that every one of transformers has but its type."""
    fields = {key: value for key, value in config.to_dict().items() if key not in _COMMON}
    return {key: own_fields(getattr(config, key)) if key in NESTED else value for key, value in fields.items()}


def lost_fields(config: MolmoConfig, reread: MolmoConfig) -> dict[str, Any]:
    """The fields that ``reread`` should have as ``config`` has them and does not.

    Args:
        config (MolmoConfig): A model's.
        reread (MolmoConfig): What a foreign form of it says.
    """
    ours, theirs = own_fields(config), own_fields(reread)
    lost = {key: value for key, value in ours.items() if value != theirs[key]}
    for name in lost.keys() & set(NESTED):
        lost[name] = {key: value for key, value in ours[name].items() if value != theirs[name][key]}
    return lost


def restore_fields(reread: MolmoConfig, lost: Mapping[str, Any], *, source: str) -> MolmoConfig:
    """The configuration with the fields of `lost_fields`.

    Args:
        reread (MolmoConfig): What a foreign form says.
        lost (Mapping[str, Any]): What it has no word for.
        source (str): For the message.

    Raises:
        ValueError: If a field does not exist or has a value that is not supported; names it.
    """
    content = reread.to_dict()
    for target, fields in ((content, lost), *((content[name], lost.get(name, {})) for name in NESTED)):
        for key, value in fields.items():
            if key not in target:
                raise ValueError(f'{source}: {key} under {NAME} is not a field of a Molmo.')
            if key not in NESTED:
                target[key] = value
    return MolmoConfig.from_dict(content)
