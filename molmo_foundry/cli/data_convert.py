# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`molmo-foundry data convert` and `data merge`: any source to MDS."""

import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Iterator, Optional, Sequence

import typer

from molmo_foundry.cli.console import console, plain_errors, progress
from molmo_foundry.cli.data_model import read_recipe

if TYPE_CHECKING:
    from molmo_foundry.data.convert import Card, Input
    from molmo_foundry.data.convert.lengths import Meter

_OWN = 'Own data'
_PUBLISHED = 'Published data sets'
_SCALE = 'Scale'

_INTERRUPTED = 130


def convert(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar='NAME… | SOURCE',
            help='Names of `data list`; or one file, folder or hub data set (ORG/NAME) of your own.',
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            help='Folder or s3://bucket/prefix. Own data goes right there, other data to NAME/SPLIT below it.'
        ),
    ],
    split: Annotated[Optional[list[str]], typer.Option(help='Only this split. May be repeated.')] = None,
    limit: Annotated[Optional[int], typer.Option(min=1, help='Only the first so many rows of each split.')] = None,
    skip_bad: Annotated[
        bool, typer.Option('--skip-bad', help='Leave bad records out and count them, instead of stopping.')
    ] = False,
    columns: Annotated[
        Optional[str],
        typer.Option(
            metavar='KEY=COLUMN,…',
            help='Which column (or JSON key) is what, or a YAML file that says so.',
            rich_help_panel=_OWN,
        ),
    ] = None,
    group_by_image: Annotated[
        bool,
        typer.Option(
            '--group-by-image',
            help='Rows in a row that name the same image make one record of several annotations.',
            rich_help_panel=_OWN,
        ),
    ] = False,
    hold_out_every: Annotated[
        Optional[int],
        typer.Option(
            min=2,
            metavar='N',
            help='Write OUT/train and OUT/validation; every N-th row goes to the latter.',
            rich_help_panel=_OWN,
        ),
    ] = None,
    image_cache: Annotated[
        Optional[Path],
        typer.Option(help='Cache of `data download`, where images are URLs.', rich_help_panel=_OWN),
    ] = None,
    config: Annotated[
        Optional[str], typer.Option(help='Configuration (subset) of the hub data set.', rich_help_panel=_OWN)
    ] = None,
    revision: Annotated[
        Optional[str], typer.Option(help='Commit, tag or branch of the hub data set.', rich_help_panel=_OWN)
    ] = None,
    root: Annotated[
        Path,
        typer.Option(help='Folder for the files they are made of, see `data list NAME`.', rich_help_panel=_PUBLISHED),
    ] = Path('data_cache/sources'),
    hub: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar='ID=FOLDER',
            help='Read this hub data set from a local copy. May be repeated.',
            rich_help_panel=_PUBLISHED,
        ),
    ] = None,
    download: Annotated[
        bool, typer.Option(help='Get the files that need no person.', rich_help_panel=_PUBLISHED)
    ] = True,
    processes: Annotated[
        Optional[int],
        typer.Option('--processes', '-j', min=1, help='Worker processes.', show_default='CPUs', rich_help_panel=_SCALE),
    ] = None,
    worker: Annotated[
        Optional[str],
        typer.Option(
            metavar='I/N',
            help='Do the share of worker I (from 0) of N, say of an array job; then `data merge` makes one of all.',
            rich_help_panel=_SCALE,
        ),
    ] = None,
    part_rows: Annotated[
        int, typer.Option(min=1, help='Rows that are finished together.', rich_help_panel=_SCALE)
    ] = 4096,
    recipe: Annotated[
        Optional[list[str]],
        typer.Option(
            help='Also write the length index that packed training of this recipe reads. May be repeated.',
            rich_help_panel=_SCALE,
        ),
    ] = None,
) -> None:
    """Convert published data sets, or data of your own, to MDS.

    Every image is decoded on the way and every annotation written out, so a
    bad record stops the work with its id and what is wrong. Image files are
    kept as they are.

    The same command goes on where it was killed or the disk was full, and
    gives the same bytes as if nothing had happened. dataset_card.json says
    what was made of what.

    Own data: .jsonl, .json, .csv, .tsv, .parquet or .tar files, folders of
    these, folders of pairs N.jpg and N.txt, or data sets of the hub;
    docs/data.md describes what is in them.

    Example: molmo-foundry data convert photos.csv --columns
    image=file,question=q,answer=a --out data_cache/photos

    Example: molmo-foundry data convert chart_qa pixmo_cap --split train
    --out s3://bucket/molmo -j 16
    """
    from molmo_foundry.data.convert import Settings, convert, convert_parts, open_inputs, open_store
    from molmo_foundry.data.convert.inputs import HubOptions, Library, OwnOptions
    from molmo_foundry.data.convert.pool import available_processes
    from molmo_foundry.data.sources.columns import ColumnMap

    with plain_errors():
        number, workers = _parse_worker(worker)
        own = OwnOptions(ColumnMap.parse(columns) if columns else None, image_cache, group_by_image, hold_out_every)
        library = Library(root, dict(map(_parse_hub, hub or ())), download)
        inputs = open_inputs(
            sources, splits=split or (), out=out, own=own, hub=HubOptions(config, revision), library=library
        )
        for data, target in inputs:
            settings = Settings(
                limit=limit,
                skip_bad=skip_bad,
                processes=processes or available_processes(),
                worker=number,
                num_workers=workers,
                meters=tuple(_meters(recipe or (), target)),
                rows_per_part=part_rows,
            )
            store = open_store(target)
            with _resumable(), progress(target, _total(data, limit)) as advance:
                if worker is not None:
                    convert_parts(data, store, settings, advance)
                    continue
                card = convert(data, store, settings, advance)
            _report(card, target)
        if worker is not None:
            typer.echo(f'Worker {worker} is done. When all are: molmo-foundry data merge OUT, for each folder of MDS.')


