# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The command line answers `--help`, and lists what it knows, without the libraries that take seconds to import."""

import json
import subprocess
import sys
from typing import Any

HEAVY = {'PIL', 'composer', 'datasets', 'httpx', 'llmfoundry', 'matplotlib', 'numpy', 'pyarrow', 'scipy', 'streaming'}
HEAVY |= {'torch', 'transformers', 'wandb'}

HELP = """
import json, sys
import typer.main
from molmo_foundry.cli.main import app

def ask(command, path):
    command.main([*path, '--help'], prog_name='molmo-foundry', standalone_mode=False)
    asked.append(' '.join(path))
    for name in walk(command, path):
        ask(command, [*path, name])

def walk(command, path):
    for name in path:
        command = command.commands[name]
    return getattr(command, 'commands', ())

asked = []
ask(typer.main.get_command(app), [])
print(json.dumps({'asked': asked, 'modules': sorted({name.partition('.')[0] for name in sys.modules})}))
"""


LISTS = """
import json, sys
from molmo_foundry.cli.main import app

for command in (['data', 'list'], ['data', 'list', 'info_qa'], ['eval', 'tasks'], ['recipes', 'list']):
    app(command, standalone_mode=False)
print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))
"""


def _last_line(program: str) -> tuple[Any, str]:
    """What a program prints last, as JSON, and all that it prints."""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout.splitlines()[-1]), done.stdout


def test_help_imports_nothing_heavy() -> None:
    outcome, text = _last_line(HELP)
    assert {'', 'chat', 'data download', 'convert export', 'eval report', 'recipes copy'} <= set(outcome['asked'])
    assert not HEAVY & set(outcome['modules'])
    assert text.count('Usage: molmo-foundry') == len(outcome['asked'])


def test_lists_import_no_torch() -> None:
    modules, text = _last_line(LISTS)
    assert 'info_qa' in text and 'chart_qa' in text and 'tiny/pretrain' in text
    assert not {'torch', 'transformers', 'streaming', 'composer'} & set(modules)
