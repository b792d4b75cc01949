# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What can be converted: published data sets by name, and data of one's own.

| what is named | what it is |
| --- | --- |
| a file or folder that is there | own data, see `sources.own` |
| a name of `molmo-foundry data list` | a published data set, see `sources.registry` |
| ``ORG/NAME`` | a data set of the hub, see `sources.hub_table` |
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping, Optional, Sequence, Union

from molmo_foundry.data.convert.check import Made, Reject
from molmo_foundry.data.sources import registry
from molmo_foundry.data.sources.columns import ColumnMap
from molmo_foundry.data.sources.hub_table import HubData
from molmo_foundry.data.sources.needs import File, Hub
from molmo_foundry.data.sources.own import FORMATS, Deferred, OwnData, OwnHubData
from molmo_foundry.data.sources.records import Rejected
from molmo_foundry.data.sources.source import Source

Work = Union[Deferred, Reject]
"""A record to be made, or why a row gives none."""

SIDES = ('train', 'validation')
"""Splits that `hold_out` makes."""

_HUB_ID = re.compile(r'[\w.-]+/[\w.-]+')


@dataclass(frozen=True)
class Input:
    """One split of one source.

    Attributes:
        name: What it is called.
        split: Which split; None if there is only one.
        origin: Where it comes from and which revision it is, as JSON has it.
        work: Reads it from the beginning.
        count: How many rows it has, or nearly so; None if only reading them can tell.
        licence: Of its annotations; empty if not known.
        home: Page that describes it; empty if there is none.
    """

    name: str
    split: Optional[str]
    origin: Mapping[str, Any]
    work: Callable[[], Iterator[Work]]
    count: Callable[[], Optional[int]]
    licence: str = ''
    home: str = ''


@dataclass(frozen=True)
class OwnOptions:
    """How own data is read; see `sources.own.OwnData` and, for `hold_out_every`, `hold_out`."""

    columns: Optional[ColumnMap] = None
    image_cache: Optional[Path] = None
    by_image: bool = False
    hold_out_every: Optional[int] = None


@dataclass(frozen=True)
class HubOptions:
    """Which configuration and revision of a data set of the hub is read; see `sources.hub_table.HubData`."""

    config: Optional[str] = None
    revision: Optional[str] = None


@dataclass(frozen=True)
class Library:
    """Where published data sets find their files; see `sources.source.Source.records`."""

    root: Path = Path('data_cache/sources')
    hub: Mapping[str, Path] = field(default_factory=dict)
    download: bool = True


def open_inputs(
    names: Sequence[str], *, splits: Sequence[str], out: str, own: OwnOptions, hub: HubOptions, library: Library
) -> Iterator[tuple[Input, str]]:
    """Open all that is named.

    Args:
        names (Sequence[str]): See the table above; all published data sets, or one source of one's own.
        splits (Sequence[str]): Splits to open; all if there are none.
        out (str): Folder or URL for what is made of them.
        own (OwnOptions): How own data is read.
        hub (HubOptions): What is read of a data set of the hub.
        library (Library): Where published data sets find their files.

    Yields:
        Each split, and where it goes: own data to `out` or, if a split is named or rows are held out, to that below it;
        data sets of the hub to their splits below it, published ones to NAME/SPLIT.

    Raises:
        ValueError: If a name or split means nothing; suggests similar ones.
        FileNotFoundError: If there is nothing at a path.
    """
    out, every = out.rstrip('/'), own.hold_out_every
    sources = [find_source(name) for name in names]
    if len(sources) > 1 and not all(isinstance(source, Source) for source in sources):
        raise ValueError('Own data is converted one source at a time, each to an --out of its own.')
    for source in sources:
        if isinstance(source, Path) and every is not None:
            for split in _chosen(str(source), SIDES, splits):
                yield hold_out(open_own(source, options=own), every, split), f'{out}/{split}'
        elif isinstance(source, Path):
            if len(splits) > 1:
                raise ValueError(f'{source} is one split; name it by one --split, or by none.')
            yield open_own(source, *splits, options=own), '/'.join([out, *splits])
        elif isinstance(source, HubData):
            source = replace(source, config=hub.config, revision=hub.revision)
            known = source.splits()
            divided = SIDES if every is not None and 'train' in known and 'validation' not in known else ()
            for split in _chosen(source.id, dict.fromkeys([*known, *divided]), splits):
                data = open_hub(source, 'train' if split in divided else split, own)
                yield hold_out(data, every, split) if every and split in divided else data, f'{out}/{split}'
        elif every is not None:
            raise ValueError(
                f'{source.name} has splits of its own ({", ".join(source.splits)}); hold nothing out of it.'
            )
        else:
            for split in _chosen(source.name, source.splits, splits):
                yield open_published(source, split, library), f'{out}/{source.name}/{split}'


