# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Packed runs of the tiny model through the real launcher, and what they leave behind."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from molmo_foundry.data.mds import write_mds
from molmo_foundry.data.synthetic import make_examples
from molmo_foundry.processing.types import Example

SAMPLES = {'shapes': 40, 'text': 24, 'pair': 20}
"""Of an epoch, by what their ids start with."""

REPOSITORY = Path(__file__).parents[2]
RECIPE = REPOSITORY / 'yamls/tiny/multitask.yaml'
GLOBAL_BATCH = 2
PATIENCE = 400


def write_data(folder: Path) -> None:
    """Message trees about an image, text alone, and pairs of images: some seven global batches an epoch."""
    shapes = list(make_examples('train', 60, 0))
    write_mds(shapes[:40], folder / 'train', shard_bytes=1 << 15)
    write_mds(make_examples('validation', 4, 0), folder / 'validation')
    texts = [Example(f'text-{i}', [], [{'question': f'{i} + {i}?', 'answer': str(2 * i)}]) for i in range(24)]
    write_mds(texts, folder / 'texts')
    question = {'question': 'Are the two pictures alike?', 'answer': 'No, they are not.'}
    pairs = [
        Example(f'pair-{i}', [*first.images, *second.images], [question])
        for i, (first, second) in enumerate(zip(shapes[40:50], shapes[50:]))
    ]
    write_mds(pairs, folder / 'pairs')


class PackedRun:
    """One start of a run, which the next goes on from if it has the same folder.

    Args:
        data (Path): From `write_data`.
        folder (Path): Checkpoints, logs and metrics.
        ranks (int): Processes.
        workers (int): Workers of each.
        steps (int): When the run ends; all starts must say the same.
        saved (int): Steps between checkpoints.
    """

    def __init__(self, data: Path, folder: Path, *, ranks: int, workers: int, steps: int, saved: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.log = folder, folder / 'log.txt'
        streams = {'texts': {'local': f'{data}/texts'}, 'pairs': {'local': f'{data}/pairs', 'repeat': 2}}
        overrides = {
            'variables.data': data,
            'variables.run_folder': folder,
            'variables.start': 'null',
            'variables.overrides.residual_dropout': 0.0,  # it differs between numbers of ranks, as it should
            'train_loader.dataset.packing': 'true',
            'train_loader.dataset.max_crops_per_pack': 12,
            'variables.max_seq_len': 448,
            'train_loader.num_workers': workers,
            'global_train_batch_size': GLOBAL_BATCH,
            'device_train_microbatch_size': 1,
            'device_eval_batch_size': 2,
            'max_duration': f'{steps}ba',
            'save_interval': f'{saved}ba',
            'eval_interval': f'{steps}ba',
            'code_paths': [str(Path(__file__).with_name('sample_log.py'))],
            'callbacks.sample_log.folder': folder,
            **{f'train_loader.dataset.streams.{name}': json.dumps(keys) for name, keys in streams.items()},
        }
        launcher = [sys.executable, '-m', 'composer.cli.launcher', '-n', str(ranks)]
        self.process = subprocess.Popen(
            [*launcher, str(REPOSITORY / 'scripts/train.py'), str(RECIPE), *(f'{k}={v}' for k, v in overrides.items())],
            cwd=folder,
            stdout=self.log.open('a'),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'FSDP_VERSION': '2'},
        )

    def finish(self, status: int = 0) -> None:
        """Waits for the end of the process."""
        assert self.process.wait(timeout=PATIENCE) == status, self.tail()

    def tail(self) -> str:
        """The end of its output."""
        return self.log.read_text()[-6000:]


def _lines(path: Path) -> list[dict[str, Any]]:
    """Objects of a JSON lines file; one that was cut off by a kill is left out."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith('\n')]


def metrics_of(folder: Path) -> dict[int, dict[str, float]]:
    """Metrics by step."""
    rows: dict[int, dict[str, float]] = defaultdict(dict)
    for row in _lines(folder / 'metrics.jsonl'):
        rows[int(row['step'])].update(row)
    return dict(rows)


def losses_of(folder: Path) -> dict[int, float]:
    """Losses by step."""
    return {step: row['loss/train/total'] for step, row in metrics_of(folder).items() if 'loss/train/total' in row}


def global_batches(folder: Path) -> dict[int, list[list[str]]]:
    """Ids of the rows of each step's global batch, whatever ranks there were; steps made twice must be the same."""
    by_step: dict[int, list[list[list[str]]]] = defaultdict(list)
    files = sorted(folder.glob('samples-rank*.jsonl'))
    for file in files:
        own: dict[int, list[list[str]]] = {}
        for line in _lines(file):
            assert own.setdefault(line['step'], line['rows']) == line['rows'], (
                f'step {line["step"]} was given other data'
            )
        for step, rows in own.items():
            by_step[step].append(rows)
    return {step: [row for rows in parts for row in rows] for step, parts in sorted(by_step.items())}


def epochs_of(batches: dict[int, list[list[str]]]) -> list[list[str]]:
    """Samples of each epoch that the batches hold all of, by stream; an epoch never begins within a batch."""
    ids = [name for rows in batches.values() for row in rows for name in row]
    epochs = []
    for start, size in SAMPLES.items():
        own = [name for name in ids if name.startswith(start)]
        epochs += [own[first : first + size] for first in range(0, len(own) - size + 1, size)]
    return epochs


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of the latest checkpoint."""
    # Composer's checkpoints hold more than tensors; this one was written by the test.
    latest = folder / 'checkpoints' / 'latest-rank0.pt'
    return torch.load(latest, weights_only=False)['state']['model']
