# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Conversion of a source that a recipe's stream names, by the processes of a training run."""

import os
from pathlib import Path
from typing import Any, Optional

from filelock import FileLock
from tqdm import tqdm

from molmo_foundry.data.convert.card import INDEX
from molmo_foundry.data.convert.inputs import HubOptions, Input, Library, OwnOptions, open_inputs
from molmo_foundry.data.convert.pool import available_processes
from molmo_foundry.data.convert.run import Settings, convert
from molmo_foundry.data.convert.store import open_store
from molmo_foundry.data.packing.fingerprint import digest
from molmo_foundry.data.packing.node_files import node_folder
from molmo_foundry.data.sources.columns import ColumnMap

DEFAULT_FOLDER = Path('data_cache/streams')
"""Where MDS goes if nothing else is said."""


def convert_source(
    where: str,
    *,
    source: str,
    split: Optional[str] = None,
    local: Optional[str] = None,
    columns: Any = None,
    group_by_image: bool = False,
    hold_out_every: Optional[int] = None,
    image_cache: Optional[str] = None,
    config: Optional[str] = None,
    revision: Optional[str] = None,
    skip_bad: bool = False,
) -> str:
    """Convert a source, unless that has been done.

    Of the processes of a node, one converts while the others wait.

    Args:
        where (str): Key of the stream, for errors.
        source (str): A file, a folder, or a name that `molmo-foundry data convert` knows; MDS is read as it is.
        split (str, optional): Which split, of a source that has several.
        local (str, optional): Where to. Default: below `data_cache/streams`, a folder for each state of the source.
        columns (Mapping, optional): Column of each key.
        group_by_image (bool): Whether rows that follow each other and name the same image make one record.
        hold_out_every (int, optional): Of a source without a split for validation, every so many rows one is held out.
        image_cache (str, optional): Folder of `molmo-foundry data download`, for images that are URLs.
        config (str, optional): Subset of a data set of the hub.
        revision (str, optional): Commit of a data set of the hub.
        skip_bad (bool): Leave bad records out, instead of stopping at the first.

    Returns:
        str: The folder with the MDS.

    Raises:
        ValueError: If a key is wrong, a record is bad, or `local` holds something else.
        FileNotFoundError: If there is nothing at the source.
    """
    source = str(source)
    if (Path(source) / (split or '') / 'index.json').is_file():
        return str(Path(source) / (split or ''))
    if (Path(source) / 'index.json').is_file():
        raise ValueError(
            f'{where}.source: {source} is MDS, but without a folder {split}. Convert the data with --hold-out-every, '
            'or set source and split to what there is.'
        )
    own = OwnOptions(
        None if columns is None else ColumnMap.of(columns, f'{where}.columns'),
        None if image_cache is None else Path(image_cache),
        group_by_image,
        hold_out_every,
    )
    data = _open(where, source, split, own, HubOptions(config, revision))
    local = str(local or DEFAULT_FOLDER / f'{Path(data.name).name}-{digest(dict(data.origin), skip_bad)}')
    settings, store = Settings(skip_bad=skip_bad, processes=available_processes()), open_store(local)
    with FileLock(node_folder('locks') / f'source-{digest(os.path.abspath(local))}.lock'):
        if store.read(INDEX) is not None:
            settings.plan(data).begin(store)  # refuses if it was made of something else
            return local
        with tqdm(total=data.count(), desc=f'converting {source}', unit=' rows', mininterval=1) as progress:
            convert(data, store, settings, lambda rows: progress.update(rows) and None)
    return local


def _open(where: str, source: str, split: Optional[str], own: OwnOptions, hub: HubOptions) -> Input:
    splits = [] if split is None else [split]
    data, *others = (
        data for data, _ in open_inputs([source], splits=splits, out='', own=own, hub=hub, library=Library())
    )
    if others:
        names = ', '.join(str(found.split) for found in (data, *others))
        raise ValueError(f'{where}.source: {source} has several splits; set {where}.split to one of: {names}.')
    return data
