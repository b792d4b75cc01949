# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a recipe until its first step is done and prints, as JSON, how long each stage of the start took.

    python benchmarks/startup_stages.py yamls/tiny/pretrain.yaml [key=value ...]

Seconds count from the start of the process; `startup.py` makes a table of several runs. The stages are told apart from
outside: by wrapping what builds loaders and model, and by a callback of Composer's.
"""

import functools
import json
import sys
import time
from importlib.metadata import distribution
from typing import Any, Callable

import psutil


class Clock:
    """Seconds of wall and of processor time by stage, from the start of this process.

    Attributes:
        stages: Name of a stage to both, in the order in which they ended. Processor time is that of all threads of
            this process, not of loader workers.
    """

    def __init__(self) -> None:
        self.stages: dict[str, tuple[float, float]] = {}
        self._wall, self._cpu = psutil.Process().create_time(), 0.0

    def lap(self, stage: str) -> None:
        """Ends a stage; one of the same name goes on with it."""
        wall, cpu = time.time(), time.process_time()
        before = self.stages.get(stage, (0.0, 0.0))
        self.stages[stage] = before[0] + wall - self._wall, before[1] + cpu - self._cpu
        self._wall, self._cpu = wall, cpu

    def around(self, work: Callable[..., Any], stage: str, before: str) -> Callable[..., Any]:
        """`work` as a stage; what came since the last one belongs to `before`."""

        @functools.wraps(work)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.lap(before)
            result = work(*args, **kwargs)
            self.lap(stage)
            return result

        return timed


class FirstStepDone(Exception):
    """Ends the run."""


def load_entry_points() -> None:
    """Imports everything that this package registers with LLM-Foundry."""
    for entry_point in distribution('molmo-foundry').entry_points:
        if entry_point.group.startswith('llmfoundry_'):
            entry_point.load()


def run(recipe: str, overrides: list[str]) -> dict[str, tuple[float, float]]:
    """Trains until the first step is done; seconds of wall and processor time by stage."""
    clock = Clock()
    clock.lap('Python')
    from molmo_foundry.cli.train import KNOWN_WARNINGS, set_up, train

    set_up(KNOWN_WARNINGS)
    from composer import Callback
    from llmfoundry import command_utils, registry  # noqa: F401

    clock.lap('import Composer and LLM-Foundry')
    load_entry_points()
    from molmo_foundry.data import dataloader
    from molmo_foundry.model.composer_model import ComposerMolmo

    clock.lap('import molmo_foundry')

    class Laps(Callback):
        """Tells the clock what the trainer has done."""

        def fit_start(self, *_: Any) -> None:
            clock.lap('trainer')

        def after_dataloader(self, *_: Any) -> None:
            clock.lap('first batch')

        def batch_end(self, *_: Any) -> None:
            clock.lap('first step')
            raise FirstStepDone

    registry.callbacks.register('laps', func=Laps)
    build_loader = clock.around(dataloader.build_molmo_dataloader, 'loaders', 'recipe, tokenizer')
    dataloader.build_molmo_dataloader = build_loader
    ComposerMolmo.__init__ = clock.around(ComposerMolmo.__init__, 'model', 'recipe, tokenizer')
    try:
        train(recipe, [*overrides, 'callbacks.laps={}'])
    except FirstStepDone:
        return clock.stages
    raise SystemExit('the run ended before its first step')


if __name__ == '__main__':
    print(json.dumps(run(sys.argv[1], sys.argv[2:])))
