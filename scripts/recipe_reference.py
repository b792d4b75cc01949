# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Fills the tables of docs/recipes.md with keys, defaults and meanings, as signatures and docstrings have them.

    python scripts/recipe_reference.py

A table stands below a marker that names what reads the keys: `<!-- keys: MODULE:NAME -->`. A test fails while the page
is not what this writes.
"""

import inspect
import json
import re
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'recipes.md'

NOT_IN_RECIPES = {'model', 'params', 'tokenizer', 'device_batch_size', 'name', 'label', 'where'}
"""Parameters that LLM-Foundry fills in, and names."""

_MARKER = re.compile(r'(<!-- keys: (?P<module>[\w.]+):(?P<name>\w+) -->\n\n)(?:(?:\|[^\n]*\n)+\n)?')
_ENTRY = re.compile(r'^ {4}(?P<key>\w+)(?: \([^)]*\))?: (?P<text>.*(?:\n {5,}.*)*)', re.M)
_DEFAULT = re.compile(r'Default: (?P<default>[^.]+(?:\.\d+)*)\.')


def fill(page: str) -> str:
    """The page with its tables as the code is now."""

    def filled(found: re.Match[str]) -> str:
        return found[1] + table(getattr(import_module(found['module']), found['name'])) + '\n'

    return _MARKER.sub(filled, page)


def table(reader: Any) -> str:
    """A Markdown table of the keys that a class or a function takes.

    Raises:
        ValueError: If its docstring leaves one out.
    """
    described = {
        entry['key']: ' '.join(entry['text'].split()) for entry in _ENTRY.finditer(inspect.getdoc(reader) or '')
    }
    rows = ['| key | default | meaning |', '| --- | --- | --- |']
    for key, default in defaults(reader).items():
        if key not in described:
            raise ValueError(f'The docstring of {reader.__qualname__} does not describe {key}.')
        meaning = described[key].replace('``', '`').replace('|', '\\|')
        if (stated := _DEFAULT.search(meaning)) and default in ('`null`', 'required'):
            default = stated['default']
        meaning = re.sub(r'\bNone\b', '`null`', _DEFAULT.sub('', meaning).strip())
        rows.append(f'| `{key}` | {default} | {meaning} |')
    return '\n'.join(rows) + '\n'


def defaults(reader: Any) -> dict[str, str]:
    """Keys of a reader with their defaults as a recipe writes them; of a data class, those that are its own."""
    values = _of_data_class(reader) if is_dataclass(reader) else _of_signature(reader)
    return {
        key: 'required' if value is MISSING else f'`{value if isinstance(value, str) else json.dumps(value)}`'
        for key, value in values.items()
        if key not in NOT_IN_RECIPES
    }


def _of_data_class(reader: Any) -> dict[str, Any]:
    inherited = {field.name for base in reader.__bases__ if is_dataclass(base) for field in fields(base)}
    return {
        field.name: field.default if field.default_factory is MISSING else field.default_factory()
        for field in fields(reader)
        if field.name not in inherited
    }


def _of_signature(reader: Any) -> dict[str, Any]:
    parameters = inspect.signature(reader).parameters.values()
    return {p.name: MISSING if p.default is p.empty else p.default for p in parameters if p.kind is not p.VAR_KEYWORD}


if __name__ == '__main__':
    PAGE.write_text(fill(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
