# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Ending a run when the cluster says so: finish the step, save it, and exit with a code that means "start me again".

A callback::

    callbacks:
      molmo_preemption: {}

On SIGTERM or SIGUSR1, to one rank or all of them or the launcher, every rank finishes the step it is in, skips
evaluation, saves a checkpoint of exactly that step, waits for its upload, and exits with code 75 (`EX_TEMPFAIL` of
sysexits.h). `autoresume: true` goes on from there. `yamls/slurm/` shows a job that requeues itself on that code.
"""

import gc
import signal
from functools import partial
from types import FrameType
from typing import Any, Callable, Optional

import torch
from composer.core import Callback, State
from composer.loggers import Logger
from composer.utils import dist

from molmo_foundry.train.checkpointing import GuardedSaver, find_saver, look_past_wandb

EXIT_CODE = 75
"""Status of a run that was told to end and saved its last step."""

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Preempted(SystemExit):
    """Ends the process with `EXIT_CODE`."""

    def __init__(self) -> None:
        super().__init__(EXIT_CODE)


class MolmoPreemption(Callback):
    """Saves and exits on `SIGNALS`; keeps checkpoints whole and a disk from overflowing (see `train.checkpointing`).

    Raises:
        ValueError: If the run has no `save_folder`.
        NotEnoughSpaceError: If a checkpoint would not fit on the disk, before it is written.
    """

    def __init__(self) -> None:
        self.signalled = False
        self.leaving = False
        self.guard: Optional[GuardedSaver] = None
        self.before: dict[int, Any] = {}

    def before_load(self, state: State, logger: Logger) -> None:
        """Says where no checkpoint is to be looked for."""
        look_past_wandb(logger)

    def fit_start(self, state: State, logger: Logger) -> None:
        """Starts to listen."""
        self.guard = GuardedSaver(find_saver(state), SIGNALS)
        self.guard.prepare(state)
        self.before = {number: signal.signal(number, self._note) for number in SIGNALS}
        loaders: list[Any] = [state.dataloader, *(evaluator.dataloader.dataloader for evaluator in state.evaluators)]
        for loader in loaders:
            if hasattr(loader, 'worker_init_fn'):
                loader.worker_init_fn = partial(_deaf_worker, loader.worker_init_fn)

    def batch_end(self, state: State, logger: Logger) -> None:
        """Agrees with the other ranks on whether this step is the last."""
        told = state.device.tensor_to_device(torch.tensor(int(self.signalled)))
        dist.all_reduce(told, reduce_operation='MAX')
        self.leaving = bool(told.item())
        if self.leaving:
            for evaluator in state.evaluators:
                evaluator.eval_interval = _never

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        """Saves and leaves, if told to.

        Raises:
            Preempted: After the checkpoint is where it belongs.
        """
        if not self.leaving:
            return
        assert self.guard is not None
        self.guard.save_now(state, logger)
        if not dist.get_global_rank():
            print(
                f'Told to end: step {state.timestamp.batch.value} is saved. '
                f'Exit code {EXIT_CODE}; the same command goes on from there.',
                flush=True,
            )
        for number in SIGNALS:  # the launcher ends its last ranks by SIGTERM, which would change their exit code
            signal.signal(number, signal.SIG_IGN)
        gc.freeze()  # spares the interpreter a search for garbage among all that Composer imports, seconds long
        raise Preempted

    def fit_end(self, state: State, logger: Logger) -> None:
        """Gives the signals back to whoever had them."""
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Optional[FrameType]) -> None:
        del number, frame
        self.signalled = True


def _never(*_: Any) -> bool:
    return False


def _deaf_worker(then: Optional[Callable[[int], None]], worker: int) -> None:
    """Makes a loader's process outlive signals to its whole group, so that the step can be finished.

    Only the first of each is ignored: the loader itself may end its processes with SIGTERM.
    """
    for number in SIGNALS:
        signal.signal(number, _ignore_once)
    if then is not None:
        then(worker)


def _ignore_once(number: int, frame: Optional[FrameType]) -> None:
    del frame
    signal.signal(number, signal.SIG_DFL)
