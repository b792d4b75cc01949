# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The data of the tour: the built-in data sets, and their test splits with nothing to see.

A blank twin has the questions and answers of its original and a plain grey picture of the same size. What a model
scores on blank twins it owes to the text of the questions alone.
"""

import io
from dataclasses import replace
from pathlib import Path
from typing import Iterable

import typer
from PIL import Image

from molmo_foundry.cli.data_render import render
from molmo_foundry.data.mds import MDSRecords, write_mds
from molmo_foundry.processing.types import Example

TRAIN = {'shapes': 12_000, 'words': 6_000, 'charts': 6_000, 'clocks': 6_000, 'documents': 4_000}
"""Records of the training split of each data set."""

HELD_OUT = 256
"""Records of each validation and test split."""

GREY = (211, 211, 211)


def render_all(out: Path) -> None:
    """Renders what is not there yet: ``<out>/<dataset>/<split>`` and ``<out>/blank/<dataset>/test``.

    Raises:
        FileExistsError: If something else is there.
    """
    for dataset, count in TRAIN.items():
        render(out / dataset, dataset, train=count, validation=HELD_OUT, test=HELD_OUT)
        write_blank(MDSRecords(out / dataset / 'test'), out / 'blank' / dataset / 'test')


def write_blank(records: Iterable[Example], out: Path) -> None:
    """Writes the blank twins of records, unless they are there.

    Raises:
        FileExistsError: If something else is there.
    """
    twins = [blank(record) for record in records]
    if (out / 'index.json').is_file() and list(MDSRecords(out)) == twins:
        typer.echo(f'{out}: {len(twins)} records are there already.', err=True)
        return
    report = write_mds(twins, out)
    typer.echo(f'{out}: {report.written} records written')


def blank(record: Example) -> Example:
    """The same record with plain grey pictures of the same sizes."""
    return replace(record, images=[_grey(image) for image in record.images])


def _grey(image: bytes) -> bytes:
    with Image.open(io.BytesIO(image)) as picture:
        size = picture.size
    file = io.BytesIO()
    Image.new('RGB', size, GREY).save(file, 'JPEG')
    return file.getvalue()
