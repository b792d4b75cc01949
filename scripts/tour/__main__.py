# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What `make tour` does beside training and evaluating: `python scripts/tour --help`."""

from pathlib import Path
from typing import Annotated

import typer

from molmo_foundry.cli.console import plain_errors

DATA = Path('data_cache/tour')

app = typer.Typer(
    help='The tour: its data, what guessing would score, and its results as a table and a figure.',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
DataOption = Annotated[Path, typer.Option(help='Folder of the data sets.')]


@app.command()
def data(out: DataOption = DATA) -> None:
    """Render the built-in data sets, and their test splits once more with blank pictures, below blank/.

    What is there already is kept.

    Example: python scripts/tour data
    """
    from tour_data import render_all

    with plain_errors():
        render_all(out)


@app.command()
def majority(
    out: Annotated[Path, typer.Option(help='JSON file to write; replaced if it is there.')],
    data: DataOption = DATA,
) -> None:
    """Score the most frequent answer of training to each test question, as a model's answers are scored.

    Example: python scripts/tour majority --out runs/tour-17/majority.json
    """
    from majority_baseline import write_majority

    with plain_errors():
        write_majority(data, out)
        typer.echo(f'Wrote {out}')


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help='Folders of finished runs, a seed each, such as runs/tour-17.')],
    figure: Annotated[Path, typer.Option(help='SVG file to write.')] = Path('docs/images/tour.svg'),
) -> None:
    """Print a table of what the runs reached as Markdown, and draw accuracy against steps.

    With several runs, numbers are means ± half the range from worst to best.

    Example: python scripts/tour report runs/tour-17 runs/tour-18 runs/tour-19
    """
    from tour_figure import draw
    from tour_results import read_curves, read_run, table

    with plain_errors():
        text = table([read_run(run) for run in runs])
        draw([read_curves(run) for run in runs], figure)
        typer.echo(text)
        typer.echo(f'Wrote {figure}', err=True)


if __name__ == '__main__':
    app()
