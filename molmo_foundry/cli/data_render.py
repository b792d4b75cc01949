# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`molmo-foundry data render`: the built-in data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Callable, Iterable, Iterator, TypeVar

import typer

from molmo_foundry.cli.console import console, plain_errors, progress

if TYPE_CHECKING:
    from molmo_foundry.processing.types import Example

_Item = TypeVar('_Item')


def render(
    out: Annotated[Path, typer.Option(help='Folder to make; gets train/, validation/ and test/.')],
    dataset: Annotated[
        str, typer.Argument(metavar='NAME', help='shapes, words, charts, clocks or documents.')
    ] = 'shapes',
    train: Annotated[int, typer.Option(min=1, help='Records of the training split.')] = 2048,
    validation: Annotated[int, typer.Option(min=1, help='Records of the validation split.')] = 256,
    test: Annotated[int, typer.Option(min=0, help='Records of the test split; 0 makes none.')] = 0,
    seed: Annotated[int, typer.Option(help='Seed of the data set.')] = 0,
) -> None:
    """Render a built-in data set: pictures that are drawn, with what is true of them.

    shapes are there to describe, point at, count and ask for; words, charts,
    clocks and documents to read. What is asked of words, charts, clocks and
    documents in validation and test was never shown in training.

    A split that is there already, with as many records of the same seed, is
    kept; so an interrupted run goes on where it was.

    Example: molmo-foundry data render --out data_cache/shapes

    Example: molmo-foundry data render clocks --out data_cache/clocks --test 256
    """
    from molmo_foundry.data.mds import write_mds
    from molmo_foundry.data.synthetic import DATASETS, make_example, make_examples

    with plain_errors():
        if dataset not in DATASETS:
            raise ValueError(f'There is no built-in data set {dataset!r}; choose one of: {", ".join(DATASETS)}.')
        for split, count in (('train', train), ('validation', validation), ('test', test)):
            if count == 0:
                continue
            if _is_rendered(out / split, make_example(split, 0, seed, dataset), count):
                console.print(f'{out / split}: {count} records are there already.')
                continue
            with progress(split, count) as advance:
                report = write_mds(_counted(make_examples(split, count, seed, dataset), advance), out / split)
            typer.echo(f'{out / split}: {report.written} records written, {len(report.skipped)} skipped')


def _is_rendered(path: Path, first: 'Example', count: int) -> bool:
    """Whether a split lies there complete: so many records, of which this is the first."""
    from molmo_foundry.data.mds import MDSRecords

    if not (path / 'index.json').is_file():
        return False
    records = MDSRecords(path)
    return len(records) == count and records[0] == first


def _counted(items: Iterable[_Item], advance: Callable[[int], None]) -> Iterator[_Item]:
    for item in items:
        yield item
        advance(1)
