# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""docs/recipes.md describes every key: those that the recipes set, and those that the code reads."""

import inspect
import re
import runpy
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Iterator

import pytest
import yaml
from streaming import Stream

from molmo_foundry.data.own_streams import SOURCE_KEYS
from molmo_foundry.data.packing.mixture import LOCATION_KEYS

REPOSITORY = Path(__file__).parents[2]
REFERENCE = runpy.run_path(str(REPOSITORY / 'scripts' / 'recipe_reference.py'))
PAGE = REFERENCE['PAGE'].read_text(encoding='utf-8')

HOSTS = "LLM-Foundry's and Composer's keys"
OTHER_PLACES = (
    (r'^eval_loader', 'train_loader'),
    (r'^callbacks\.molmo_evaluator\.(?!interval)', 'evaluator.'),
    (r'^(streams|groups)\.', r'train_loader.dataset.\1.'),  # a file of a mixture
    (r'\.groups\.\w+\.streams\.', '.streams.'),
    (r'\.(streams|groups)\.[\w-]+', r'.\1.NAME'),
    (r'^optimizer\.(connector|vit|llm)\.', 'optimizer.'),
    (r'^(variables\.\w+)\..*', r'\1'),
)
"""Paths of keys that are described elsewhere, and where."""

RECIPES = sorted(path for path in (REPOSITORY / 'yamls').rglob('*.yaml') if path.parent.name != 'mcli')


def _sections() -> dict[str, set[str]]:
    """Keys of the tables below each heading; a heading of several blocks stands for each."""
    sections: dict[str, set[str]] = {}
    for text in re.split(r'^#+ ', PAGE, flags=re.M)[1:]:
        heading, _, body = text.partition('\n')
        cells = re.findall(r'^\| (`[^|]*`) \|', body, re.M)
        keys = {key for cell in cells for key in re.findall(r'`(\w+)`', cell)}
        for name in re.findall(r'`([\w.]+)`', heading) or [heading]:
            sections[name] = keys
    return sections


SECTIONS = _sections()


def _name(recipe: Path) -> str:
    return recipe.relative_to(REPOSITORY / 'yamls').as_posix()


def _is_described(path: str) -> bool:
    for pattern, place in OTHER_PLACES:
        path = re.sub(pattern, place, path)
    block, _, key = path.rpartition('.')
    return path in SECTIONS or key in SECTIONS.get(block, ()) or bool({path.split('.')[0], key} & SECTIONS[HOSTS])


def _paths(value: Any, path: str = '') -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _paths(item, f'{path}.{key}' if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for item in value:
            yield from _paths(item, path)
    else:
        yield path


def test_tables_are_what_the_code_says() -> None:
    assert REFERENCE['fill'](PAGE) == PAGE, 'run `python scripts/recipe_reference.py`'


@pytest.mark.parametrize('recipe', RECIPES, ids=_name)
def test_keys_of_recipes_are_described(recipe: Path) -> None:
    paths = set(_paths(yaml.safe_load(recipe.read_text(encoding='utf-8'))))
    assert paths and not {path for path in paths if not _is_described(path)}, 'describe them in docs/recipes.md'


@pytest.mark.parametrize('recipe', RECIPES, ids=_name)
def test_variables_are_read(recipe: Path) -> None:
    text = recipe.read_text(encoding='utf-8')
    variables = yaml.safe_load(text).get('variables', {})
    assert not [name for name in variables if not re.search(rf'\${{variables\.{name}\b', text)]


def test_a_key_that_nobody_describes_is_found() -> None:
    unknown = ('model.z_loss', 'optimizer.llm.rate', 'train_loader.dataset.streams.mine.folders', 'variables.warmup')
    assert not any(map(_is_described, unknown))


def test_parameters_of_what_is_registered_are_described() -> None:
    blocks = {'models': 'model', 'dataloaders': 'train_loader', 'tokenizers': 'tokenizer.kwargs'}
    found = 0
    for entry_point in distribution('molmo-foundry').entry_points:
        host, _, kind = entry_point.group.partition('_')
        if host == 'llmfoundry' and kind != 'optimizers':  # whose keys are those of `ComponentSettings`
            parameters = inspect.signature(entry_point.load()).parameters.values()
            named = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
            keys = named - REFERENCE['NOT_IN_RECIPES']
            block = blocks.get(kind, f'{kind}.{entry_point.name}')
            assert keys <= SECTIONS[block], entry_point.name
            found += 1
    assert found >= 10


def test_keys_of_a_stream_are_described() -> None:
    streams = SECTIONS['train_loader.dataset.streams.NAME']
    assert {*inspect.signature(Stream).parameters, *LOCATION_KEYS, *SOURCE_KEYS} <= streams
    assert {'folder', 'rate', 'repeat', 'size', 'styles', 'style', 'prompt', 'weight'} <= streams
