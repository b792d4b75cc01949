# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`molmo-foundry data list`: the published data sets by name, and what each is made of."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from molmo_foundry.cli.console import plain_errors

if TYPE_CHECKING:
    from molmo_foundry.data.sources.source import Source


def list_sources(
    name: Annotated[Optional[str], typer.Argument(metavar='[NAME]', help='Show only this one, in full.')] = None,
    data: Annotated[Path, typer.Option(help='Folder of what has been converted, whose records are counted.')] = Path(
        'data_cache'
    ),
) -> None:
    """List the published data sets: names, splits, records if converted, licence, what they need.

    Example: molmo-foundry data list

    Example: molmo-foundry data list info_qa
    """
    from molmo_foundry.data.sources import registry

    with plain_errors():
        if name is not None:
            _show(registry.get(name), data)
            return
        header = ('NAME', 'SPLITS', 'RECORDS', 'LICENCE', 'NEEDS')
        rows: list[tuple[str, ...]] = [header]
        for source in registry.SOURCES.values():
            counts = _records(source, data)
            records = ' '.join(str(counts.get(split, '-')) for split in source.splits) if counts else ''
            rows.append((source.name, ' '.join(source.splits), records, source.licence, _needs_in_short(source)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        for row in rows:
            typer.echo('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def _show(source: 'Source', data: Path) -> None:
    """Everything there is to know about one."""
    from molmo_foundry.data.sources.needs import File, Hub

    typer.echo(source.name + (f' (also {", ".join(source.aliases)})' if source.aliases else ''))
    typer.echo(f'  licence  {source.licence}')
    typer.echo(f'  home     {source.home}')
    counts = _records(source, data)
    for split, called in source.splits.items():
        typer.echo(f'  split    {split}' + (f', {counts[split]} records in {data}' if split in counts else ''))
        for need in source.needs:
            if not need.serves(split):
                continue
            if isinstance(need, Hub):
                typer.echo(
                    f'    hub      https://huggingface.co/datasets/{need.id}, {need.files.format(*called.split())}'
                )
            elif isinstance(need, File):
                where = (need.url or need.how).format(*called.split())
                kind = 'download' if need.url else 'by hand '
                typer.echo(f'    {kind} {need.path.format(*called.split())}, from {where}')
            else:
                typer.echo('    images   by URL: get them by `molmo-foundry data download` first')


def _needs_in_short(source: 'Source') -> str:
    """The kinds of things it is made of."""
    from molmo_foundry.data.sources.needs import File, Hub

    kinds = []
    for need in source.needs:
        if isinstance(need, Hub):
            kinds.append('hub')
        elif isinstance(need, File):
            kinds.append('download' if need.url else 'files by hand')
        else:
            kinds.append('image URLs')
    return ', '.join(dict.fromkeys(kinds))


def _records(source: 'Source', data: Path) -> dict[str, int]:
    """Records of the splits that have been converted."""
    from molmo_foundry.data.schema import CARD

    cards = {split: data / source.name / split / CARD for split in source.splits}
    return {split: json.loads(card.read_bytes())['records'] for split, card in cards.items() if card.is_file()}
