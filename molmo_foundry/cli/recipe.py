# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes: finding them, applying overrides, and saying what is wrong with one before anything heavy starts."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Iterable, Sequence

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

RECIPES = Path(__file__).resolve().parents[1] / 'recipes'
"""The recipes of this package: `yamls/` of the repository, copied into wheels."""

STAGES = ('', 'tiny', 'tour')
"""Folders of recipes that train; the others hold mixtures, and jobs for clusters."""

REQUIRED_KEYS = (
    'model',
    'tokenizer',
    'optimizer',
    'scheduler',
    'train_loader',
    'max_duration',
    'max_seq_len',
    'global_train_batch_size',
    'device_train_microbatch_size',
)


class RecipeError(ValueError):
    """Something in a recipe that its author can mend; the message says what and where."""


def find_recipe(name: str) -> Path:
    """The file that ``name`` means.

    Args:
        name (str): A path as it is, or a recipe of this package: `pretrain`, `tiny/pretrain` or
            `yamls/tiny/pretrain.yaml`.

    Raises:
        RecipeError: If there is no such file; close names are listed.
    """
    own = name.removeprefix('yamls/')
    for candidate in (Path(name), RECIPES / own, RECIPES / f'{own}.yaml'):
        if candidate.is_file():
            return candidate
    known = recipe_names()
    raise RecipeError(
        f'There is no recipe {name!r}.{_suggest(own.removesuffix(".yaml"), known) or " Recipes: " + ", ".join(known)}'
    )


def recipe_names() -> list[str]:
    """Names of this package's training recipes, such as `tiny/pretrain`."""
    paths = sorted(path for folder in STAGES for path in (RECIPES / folder).glob('*.yaml'))
    return [path.relative_to(RECIPES).with_suffix('').as_posix() for path in paths if is_training(path)]


def is_training(path: Path) -> bool:
    """Whether a YAML file is a training recipe, rather than one of evaluation."""
    return '\ntrain_loader:' in path.read_text(encoding='utf-8')


def load_recipe(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Reads a recipe, applies ``key=value`` overrides, and resolves its variables.

    Args:
        name (str): Path of the recipe.
        overrides (Sequence[str]): Dotted keys with values, such as ``optimizer.llm.lr=1e-5`` or
            ``eval_loader.0.dataset.max_seq_len=512``; a mapping is merged into the recipe's.

    Returns:
        DictConfig: The recipe.

    Raises:
        RecipeError: If it is not YAML, an override is malformed, or a variable does not exist.
    """
    path = find_recipe(name)
    try:
        recipe = OmegaConf.load(path)
        if not isinstance(recipe, DictConfig):
            raise RecipeError(f'{path} is not a recipe: its top level must be a mapping.')
        for override in overrides:
            _apply(override, recipe)
        OmegaConf.resolve(recipe)
    except yaml.YAMLError as error:
        raise RecipeError(f'{path} is not valid YAML: {error}') from error
    except OmegaConfBaseException as error:
        raise RecipeError(f'{path}: {str(error).splitlines()[0]}') from error
    return recipe


def _apply(override: str, recipe: DictConfig) -> None:
    if '=' not in override or override.startswith(('-', '+', '~')):
        raise RecipeError(f'Override {override!r} is not of the form key=value (e.g. max_duration=100ba).')
    key, _, value = override.partition('=')
    try:
        OmegaConf.update(recipe, key, OmegaConf.from_dotlist([f'value={value}']).value, merge=True)
    except (yaml.YAMLError, OmegaConfBaseException, IndexError, TypeError) as error:
        raise RecipeError(f'Override {override!r} cannot be applied: {str(error).splitlines()[0]}') from error


def check_keys(keys: Iterable[Any], allowed: Iterable[str], where: str) -> None:
    """Raises RecipeError if one of ``keys`` is not ``allowed``; ``where`` names the block."""
    allowed = sorted(allowed)
    for key in keys:
        if key not in allowed:
            hint = _suggest(str(key), allowed) or f' Known keys: {", ".join(allowed)}.'
            raise RecipeError(f'Unknown key {key!r} in {where}.{hint}')


def check_train_recipe(recipe: DictConfig) -> None:
    """Checks the keys of a training recipe against what LLM-Foundry and the model accept.

    Raises:
        RecipeError: Naming the key that is unknown or missing.
    """
    import inspect

    from llmfoundry.utils.config_utils import TRAIN_CONFIG_KEYS

    from molmo_foundry.data.dataset_config import DatasetConfig
    from molmo_foundry.data.packing.config import PlannedConfig, asks_for_plan
    from molmo_foundry.model.composer_model import ComposerMolmo
    from molmo_foundry.train.settings import read_settings

    check_keys(recipe, TRAIN_CONFIG_KEYS, 'the recipe (free variables go under `variables`)')
    for key in REQUIRED_KEYS:
        if key not in recipe:
            raise RecipeError(f'The recipe has no {key!r}, which a training run needs.')
    if recipe.model.get('name') == 'molmo':
        allowed = set(inspect.signature(ComposerMolmo).parameters) - {'model', 'tokenizer'}
        check_keys(recipe.model, allowed | {'name'}, '`model`')
    for loader in (recipe.train_loader, *_eval_loaders(recipe)):
        if loader.get('name') == 'molmo':
            block = _plain(loader.dataset)
            (PlannedConfig if asks_for_plan(block) else DatasetConfig).parse(block)
    if recipe.optimizer.get('name') in ('molmo_adamw', 'molmo_lion'):
        read_settings({key: value for key, value in _plain(recipe.optimizer).items() if key != 'name'})


def _eval_loaders(recipe: DictConfig) -> list[DictConfig]:
    loaders = recipe.get('eval_loader') or []
    return [loaders] if isinstance(loaders, DictConfig) else list(loaders)


def _plain(block: DictConfig) -> dict[str, Any]:
    content = OmegaConf.to_container(block)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _suggest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=3)
    return f' Did you mean {" or ".join(repr(c) for c in close)}?' if close else ''