def merge(
    out: Annotated[str, typer.Argument(metavar='OUT', help='Folder or s3://bucket/prefix that all workers wrote to.')],
    skip_bad: Annotated[
        bool, typer.Option('--skip-bad', help='Of records with the same id, keep the first, instead of stopping.')
    ] = False,
) -> None:
    """Make one data set of what the workers of `data convert --worker` wrote.

    Example: molmo-foundry data merge data_cache/molmo/pixmo_cap/train
    """
    from molmo_foundry.data.convert import merge, open_store

    with plain_errors():
        _report(merge(open_store(out), skip_bad=skip_bad), out)


def _parse_worker(worker: Optional[str]) -> tuple[int, int]:
    number, slash, workers = (worker or '0/1').partition('/')
    if not (slash and number.isdecimal() and workers.isdecimal()):
        raise ValueError(f'--worker {worker} is not of the form I/N, such as 0/8 for the first of eight.')
    return int(number), int(workers)


def _parse_hub(entry: str) -> tuple[str, Path]:
    name, equals, folder = entry.partition('=')
    if not (name and equals and folder):
        raise ValueError(f'--hub {entry} is not of the form ID=FOLDER, such as HuggingFaceM4/ChartQA=/data/chart_qa.')
    return name, Path(folder)


def _meters(recipes: Sequence[str], target: str) -> Iterator['Meter']:
    """What to measure for the recipes, each of which may read the folder in several ways."""
    from molmo_foundry.data.convert.lengths import Meter
    from molmo_foundry.data.convert.model_spec import ModelSpec, streams_reading

    for name in recipes:
        recipe = read_recipe(name)
        model = ModelSpec.from_recipe(name, recipe)
        yield from (Meter(model, options) for options in streams_reading(name, recipe, target))


def _total(data: 'Input', limit: Optional[int]) -> Optional[int]:
    count = data.count()
    return count if limit is None or count is None else min(count, limit)


@contextmanager
def _resumable() -> Iterator[None]:
    """End on Ctrl-C with what to do next."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(f'stopped; to go on: {shlex.join(sys.argv)}', markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(_INTERRUPTED) from None


def _report(card: 'Card', target: str) -> None:
    report = card.report
    for reason, rejects in report.rejects.items():
        for example in rejects.examples:
            console.print(f'skipped: {example}', style='yellow', markup=False, highlight=False, soft_wrap=True)
        if rejects.count > len(rejects.examples):
            console.print(f'… {rejects.count} in all: {reason}', style='yellow', markup=False, highlight=False)
    skipped = sum(rejects.count for rejects in report.rejects.values())
    typer.echo(f'{target}: {report.records} records written, {skipped} skipped')
