# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Code of a recipe under test (`code_paths`): a callback that writes down what each rank was given in each step."""

import json
from pathlib import Path

from composer.core import Callback, State
from composer.loggers import Logger
from composer.utils import dist
from llmfoundry.registry import callbacks


class SampleLog(Callback):
    """Appends a line for every step to `samples-rank<r>.jsonl`, once the weights have moved.

    Args:
        folder (str): Where to.
    """

    def __init__(self, folder: str):
        self.path = Path(folder) / f'samples-rank{dist.get_global_rank()}.jsonl'
        self.rows: list[list[str]] = []

    def batch_start(self, state: State, logger: Logger) -> None:
        self.rows = [row['ids'] for row in state.batch['metadata']]

    def batch_end(self, state: State, logger: Logger) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open('a') as file:
            file.write(json.dumps({'step': state.timestamp.batch.value, 'rows': self.rows}) + '\n')


callbacks.register('sample_log', func=SampleLog)
