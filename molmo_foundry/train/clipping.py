# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Gradient clipping of each component by its own norm.

Norms are of the whole gradient: a single process and DDP have it at hand, under FSDP2 the norms of the shards are
reduced over the ranks.
"""

from typing import Optional

import torch
from composer.core import Algorithm, Event, State
from composer.loggers import Logger
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from molmo_foundry.train.gloo import average_gradients
from molmo_foundry.train.settings import settings_of


class MolmoGradientClipping(Algorithm):
    """Multiplies each component's gradient by ``min(1, max_grad_norm / (norm + 1e-6))`` after the backward pass.

    `max_grad_norm` is stated in the recipe's optimizer block; a component without one is only measured. Logs the norms
    before clipping as `grad_norm/<component>` and `grad_norm/total`, and where there is a limit, that limit as
    `max_grad_norm/<component>` and the factor as `clip_coefficient/<component>`.

    Args:
        warmup_steps (int): First steps of the run, in which `max_grad_norm` is multiplied by ``warmup_factor``.
        warmup_factor (float): That factor.

    Raises:
        TypeError: If the optimizer is not one of components (`molmo_adamw`, `molmo_lion`).
        ValueError: Under FSDP1, and if `molmo_lr` is missing from the callbacks.
    """

    def __init__(self, warmup_steps: int = 0, warmup_factor: float = 1.0) -> None:
        self.warmup_steps = warmup_steps
        self.warmup_factor = warmup_factor

    def match(self, event: Event, state: State) -> bool:
        """Runs once before training and whenever the gradients of a batch are complete."""
        return event in (Event.FIT_START, Event.AFTER_TRAIN_BATCH)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        """Prepares the run, or clips and logs."""
        if event == Event.FIT_START:
            _check(state)
            if state.fsdp_config_version == 2 and state.device.name == 'cpu':
                average_gradients(state.model)
            return
        optimizer = state.optimizers[0]
        settings = settings_of(optimizer)
        factor = self.warmup_factor if state.timestamp.batch.value < self.warmup_steps else 1.0
        parameters: dict[str, list[torch.Tensor]] = {}
        for group in optimizer.param_groups:
            found = parameters.setdefault(group['component'], [])
            found.extend(parameter for parameter in group['params'] if parameter.grad is not None)
        parameters = {component: found for component, found in parameters.items() if found}
        limits = {component: settings[component].max_grad_norm for component in parameters}
        limits = {component: None if limit is None else limit * factor for component, limit in limits.items()}
        norms = {component: _clip(found, limits[component]) for component, found in parameters.items()}
        _log(norms, limits, logger)


def _clip(parameters: list[torch.Tensor], max_norm: Optional[float]) -> torch.Tensor:
    """Scales gradients in place, without waiting for the device; returns their norm before that, a scalar tensor."""
    norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    if max_norm is not None:
        clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


def _log(norms: dict[str, torch.Tensor], limits: dict[str, Optional[float]], logger: Logger) -> None:
    """Logs what was done to the components and the norm of all together; norms leave the device at once."""
    by_component = torch.stack(list(norms.values()))
    *values, total = torch.cat([by_component, by_component.norm().unsqueeze(0)]).tolist()
    metrics = {'grad_norm/total': total}
    for component, norm in zip(norms, values):
        metrics[f'grad_norm/{component}'] = norm
        limit = limits[component]
        if limit is not None:
            metrics[f'max_grad_norm/{component}'] = limit
            metrics[f'clip_coefficient/{component}'] = min(1.0, limit / (norm + 1e-6))
    logger.log_metrics(metrics)


def _check(state: State) -> None:
    settings_of(state.optimizers[0])
    if state.fsdp_config_version == 1:
        raise ValueError(
            'molmo_gradient_clipping needs FSDP2: FSDP1 hides which shard belongs to which parameter. '
            'Set FSDP_VERSION=2 in the environment, or leave out fsdp_config.'
        )
    if state.schedulers:
        raise ValueError(
            f'The learning rate is driven by {type(state.schedulers[0]).__name__}, which knows no components: '
            'add `molmo_lr: {}` to the callbacks of the recipe.'
        )
