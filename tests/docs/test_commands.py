# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Every command of the documentation can be typed as it stands: programs, options, recipes and their keys exist.

Those that are run in earnest are in `test_own_data.py`; of all others, the page says why they are not.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from documented_commands import PAGES, REPOSITORY, Command, commands_of

from molmo_foundry.cli.main import app
from molmo_foundry.cli.recipe import check_train_recipe, load_recipe

RUN = ('own-data.md',)
"""Pages whose commands are run."""

COMMANDS = [command for page in PAGES for command in commands_of(page)]


def _id(command: Command) -> str:
    return f'{command.page}:{command.line}:{"-".join(command.words[:3])[:40]}'


def check_molmo_foundry(words: list[str]) -> None:
    """Parses a command line without running it."""
    group: Any = typer.main.get_command(app)
    name, context = 'molmo-foundry', None
    while hasattr(group, 'resolve_command'):
        context = group.context_class(group, info_name=name, parent=context)
        name, command, words = group.resolve_command(context, words)
        assert command is not None, f'no command {name}'
        group = command
    group.make_context(name, list(words), parent=context)


def check_composer(words: list[str]) -> None:
    """Loads the recipe of a training or evaluation with its overrides."""
    script = next(index for index, word in enumerate(words) if word.endswith('.py'))
    assert (REPOSITORY / 'scripts' / Path(words[script]).name).is_file()
    recipe = load_recipe(words[script + 1], words[script + 2 :])
    if Path(words[script]).name == 'train.py':
        check_train_recipe(recipe)


def check_make(words: list[str]) -> None:
    """Looks the target up."""
    assert re.search(rf'^{re.escape(words[0])}:', (REPOSITORY / 'Makefile').read_text(), re.M)


def check_python(words: list[str]) -> None:
    """Looks the script or module up."""
    assert words[0] in ('-m', '-c') or (REPOSITORY / words[0]).is_file()


CHECKS = {
    'molmo-foundry': check_molmo_foundry,
    'composer': check_composer,
    'make': check_make,
    'python': check_python,
    'sbatch': lambda words: [
        check_composer(['train.py', *words[index + 1 :]])
        for index, word in enumerate(words)
        if word.endswith('.sbatch')
    ],
    'pip': lambda words: None,
    'mcli': lambda words: None,
    'cd': lambda words: None,
}


@pytest.mark.parametrize('command', COMMANDS, ids=_id)
def test_command_can_be_typed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    program, *words = command.words
    assert program in CHECKS, f'{command.page}: no check for {program}'
    CHECKS[program](words)


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 30 and {command.page for command in COMMANDS} >= {'README.md', 'index.md', 'data.md'}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_commands_are_run_or_marked(page: Path) -> None:
    unmarked = [command.text for command in commands_of(page) if not command.why_not_run]
    assert page.name in RUN or not unmarked, unmarked
