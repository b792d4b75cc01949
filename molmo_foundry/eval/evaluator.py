# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation by generation as a Composer callback: in training at intervals, or once on a checkpoint.

callbacks:
  molmo_evaluator: {interval: 1000ba, tasks: [quick], data: 'data/{dataset}/{split}', save_folder: runs/mine/eval}
"""

import sys
from pathlib import Path
from typing import Any

from composer.core import Callback, Event, State, get_precision_context
from composer.loggers import Logger
from composer.models import HuggingFaceModel
from composer.utils import dist, is_model_fsdp
from composer.utils.misc import create_interval_scheduler

from molmo_foundry.eval.fingerprint import weights_fingerprint
from molmo_foundry.eval.report import write_report
from molmo_foundry.eval.runner import Subject, TaskResult, run_task
from molmo_foundry.eval.settings import EvalSettings


class MolmoEvaluator(Callback):
    """Asks the model the questions of benchmarks, scores what it generates, and logs `eval/<task>/<metric>`.

    Args:
        interval (str): How often, as Composer writes times; also at the end of training. Default: ``1dur``, at the
            end only.
        **settings: The fields of `eval.settings.EvalSettings`.

    Raises:
        ValueError: If a setting is unknown, missing or wrong; names it.
    """

    def __init__(self, interval: str = '1dur', **settings: Any):
        self.settings = EvalSettings.parse(settings)
        self._is_due = create_interval_scheduler(interval, checkpoint_events=False, final_events={Event.BATCH_END})
        self._last_step = -1

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        """Evaluates when it is time."""
        step = state.timestamp.batch.value
        if step != self._last_step and self._is_due(state, event):
            self._last_step = step
            self.evaluate(state, logger, f'{state.run_name}-ba{step}')

    def evaluate(self, state: State, logger: Logger, name: str) -> list[TaskResult]:
        """Evaluates the model as it is now, on all tasks; every rank calls it.

        Args:
            state (State): Composer's state, with the model.
            logger (Logger): Where metrics go.
            name (str): What to call the checkpoint.

        Returns:
            list[TaskResult]: One a task, the same on every rank.

        Raises:
            ValueError: If the model is sharded by FSDP1.
        """
        model = state.model.module if state.is_model_ddp else state.model
        assert isinstance(model, HuggingFaceModel)
        if is_model_fsdp(model):
            raise ValueError('molmo_evaluator generates under FSDP2 or DDP, not under FSDP1; set FSDP_VERSION=2.')
        was_training = model.training
        model.eval()
        try:
            with get_precision_context(state.precision, state.precision_config):
                fingerprint = weights_fingerprint(model)
                subject = Subject(model, name, fingerprint, state.precision.value, state.device)
                results = [self._run(task, subject, logger) for task in self.settings.selected_tasks()]
        finally:
            model.train(was_training)
        if self.settings.report and dist.get_global_rank() == 0:
            folder = Path(self.settings.save_folder) / name
            page = write_report([result.folder for result in results], folder)
            print(f'Evaluation of {name}: {page.resolve().as_uri()}', file=sys.stderr, flush=True)
        dist.barrier()
        return results

    def _run(self, task: Any, subject: Subject, logger: Logger) -> TaskResult:
        result = run_task(task, subject, self.settings)
        logger.log_metrics({f'eval/{task.label}/{name}': value for name, value in result.metrics.items()})
        return result
