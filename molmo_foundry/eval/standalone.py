# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluating a checkpoint outside training: the recipe of `scripts/eval.py`."""

from pathlib import Path
from typing import Any, Mapping

from composer import Trainer
from composer.utils import dist
from llmfoundry.utils.builders import build_logger

from molmo_foundry.convert.locate import SHARDED, kind_of, latest_of
from molmo_foundry.eval.checkpoint import load_model
from molmo_foundry.eval.evaluator import MolmoEvaluator
from molmo_foundry.eval.runner import TaskResult
from molmo_foundry.eval.shards import load_shards

RECIPE_KEYS = (
    'variables',
    'load_path',
    'name',
    'model',
    'tokenizer',
    'evaluator',
    'precision',
    'fsdp_config',
    'dist_timeout',
    'loggers',
)


def evaluate(recipe: Mapping[str, Any]) -> list[TaskResult]:
    """Evaluates the checkpoint of a recipe; every rank calls it.

    Args:
        recipe (Mapping): The keys of `RECIPE_KEYS`, see `yamls/eval.yaml`.

    Returns:
        list[TaskResult]: One a task.

    Raises:
        ValueError: If a setting is wrong, or the checkpoint does not fit the model.
        FileNotFoundError: If the checkpoint or the data of a task is not there.
    """
    path = latest_of(Path(recipe['load_path']))
    name = recipe.get('name') or path.name.removesuffix('.pt').removesuffix('-rank0')
    evaluator = MolmoEvaluator(**recipe['evaluator'])
    tokenizer = (recipe.get('tokenizer') or {}).get('kwargs')
    model = load_model(path, recipe.get('model') or {}, tokenizer)
    fsdp = recipe.get('fsdp_config')
    trainer = Trainer(
        model=model,
        run_name=name,
        precision=recipe.get('precision'),
        loggers=[build_logger(key, dict(kwargs or {})) for key, kwargs in (recipe.get('loggers') or {}).items()],
        # As in training, one process has nothing to shard.
        parallelism_config={'fsdp': dict(fsdp)} if fsdp is not None and dist.get_world_size() > 1 else None,
        dist_timeout=recipe.get('dist_timeout', 600),
        progress_bar=False,
    )
    if kind_of(path) == SHARDED:
        load_shards(path, model)
    results = evaluator.evaluate(trainer.state, trainer.logger, name)
    trainer.close()
    return results
