# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Running a training recipe: what `scripts/train.py` does under the `composer` launcher."""

import os
import sys
import tempfile
import warnings
from typing import Callable, Iterable, Sequence

from molmo_foundry.cli.recipe import check_train_recipe, load_recipe

USAGE = """usage: composer [-n PROCESSES] scripts/train.py RECIPE [key=value ...]

Trains a recipe with LLM-Foundry and Composer. Any key of the recipe can be overridden on the command line:

  composer scripts/train.py yamls/tiny/pretrain.yaml
  composer -n 8 scripts/train.py yamls/pretrain.yaml run_name=mine max_duration=100ba optimizer.llm.lr=1e-5

FSDP2 is used unless the environment sets FSDP_VERSION. MOLMO_TRACEBACK=1 shows the whole traceback of an error."""

KNOWN_WARNINGS = ('pkg_resources is deprecated', 'FSDP is not applicable for single-GPU', 'The warmup duration is 0')
"""What the libraries say about things that are meant to be so."""

FINISHED = 'No training would occur'

LONGEST_TMPDIR = 75
"""Characters. A socket's path may have 107, of which its name below that folder takes 32."""


def set_up(known_warnings: Iterable[str]) -> None:
    """Sets the environment that Composer reads when it is imported, and silences ``known_warnings``.

    Raises:
        ValueError: If the folder for temporary files has too long a path: workers open sockets below it, and where that
            fails torch waits for them forever.
    """
    if len(tempfile.gettempdir()) > LONGEST_TMPDIR:
        raise ValueError(
            f'The path of the folder for temporary files, {tempfile.gettempdir()}, has more than {LONGEST_TMPDIR} '
            'characters, too many for the sockets of loader workers. Set TMPDIR to a shorter one.'
        )
    os.environ.setdefault('FSDP_VERSION', '2')
    os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
    os.environ.setdefault('WANDB_ALLOW_OFFLINE_ARTIFACTS', 'false')  # else a table asks the server, offline too
    for message in known_warnings:
        warnings.filterwarnings('ignore', message=message)
    print('Importing Composer and LLM-Foundry …', flush=True)


def train(recipe: str, overrides: Sequence[str]) -> None:
    """Trains a recipe.

    Args:
        recipe (str): Path of the recipe.
        overrides (Sequence[str]): ``key=value`` pairs.

    Raises:
        RecipeError: If the recipe is wrong.
    """
    config = load_recipe(recipe, overrides)
    set_up(KNOWN_WARNINGS)
    check_train_recipe(config)

    from composer.utils import dist
    from llmfoundry.command_utils import train as foundry_train

    try:
        foundry_train(config)
    except ValueError as error:
        if FINISHED not in str(error):
            raise
        if dist.get_global_rank() == 0:
            folder = config.get('save_folder')
            print(
                f'This run is finished: {folder} holds a checkpoint at max_duration={config.max_duration}.\n'
                f'To train on, raise max_duration; to start over, delete {folder} or choose another run_name.'
            )


def user_message(error: BaseException) -> str:
    """The part of an error that says what is wrong; errors from loader workers carry a whole traceback."""
    lines = str(error).strip().splitlines() or [repr(error)]
    if lines[0].startswith('Caught ') and 'worker' in lines[0]:
        return lines[-1].split(': ', 1)[-1]
    return '\n'.join(lines)


def run_script(argv: Sequence[str], usage: str, run: Callable[[str, Sequence[str]], None]) -> int:
    """What a script of recipes does with its command line.

    Args:
        argv (Sequence[str]): Recipe and overrides.
        usage (str): Printed when asked for, or when there is no recipe.
        run (Callable): Takes the recipe and the overrides.

    Returns:
        int: Exit status: 0, or 1 after an error that the user can mend, printed without a traceback.
    """
    if not argv or argv[0] in ('-h', '--help'):
        print(usage)
        return 0 if argv else 1
    try:
        run(argv[0], argv[1:])
    except (ValueError, FileNotFoundError) as error:
        if os.environ.get('MOLMO_TRACEBACK'):
            raise
        print(f'error: {user_message(error)}', file=sys.stderr, flush=True)
        print('(MOLMO_TRACEBACK=1 shows where it was raised.)', file=sys.stderr, flush=True)
        return 1
    return 0


def main(argv: Sequence[str]) -> int:
    """Command-line entry of `scripts/train.py`; see `run_script`."""
    return run_script(argv, USAGE, train)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
