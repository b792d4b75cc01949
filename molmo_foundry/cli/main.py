# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`molmo-foundry`: the command line beside training."""

import typer

import molmo_foundry
from molmo_foundry.cli.chat import chat
from molmo_foundry.cli.convert import app as convert_app
from molmo_foundry.cli.data import app as data_app
from molmo_foundry.cli.eval import app as eval_app
from molmo_foundry.cli.recipes import app as recipes_app

app = typer.Typer(
    help='Molmo as a plugin of LLM-Foundry and Composer. Training itself: `composer scripts/train.py RECIPE`.',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for name, commands in {'data': data_app, 'convert': convert_app, 'eval': eval_app, 'recipes': recipes_app}.items():
    app.add_typer(commands, name=name)
app.command()(chat)


@app.callback(invoke_without_command=True)
def main(version: bool = typer.Option(False, '--version', help='Print the version and exit.')) -> None:
    """Prints the version when asked to."""
    if version:
        typer.echo(molmo_foundry.__version__)
        raise typer.Exit
