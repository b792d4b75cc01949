# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""How long it takes to start: the command line, imports, a run until its first step, and a 7B model without weights.

Everything is measured several times, each in a process of its own; the quickest counts, in processor time (user and
system) and on the clock. A first time warms the disk and does not count.

    OMP_NUM_THREADS=1 python benchmarks/startup.py
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Sequence

from molmo_foundry.data.packing.node_files import FOLDER_VARIABLE

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / 'yamls' / 'tiny' / 'pretrain.yaml'
PACKAGES = ('torch', 'transformers', 'mosaicml', 'llm-foundry', 'mosaicml-streaming')

HOSTS = 'import composer, llmfoundry.command_utils'
META = 'import torch; from molmo_foundry import MolmoForCausalLM; from molmo_foundry.model.presets import build_config'

CODE = {
    '`import molmo_foundry`': ('', 'import molmo_foundry'),
    'data: `import molmo_foundry.data.dataset` (with Streaming and transformers)': (
        '',
        'import molmo_foundry.data.dataset',
    ),
    'launcher: `import composer.cli.launcher`': ('', 'import composer.cli.launcher'),
    'training: `import composer, llmfoundry`': ('', HOSTS),
    'training: this package, once these are imported': (
        f'{HOSTS}; from startup_stages import load_entry_points',
        'load_entry_points()',
    ),
    'Molmo-7B-D on the meta device, once torch and transformers are imported': (
        META,
        "with torch.device('meta'): MolmoForCausalLM(build_config('qwen2_7b', 'openai'))",
    ),
}
"""What to time: what comes before, and the code itself."""

RUNS = {'as it is': (), 'packed': ('train_loader.dataset.packing=true',)}
"""Overrides of the recipe."""

Seconds = Sequence[float]
"""On the clock, and of processor time."""


def time_help() -> Seconds:
    """`molmo-foundry --help`, from the start of its process to its end."""
    start = time.perf_counter()
    process = subprocess.Popen([Path(sys.executable).with_name('molmo-foundry'), '--help'], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit('molmo-foundry --help failed')
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def time_code(before: str, code: str) -> Seconds:
    """Code in a fresh interpreter, whose own start is not counted."""
    start = 'import time; start = time.perf_counter(), time.process_time()'
    answer = 'print([time.perf_counter() - start[0], time.process_time() - start[1]])'
    return _answer('-c', '\n'.join([before, start, code, answer]))


def time_run(data: Path, overrides: Sequence[str]) -> dict[str, Seconds]:
    """The stages of a run until its first step, which finds nothing of runs before it."""
    with tempfile.TemporaryDirectory() as folder:
        own = [f'variables.data={data}', f'variables.run_folder={folder}']
        return _answer(str(HERE / 'startup_stages.py'), str(RECIPE), *own, *overrides, folder=folder)


def _answer(*arguments: str, folder: str = '') -> Any:
    """What a fresh interpreter prints last, as JSON."""
    environment = {**os.environ, FOLDER_VARIABLE: folder}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def best(turns: Sequence[Seconds]) -> str:
    """Cells of a table: processor time and time on the clock, each the least there was after the first turn."""
    wall, cpu = (min(values) for values in zip(*turns[1:]))
    return f'{cpu:.2f} | {wall:.2f}'


def main() -> None:
    """Prints the tables of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--turns', type=int, default=3, help='that count, after one that does not')
    options = parser.parse_args()
    turns = range(options.turns + 1)
    starts = {'`molmo-foundry --help`, the whole process': [time_help() for _ in turns]}
    for name, (before, code) in CODE.items():
        starts[name] = [time_code(before, code) for _ in turns]
    with tempfile.TemporaryDirectory() as folder:
        render = [Path(sys.executable).with_name('molmo-foundry'), 'data', 'render', '--out', folder]
        subprocess.run(render, stdout=subprocess.DEVNULL, check=True)
        runs = {name: [time_run(Path(folder), overrides) for _ in turns] for name, overrides in RUNS.items()}
    versions = ', '.join(f'{name} {version(name)}' for name in PACKAGES)
    machine = f'{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}'
    print(f'{date.today()}, {machine}, {versions}. The least of {options.turns}.\n')
    print('| | CPU, s | clock, s |\n| --- | ---: | ---: |')
    for name, seconds in starts.items():
        print(f'| {name} | {best(seconds)} |')
    print('\n| until the first step | ' + ' | '.join(f'{name}: CPU, s | clock, s' for name in runs) + ' |')
    print('| --- |' + ' ---: |' * 2 * len(runs))
    for stage in next(iter(runs.values()))[0]:
        cells = (best([turn[stage] for turn in run]) for run in runs.values())
        print(f'| {stage} | {" | ".join(cells)} |')
    cells = (best([[sum(values) for values in zip(*turn.values())] for turn in run]) for run in runs.values())
    print(f'| all | {" | ".join(cells)} |')


if __name__ == '__main__':
    main()
