# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What a source is read from: tables of the Hugging Face hub, files, archives, and images behind URLs.

Every need can say what of it is missing, and open itself. ``{0}``, ``{1}``, … in its names stand for the words by
which the source calls a split. No code of the hub is ever run: tables are Parquet files, and nothing else is read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Protocol, Sequence, Union

from molmo_foundry.data.download import CachedImages
from molmo_foundry.data.download.manifest import MANIFEST_NAME
from molmo_foundry.data.sources.archives import ArchiveFiles
from molmo_foundry.data.sources.fetch import fetch
from molmo_foundry.data.sources.hub import HubTable

Resolve = Callable[[str, Optional[str]], Optional[bytes]]
"""URL and, if known, SHA-256 of an image → its bytes, or None if there are none."""

IMAGE_CACHE = 'pixmo_images'
"""Folder of the root for the images that PixMo refers to by URL."""


class MissingFilesError(FileNotFoundError):
    """Files that a source needs are missing; the message says where to get each and where to put it."""

    def __init__(self, source: str, split: str, problems: Sequence[str]) -> None:
        super().__init__(f'{source}, split {split!r}, needs files that are not there:' + ''.join(problems))


@dataclass(frozen=True)
class Place:
    """Where needs are looked for; see `source.Source.records` for the fields."""

    root: Path
    hub: Mapping[str, Union[str, Path]]
    resolve: Optional[Resolve] = None
    download: bool = True


class Need(Protocol):
    """One thing that a source is read from."""

    def serves(self, split: str) -> bool:
        """Whether a split needs it."""
        ...

    def missing(self, place: Place, words: Sequence[str]) -> list[str]:
        """A paragraph for each part that is not there and that opening would not get."""
        ...

    def open(self, place: Place, words: Sequence[str]) -> Any:
        """What the source's function reads."""
        ...


@dataclass(frozen=True)
class Hub:
    """A table of the hub; opens as `HubTable`.

    Attributes:
        id: Hub id of the data set.
        columns: Those that are read, separated by spaces.
        files: Pattern of its Parquet files.
    """

    id: str
    columns: str
    files: str = 'data/{0}-*.parquet'

    def serves(self, split: str) -> bool:
        """Always."""
        return True

    def missing(self, place: Place, words: Sequence[str]) -> list[str]:
        """A local folder without the files; the hub is asked when the table is read."""
        pattern = self.files.format(*words)
        if self.id not in place.hub or any(Path(place.hub[self.id]).glob(pattern)):
            return []
        return [f'\n  {place.hub[self.id]}/{pattern}\n    from https://huggingface.co/datasets/{self.id}']

    def open(self, place: Place, words: Sequence[str]) -> HubTable:
        """The table."""
        base = place.hub.get(self.id, f'hf://datasets/{self.id}')
        return HubTable(f'{base}/{self.files.format(*words)}', self.columns.split(), place.root / 'hub_tables')


@dataclass(frozen=True)
class File:
    """A file; opens as its `Path`.

    Attributes:
        path: Where it lies, relative to the root.
        url: Where it is downloaded from, if that needs no person.
        how: Where a person gets it otherwise.
        splits: Splits that need it; all if empty.
    """

    path: str
    url: str = ''
    how: str = ''
    splits: tuple[str, ...] = ()

    def serves(self, split: str) -> bool:
        """Whether a split needs it."""
        return not self.splits or split in self.splits

    def missing(self, place: Place, words: Sequence[str]) -> list[str]:
        """The file, if it is neither there nor to be downloaded."""
        path = place.root / self.path.format(*words)
        if self.is_there(path) or (self.url and place.download):
            return []
        return [f'\n  {self._describe(path)}\n    from {(self.url or self.how).format(*words)}']

    def _describe(self, path: Path) -> str:
        return str(path)

    def is_there(self, path: Path) -> bool:
        """Whether it lies there."""
        return path.exists()

    def open(self, place: Place, words: Sequence[str]) -> Any:
        """The path, after downloading."""
        path = place.root / self.path.format(*words)
        if not self.is_there(path):
            fetch(self.url.format(*words), path)
        return path


@dataclass(frozen=True)
class Archive(File):
    """A .zip, .tar or .tar.gz file, or the folder of its name that it was extracted to; opens as `ArchiveFiles`."""

    def is_there(self, path: Path) -> bool:
        """Whether the file or the folder lies there."""
        return path.exists() or ArchiveFiles.folder(path).is_dir()

    def _describe(self, path: Path) -> str:
        return f'{path}, or what is in it in a folder {ArchiveFiles.folder(path)}'

    def open(self, place: Place, words: Sequence[str]) -> ArchiveFiles:
        """The files in it."""
        return ArchiveFiles(super().open(place, words))


@dataclass(frozen=True)
class Urls:
    """The images behind the URLs of a table; opens as `Resolve`."""

    def serves(self, split: str) -> bool:
        """Always."""
        return True

    def missing(self, place: Place, words: Sequence[str]) -> list[str]:
        """The cache, if there is none at all; single images are missed when they are asked for."""
        cache = place.root / IMAGE_CACHE
        if place.resolve is not None or (cache / MANIFEST_NAME).exists():
            return []
        return [
            f'\n  {cache}\n    by `molmo-foundry data download TABLE.parquet --cache {cache}`, where TABLE.parquet is '
            'each of the Parquet files that list the URLs'
        ]

    def open(self, place: Place, words: Sequence[str]) -> Resolve:
        """A function that finds an image."""
        return place.resolve or CachedImages(place.root / IMAGE_CACHE).read
