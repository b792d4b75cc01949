# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A few steps of the tiny recipe, in a process of its own, on whatever data."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Mapping

REPOSITORY = Path(__file__).parents[2]
TRAINED_STEPS = 5


def train_tiny(folder: Path, streams: Mapping[str, Mapping[str, Any]], **overrides: Any) -> list[dict[str, float]]:
    """Run `scripts/train.py yamls/tiny/pretrain.yaml`.

    Args:
        folder (Path): What the run may write to.
        streams (Mapping): The stream of each split, ``train`` and ``validation``.
        overrides: Top-level keys of the recipe.

    Returns:
        list[dict[str, float]]: The rows that the run logged.
    """
    # A stream replaces the recipe's own, key by key; YAML reads JSON.
    train, validation = (json.dumps({'captions': {'split': None, **streams[name]}}) for name in ('train', 'validation'))
    arguments = [
        f'variables.run_folder={folder}',
        f'train_loader.dataset.streams={train}',
        f'eval_loader.0.dataset.streams={validation}',
        f'max_duration={TRAINED_STEPS}ba',
        f'eval_interval={TRAINED_STEPS}ba',
        'optimizer.warmup=1',
        *(f'{key}={value}' for key, value in overrides.items()),
    ]
    done = subprocess.run(
        [sys.executable, 'scripts/train.py', 'yamls/tiny/pretrain.yaml', *arguments],
        cwd=REPOSITORY,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
