# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Filling a model's parameters from files tensor by tensor, never holding more than the model and one of them."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping

import torch
from torch import Tensor
from transformers import PretrainedConfig

from molmo_foundry.convert.hub import HubWeights, read_json
from molmo_foundry.convert.key_maps import Rule
from molmo_foundry.convert.progress import tracked
from molmo_foundry.convert.state import names


@dataclass(frozen=True)
class Filled:
    """What came of a conversion.

    Attributes:
        source: Where the weights came from.
        tensors: How many tensors of the model were filled.
        dropped: Tensors of the source that the model has no use for.
    """

    source: Path
    tensors: int
    dropped: tuple[str, ...]


def read_hub_config(
    directory: Path, known: Mapping[str, type[PretrainedConfig]], aliases: Mapping[str, str]
) -> PretrainedConfig:
    """The transformers configuration of a directory; code that lies there is not run.

    Args:
        directory (Path): Has a ``config.json``.
        known (Mapping[str, type]): The configurations that can be converted, by model type.
        aliases (Mapping[str, str]): Other names of model types.

    Raises:
        FileNotFoundError: If there is no ``config.json``.
        ValueError: If it is not of a known type.
    """
    path = directory / 'config.json'
    content = read_json(path)
    published = str(content.get('model_type'))
    model_type = aliases.get(published, published)
    if model_type not in known:
        raise ValueError(f'{path}: model_type={model_type!r} cannot be converted; known are: {", ".join(known)}.')
    return known[model_type].from_dict({**content, 'model_type': model_type})


def check_fields(model: Any, expected: Mapping[str, Any], *, prefix: str, source: Path) -> None:
    """Checks that the configuration of the model computes what the source computes.

    Args:
        model (Any): A configuration of ours.
        expected (Mapping[str, Any]): Its fields, as the source has them.
        prefix (str): Of the names in the message.
        source (Path): For the message.

    Raises:
        ValueError: Naming every field that differs.
    """
    wrong = [
        f'{prefix}{key}={getattr(model, key)!r} (there: {value!r})'
        for key, value in expected.items()
        if not _same(getattr(model, key), value)
    ]
    if wrong:
        raise ValueError(f'{source} is of another architecture than the model, which has {", ".join(wrong)}.')


def _same(ours: Any, theirs: Any) -> bool:
    """Equality, but for float32 rounding: some formats store their settings so."""
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-6)
    return ours == theirs


def fill_parameters(
    parameters: Mapping[str, Tensor],
    rules: Iterable[Rule],
    weights: HubWeights,
    *,
    is_dropped: Callable[[str], bool],
    padded: Iterable[str] = (),
) -> Filled:
    """Copies every tensor of the source to its place.

    Args:
        parameters (Mapping[str, Tensor]): Every parameter to be filled, on a real device.
        rules (Iterable[Rule]): One for each parameter.
        weights (HubWeights): The source.
        is_dropped (Callable[[str], bool]): Whether a tensor of the source is left out on purpose.
        padded (Iterable[str]): Parameters that may have more rows than the source. The others become the mean of all
            rows, which as an output is never the most likely one.

    Returns:
        Filled: What was done.

    Raises:
        ValueError: If a tensor is missing, of another shape, or neither used nor dropped; names file and tensor.
    """
    rules = list(rules)
    used = {source for rule in rules for source in rule.sources}
    dropped = {key for key in weights.keys - used if is_dropped(key)}
    if unknown := weights.keys - used - dropped:
        raise ValueError(f'{weights.path}: tensors that the model has no place for: {names(unknown)}.')
    if unfilled := parameters.keys() - {rule.target for rule in rules}:
        raise ValueError(f'{weights.path}: nothing there fills these parameters of the model: {names(unfilled)}.')
    for rule in tracked(rules, f'load {weights.path.parent}'):
        _fill(parameters[rule.target], rule, weights, may_pad=rule.target in padded)
    return Filled(weights.path.parent, len(rules), tuple(sorted(dropped)))


@torch.no_grad()
def _fill(parameter: Tensor, rule: Rule, weights: HubWeights, *, may_pad: bool) -> None:
    row = 0
    for source in rule.sources:
        theirs = weights.get(source)
        try:
            tensor = rule.prepare(theirs)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f'{weights.files[source]}: {source} does not fit {rule.target}: {error}') from error
        end = row + (tensor.shape[0] if tensor.dim() else 0)
        if tensor.shape[1:] != parameter.shape[1:] or tensor.dim() != parameter.dim() or end > parameter.shape[0]:
            raise ValueError(
                f'{weights.files[source]}: {source} has shape {tuple(tensor.shape)}, which does not fit into rows '
                f'{row} and after of {rule.target} {tuple(parameter.shape)}.'
            )
        parameter[row:end].copy_(tensor)
        row = end
    if row == parameter.shape[0]:
        return
    if not may_pad:
        raise ValueError(
            f'{weights.files[rule.sources[-1]]}: {", ".join(rule.sources)} give {row} rows of {rule.target}, '
            f'which has {parameter.shape[0]}.'
        )
    parameter[row:] = parameter[:row].float().mean(0)
