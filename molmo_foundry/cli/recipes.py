# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`molmo-foundry recipes`: what comes with the package, to look at and to copy."""

from pathlib import Path
from typing import Annotated

import typer

from molmo_foundry.cli.recipe import RecipeError, find_recipe, is_training, recipe_names

app = typer.Typer(help='List, show and copy training recipes.', no_args_is_help=True)


@app.command('list')
def list_recipes() -> None:
    """List the recipes, each with the first line of its header."""
    names = recipe_names()
    width = max(map(len, names))
    for name in names:
        first = find_recipe(name).read_text(encoding='utf-8').splitlines()[0]
        typer.echo(f'{name:{width}}  {first.removeprefix("# ")}')


@app.command()
def show(name: Annotated[str, typer.Argument(help='A recipe, such as pretrain or tiny/pretrain.')]) -> None:
    """Print a recipe."""
    typer.echo(_find(name).read_text(encoding='utf-8'), nl=False)


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help='A recipe, such as pretrain or tiny/pretrain.')],
    out: Annotated[Path, typer.Argument(help='File to write, or folder to write it to.')],
    force: Annotated[bool, typer.Option('--force', help='Overwrite a file that is there.')] = False,
) -> None:
    """Copy a recipe, to be changed."""
    source = _find(name)
    target = out / source.name if out.is_dir() else out
    if target.exists() and not force:
        typer.echo(f'error: {target} is there already; choose another name, or --force.', err=True)
        raise typer.Exit(1)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    program = 'train' if is_training(source) else 'eval'
    typer.echo(f'Wrote {target}. To run it: composer -m molmo_foundry.cli.{program} {target}')


def _find(name: str) -> Path:
    try:
        return find_recipe(name)
    except RecipeError as error:
        typer.echo(f'error: {error}', err=True)
        raise typer.Exit(1) from error
