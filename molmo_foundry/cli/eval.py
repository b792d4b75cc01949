# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation on the command line: what `scripts/eval.py` does under the launcher, and `molmo-foundry eval`."""

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, Sequence

import typer
from omegaconf import OmegaConf

from molmo_foundry.cli.recipe import RecipeError, check_keys, load_recipe
from molmo_foundry.cli.train import KNOWN_WARNINGS, run_script, set_up

if TYPE_CHECKING:
    from molmo_foundry.eval.runner import TaskResult

USAGE = """usage: composer [-n PROCESSES] scripts/eval.py RECIPE [key=value ...]

Evaluates a checkpoint on benchmarks. Any key of the recipe can be overridden on the command line:

  composer scripts/eval.py yamls/tiny/eval.yaml
  composer -n 8 scripts/eval.py yamls/eval.yaml load_path=molmo-7b-d evaluator.tasks=[paper-11]

A run that was killed goes on where it was; what is done is not done again. MOLMO_TRACEBACK=1 shows the whole traceback
of an error."""

_NO_TRAINING = ('No optimizer was specified', 'FSDP2 Config/APIs are experimental')
"""Warnings that say nothing about an evaluation."""

app = typer.Typer(help='Evaluation: tasks, pages of results, files for test servers.', no_args_is_help=True)


def evaluate(recipe: str, overrides: Sequence[str]) -> None:
    """Evaluates the checkpoint of a recipe and prints a table of scores.

    Args:
        recipe (str): Path of the recipe.
        overrides (Sequence[str]): ``key=value`` pairs.

    Raises:
        RecipeError: If the recipe is wrong.
    """
    config: Any = OmegaConf.to_container(load_recipe(recipe, overrides))
    set_up((*KNOWN_WARNINGS, *_NO_TRAINING))

    from composer.utils import dist

    from molmo_foundry.eval import standalone
    from molmo_foundry.model.composer_model import ComposerMolmo

    check_keys(config, standalone.RECIPE_KEYS, 'the recipe (free variables go under `variables`)')
    arguments = set(inspect.signature(ComposerMolmo).parameters) - {'model', 'tokenizer'}
    check_keys(config.get('model') or {}, {'name', *arguments}, '`model`')
    for key in ('load_path', 'evaluator'):
        if not config.get(key):
            raise RecipeError(f'The recipe has no {key!r}, which an evaluation needs.')
    results = standalone.evaluate(config)
    if dist.get_global_rank() == 0:
        print(table(results), flush=True)


def table(results: Sequence['TaskResult']) -> str:
    """Scores as text: a line a task, its headline first."""
    width = max((len(result.task.label) for result in results), default=0)
    lines = []
    for result in results:
        headline = result.task.headline
        first = {headline: result.metrics[headline]} if headline in result.metrics else {}
        values = '  '.join(f'{name} {value:.4f}' for name, value in {**first, **result.metrics}.items())
        cached = '  (done before)' if result.cached else ''
        lines.append(f'{result.task.label:{width}}  {values or "predictions only"}{cached}')
    return '\n'.join(lines)


def main(argv: Sequence[str]) -> int:
    """Command-line entry of `scripts/eval.py`; see `cli.train.run_script`."""
    return run_script(argv, USAGE, evaluate)


@app.command('tasks')
def list_tasks() -> None:
    """List tasks and groups with their splits, scores and lengths.

    Example: molmo-foundry eval tasks
    """
    from molmo_foundry.eval.tasks import GROUPS, TASKS

    for task in TASKS.values():
        typer.echo(
            f'{task.name:30} {task.split:11} {" ".join(task.metrics):24} {task.max_new_tokens:4} new tokens  '
            f'crops {task.max_crops or "as trained"}'
        )
    typer.echo()
    for name, members in GROUPS.items():
        typer.echo(f'{name}: {members}')


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help='Folder with results of tasks, at any depth.')],
    out: Annotated[Optional[Path], typer.Option(help='Folder of the pages.', show_default='the same')] = None,
) -> None:
    """Write the HTML pages of results: a table of tasks, and all predictions with their pictures.

    Example: molmo-foundry eval report runs/tiny-eval
    """
    from molmo_foundry.eval.report import write_report

    folders = sorted(path.parent for path in results.rglob('metrics.json'))
    if not folders:
        _fail(f'There are no results of tasks (metrics.json) in {results}.')
    try:
        page = write_report(folders, out or results)
    except (OSError, ValueError) as error:
        _fail(str(error))
    typer.echo(f'{page}: {len(folders)} tasks: {page.resolve().as_uri()}')


@app.command()
def submit(
    results: Annotated[
        list[Path], typer.Argument(help='Folder of a task; for A-OKVQA those of both a_okvqa_mc and a_okvqa_da.')
    ],
    out: Annotated[Path, typer.Option(help='JSON file to write; replaced if it is there.')],
) -> None:
    """Write the file that a benchmark's test server takes: VQA v2, DocVQA, InfographicVQA, TextVQA, A-OKVQA.

    Example: molmo-foundry eval submit runs/eval/molmo-7b-d/doc_qa_test-1a2b3c4d --out doc_qa.json
    """
    from molmo_foundry.eval.submission import write_submission

    try:
        count = write_submission(results, out)
    except (OSError, ValueError) as error:
        _fail(str(error))
    typer.echo(f'{out}: {count} answers')


def _fail(message: str) -> None:
    typer.echo(f'error: {message}', err=True)
    raise typer.Exit(1)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
