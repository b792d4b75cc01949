# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The learning rate of each component, set before every step.

Composer compiles one multiplier for all parameter groups, applies it a step late and restores its base rates from
checkpoints. `MolmoLR` takes its place: a rate is a function of the recipe and of the number of steps taken, so it has
no state to save, and what a recipe says holds when a run is resumed. LLM-Foundry still requires a `scheduler` block;
its choice does not matter::

    scheduler: {name: constant_with_warmup, t_warmup: 0dur}
    callbacks:
      molmo_lr: {}
"""

from functools import partial

from composer.core import Callback, State, TimeUnit
from composer.loggers import Logger

from molmo_foundry.train.clipping import MolmoGradientClipping
from molmo_foundry.train.schedules import warm_restart
from molmo_foundry.train.settings import settings_of
from molmo_foundry.train.thawing import allow_thawing


class MolmoLR(Callback):
    """Sets each parameter group's learning rate to its component's.

    Logs it as `lr/<component>`, and as `weight_decay/<component>` the decay of those of its parameters that decay.

    Args:
        restart_step (int): Steps that had been taken when the run went on with a fresh optimizer state
            (``load_ignore_keys: ['state/optimizers/*']``).
        restart_warmup (int): Steps over which the rates rise from 0 back to their schedules after that. 0: no restart.

    Raises:
        TypeError: If the optimizer is not one of components (`molmo_adamw`, `molmo_lion`).
        ValueError: If `max_grad_norm` is stated without the algorithm that applies it, or the length of the run in
            steps is unknown.
    """

    def __init__(self, restart_step: int = 0, restart_warmup: int = 0) -> None:
        if restart_step and not restart_warmup:
            raise ValueError(f'molmo_lr: restart_step={restart_step} needs restart_warmup, the steps of its warm-up.')
        self.restart_step = restart_step
        self.restart_warmup = restart_warmup
        self.run_steps = 0

    def init(self, state: State, logger: Logger) -> None:
        """Checks that the recipe's optimizer block can hold."""
        settings = settings_of(state.optimizers[0])
        clipped = [component for component, own in settings.items() if own.max_grad_norm is not None]
        if clipped and not any(isinstance(algorithm, MolmoGradientClipping) for algorithm in state.algorithms):
            raise ValueError(
                f'optimizer.max_grad_norm is set for {", ".join(clipped)}, but nothing clips: '
                'add `molmo_gradient_clipping: {}` to the algorithms of the recipe.'
            )

    def before_load(self, state: State, logger: Logger) -> None:
        """Removes Composer's scheduler, and lets what was frozen be trained from here on."""
        state.schedulers = []
        allow_thawing(state)

    def fit_start(self, state: State, logger: Logger) -> None:
        """Works out the length of the run."""
        settings = settings_of(state.optimizers[0])
        if any(own.max_steps is None for own in settings.values()):
            self.run_steps = _steps(state)

    def batch_start(self, state: State, logger: Logger) -> None:
        """Sets the rates of the step that follows."""
        optimizer = state.optimizers[0]
        step = state.timestamp.batch.value + 1
        settings = settings_of(optimizer)
        metrics: dict[str, float] = {}
        for group in optimizer.param_groups:
            component = group['component']
            rate = partial(settings[component].rate, run_steps=self.run_steps)
            group['lr'] = warm_restart(step, rate, start=self.restart_step, length=self.restart_warmup)
            metrics[f'lr/{component}'] = group['lr']
            decay = f'weight_decay/{component}'
            metrics[decay] = max(group['weight_decay'], metrics.get(decay, 0.0))
        logger.log_metrics(metrics)


def _steps(state: State) -> int:
    """Length of the run in steps."""
    duration = state.max_duration
    if duration is not None and duration.unit == TimeUnit.BATCH:
        return duration.value
    if duration is not None and duration.unit == TimeUnit.EPOCH and state.dataloader_len is not None:
        return duration.value * int(state.dataloader_len)
    raise ValueError(
        f'max_duration={duration} cannot be told in steps: give it in batches, such as 22300ba (or in epochs, such as '
        '4ep, if the dataloader has a length), or set optimizer.max_steps.'
    )
