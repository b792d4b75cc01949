# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The length index: tokens and crops of every record of a stream, measured once and kept beside its MDS.

The file `lengths-<fingerprint>.npz` is valid for one tokenizer, one way of formatting and cutting, and one state of the
data: all of them are in the fingerprint, so if one changes, the file is not found and a new one is made. It is written
under another name first; a process that is killed leaves nothing behind that could be mistaken for an index.
"""

import logging
import os
import zipfile
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Union

import numpy as np
import torch
from filelock import FileLock
from streaming import Stream
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from molmo_foundry.data.packing.fingerprint import digest, digest_of_mds
from molmo_foundry.data.packing.node_files import node_folder
from molmo_foundry.data.packing.plan import Lengths

log = logging.getLogger(__name__)

INDEX_VERSION = 2
"""Raised whenever the same record comes to be measured otherwise; part of the fingerprint."""

UNREADABLE = (1, 0)
"""Tokens and crops of a record that cannot be measured: room for a stand-in, so that it is met and counted again when
it is read for training."""

_RECORDS_AT_ONCE = 256
_SHOWN_ERRORS = 5

Measure = Callable[[int], tuple[int, int]]


def index_name(folder: Path, processing: str, wording: Mapping[str, Any]) -> str:
    """Name of the file.

    Args:
        folder (Path): Where the index.json of the MDS lies.
        processing (str): Digest of the tokenizer's and the processor's digests.
        wording (Mapping): `StreamOptions.wording` of the stream.
    """
    return f'lengths-{digest(INDEX_VERSION, digest_of_mds(folder), processing, wording)}.npz'


def find_index(stream: Stream, name: str, num_records: int, build: Callable[[], Lengths]) -> Lengths:
    """The index of a stream: from beside its MDS, from beside its remote, or built and put beside its MDS.

    Of the processes of a node, one builds it while the others wait.

    Args:
        stream (Stream): The stream, its index.json already there.
        name (str): Name of the file, from `index_name`.
        num_records (int): Records of the stream.
        build (Callable): Measures them.
    """
    folders = [Path(stream.local) / stream.split, node_folder('lengths')]
    with FileLock(node_folder('locks') / f'{name}.lock'):
        for folder in folders:
            lengths = load_index(folder / name, num_records)
            if lengths is not None:
                return lengths
        if stream.remote is not None:
            lengths = _fetch_index(stream, name, num_records)
            if lengths is not None:
                return lengths
            log.warning(
                'There is no %s at %s, so all of its records are read to measure them. To spare the next run that, '
                'copy the file there from %s.',
                name,
                stream.remote,
                folders[0],
            )
        lengths = build()
        try:
            save_index(folders[0] / name, lengths)
        except OSError as error:
            log.warning('Cannot write beside the MDS (%s); the index goes to %s.', error, folders[1])
            save_index(folders[1] / name, lengths)
        return lengths


def _fetch_index(stream: Stream, name: str, num_records: int) -> Optional[Lengths]:
    path = Path(stream.local) / stream.split / name
    try:
        stream._download_file(name)
    except Exception as error:  # every kind of storage says in its own way that a file is not there
        log.info('No %s at %s: %s', name, stream.remote, error)
        return None
    return load_index(path, num_records)


def load_index(path: Path, num_records: int) -> Optional[Lengths]:
    """Read an index; None if there is none, or if the file is damaged."""
    try:
        with np.load(path) as arrays:
            lengths = Lengths(arrays['tokens'], arrays['crops'])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning('%s cannot be read (%s); the records are measured again.', path, error)
        return None
    if not len(lengths.tokens) == len(lengths.crops) == num_records:
        log.warning('%s is not of %d records; they are measured again.', path, num_records)
        return None
    return lengths


def save_index(path: Path, lengths: Lengths) -> None:
    """Write an index, all or nothing."""
    unfinished = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        with open(unfinished, 'wb') as file:
            np.savez_compressed(file, tokens=lengths.tokens, crops=lengths.crops)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def build_index(measure: Measure, num_records: int, *, title: str, num_workers: int = 0) -> Lengths:
    """Measure all records.

    Args:
        measure (Callable): Gives tokens and crops of the record at a position, or raises ValueError or OSError.
        num_records (int): How many there are.
        title (str): What the progress bar, on stderr, and warnings call them.
        num_workers (int): Processes that share the work; 0 works in this one. Default: 0.
    """
    loader = DataLoader(
        _Measured(measure, num_records),
        batch_size=_RECORDS_AT_ONCE,
        num_workers=num_workers,
        collate_fn=lambda records: records,
        # Else it would draw from the global generator, and a model that is made afterwards would start from others.
        generator=torch.Generator(),
    )
    lengths, errors = [], []
    with tqdm(total=num_records, desc=f'lengths of {title}', unit=' records', mininterval=2) as progress:
        for records in loader:
            errors += [record for record in records if isinstance(record, str)]
            measured = [UNREADABLE if isinstance(record, str) else record for record in records]
            lengths.append(np.array(measured, dtype=np.int32))
            progress.update(len(records))
    for error in errors[:_SHOWN_ERRORS]:
        log.warning('%s: %s', title, error)
    if errors:
        log.warning('%s: %d of %d records cannot be measured.', title, len(errors), num_records)
    return Lengths(*np.concatenate(lengths).T.copy())


class _Measured(Dataset):
    """Lengths by position; where a record cannot be measured, why."""

    def __init__(self, measure: Measure, num_records: int):
        self.measure = measure
        self.num_records = num_records

    def __len__(self) -> int:
        return self.num_records

    def __getitem__(self, at: int) -> Union[tuple[int, int], str]:
        try:
            return self.measure(at)
        except (ValueError, OSError) as error:
            return str(error)