def hold_out(data: Input, every: int, split: str) -> Input:
    """One side of a source that has no split for validation: every `every`-th row is held out for it.

    Args:
        data (Input): All of it.
        every (int): Of so many rows, the last one is held out; at least 2.
        split (str): Which side: ``train`` or ``validation``.
    """
    if every < 2:
        raise ValueError(f'Of {every} rows, none can be held out and another be left; hold out every 20th, say.')

    def work() -> Iterator[Work]:
        held_out = split == 'validation'
        return (row for number, row in enumerate(data.work()) if (number % every == every - 1) == held_out)

    def count() -> Optional[int]:
        rows = data.count()
        if rows is None:
            return None
        return rows // every if split == 'validation' else rows - rows // every

    return replace(
        data, split=split, origin={**data.origin, 'hold_out_every': every, 'side': split}, work=work, count=count
    )


def find_source(name: str) -> Union[Source, HubData, Path]:
    """What a name means; see the table above.

    Raises:
        ValueError: If it means nothing; suggests similar names.
    """
    is_file = Path(name).suffix.lower() in FORMATS
    if Path(name).exists() or is_file or name.count('/') > 1 or name.startswith(('/', './', '../')):
        return Path(name)
    if _HUB_ID.fullmatch(name):
        return HubData(name)
    return registry.get(name)


def _chosen(name: str, known: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """The splits that are wanted, or all."""
    known = list(known)
    for split in wanted:
        if split not in known:
            raise ValueError(f'{name} has no split {split!r}; choose of: {", ".join(known)}.')
    return list(wanted) or known


def open_own(path: Path, split: Optional[str] = None, *, options: OwnOptions = OwnOptions()) -> Input:
    """Open own data of this machine.

    Raises:
        FileNotFoundError: If there is nothing of a known kind.
    """
    data = OwnData(path, options.columns, options.image_cache, options.by_image)
    return _own_input(data, path.stem, split, options)


def open_hub(source: HubData, split: str, options: OwnOptions) -> Input:
    """Open a data set of the hub.

    Raises:
        ValueError: If it is out of reach.
    """
    data = OwnHubData(source, split, options.columns, options.image_cache, options.by_image)
    return _own_input(data, source.id, split, options, f'https://huggingface.co/datasets/{source.id}')


def open_published(source: Source, split: str, library: Library) -> Input:
    """Open a published data set.

    Raises:
        ValueError: If the hub is out of reach.
    """

    def work() -> Iterator[Work]:
        for item in source.records(split, library.root, hub=library.hub, download=library.download):
            yield Reject.of(item, is_expected=True) if isinstance(item, Rejected) else Made(item)

    origin = {'name': source.name, 'split': split, 'needs': list(_revisions(source, split, library))}
    return Input(source.name, split, origin, work, lambda: None, source.licence, source.home)


def _own_input(
    data: Union[OwnData, OwnHubData], name: str, split: Optional[str], options: OwnOptions, home: str = ''
) -> Input:
    def work() -> Iterator[Work]:
        for record in data.records():
            yield Reject.of(record) if isinstance(record, Rejected) else record

    origin = {
        **data.revision(),
        'columns': None if options.columns is None else dict(options.columns.columns),
        'by_image': options.by_image,
    }
    return Input(name, split, origin, work, data.count, home=home)


def _revisions(source: Source, split: str, library: Library) -> Iterator[dict[str, Any]]:
    """What tells whether the files of a source are still the same."""
    words = source.splits[split].split()
    for need in source.needs:
        if not need.serves(split):
            continue
        if isinstance(need, Hub):
            if need.id in library.hub:
                files = sorted(Path(library.hub[need.id]).glob(need.files.format(*words)))
                yield {'hub': need.id, 'local': str(library.hub[need.id]), 'bytes': [f.stat().st_size for f in files]}
            else:
                yield {'hub': need.id, 'commit': HubData(need.id).commit()}
        elif isinstance(need, File) and need.url:
            yield {'file': need.path.format(*words), 'url': need.url.format(*words)}
        elif isinstance(need, File):
            path = library.root / need.path.format(*words)
            yield {'file': need.path.format(*words), 'bytes': path.stat().st_size if path.is_file() else None}
