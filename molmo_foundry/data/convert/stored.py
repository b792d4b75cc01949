# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Records of MDS folders, read in whichever process is to look at them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator

from streaming import LocalDataset

from molmo_foundry.data.mds import require_mds
from molmo_foundry.data.schema import RecordError


@dataclass(frozen=True)
class StoredRecord:
    """A record by its place; calling it reads its columns.

    Attributes:
        folder: MDS folder.
        position: Which record, from 0.
    """

    folder: Path
    position: int

    def __call__(self) -> dict[str, Any]:
        """The columns.

        Raises:
            RecordError: If its shard is missing or damaged.
        """
        try:
            return _open(self.folder)[self.position]
        except Exception as error:  # damaged bytes fail wherever they are decoded
            raise RecordError(
                f'record {self.position} of {self.folder} (counted from 0) cannot be read; its shard is missing or '
                f'damaged: {type(error).__name__}: {error}'
            ) from error


def is_stored(folder: Path) -> bool:
    """Whether a folder holds MDS, or splits that do."""
    return (folder / 'index.json').is_file() or any(folder.glob('*/index.json'))


def split_folders(folder: Path) -> list[Path]:
    """The MDS folders that a user names by one: itself, or its splits.

    Raises:
        FileNotFoundError: If there is no MDS.
    """
    splits = sorted(index.parent for index in folder.glob('*/index.json'))
    if not (folder / 'index.json').is_file() and splits:
        return splits
    require_mds(folder)
    return [folder]


def stored_records(folder: Path) -> Iterator[StoredRecord]:
    """All records of an MDS folder, to be read where there is time."""
    return (StoredRecord(folder, position) for position in range(count_records(folder)))


def count_records(folder: Path) -> int:
    """How many records an MDS folder has.

    Raises:
        FileNotFoundError: If there is no MDS.
    """
    require_mds(folder)
    return len(_open(folder))


@lru_cache(maxsize=8)
def _open(folder: Path) -> LocalDataset:
    return LocalDataset(str(folder))
