# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Which column of own data is which key of the schema."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional

import yaml

from molmo_foundry.data.schema import ANNOTATION_KEYS

RECORD_KEYS = {
    'id': 'stable name, unique in the data set; made of the file and the line if left out',
    'image': 'one image: a path relative to the file, a data: URL, or a URL that was downloaded before',
    'images': 'several images',
    'file_name': 'the same as image, as metadata files of image folders have it',
    'metadata': 'mapping of what only scoring needs',
    'annotations': 'several annotations of the same images; without it, the keys of one stand beside the others',
}
"""What a row may hold beside the keys of an annotation."""

CONVERSATIONS = 'conversations'
"""Key of a conversation as LLaVA and ShareGPT have it."""

METADATA_PREFIX = 'metadata.'

ROW_KEYS = (*RECORD_KEYS, CONVERSATIONS, *ANNOTATION_KEYS)
"""All keys that a row may have."""


@dataclass(frozen=True)
class ColumnMap:
    """Names of columns by key; columns that are not in it are not read.

    Attributes:
        columns: Column of each key; keys are those of `ROW_KEYS`, or ``metadata.NAME``.
    """

    columns: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> 'ColumnMap':
        """Read a map as it is typed: ``question=q,answer=a``, or the name of a YAML file that maps keys to columns.

        Raises:
            ValueError: If it is neither, or a key is unknown; suggests similar ones.
            FileNotFoundError: If there is no such file.
        """
        if text.endswith(('.yaml', '.yml')):
            return cls.of(yaml.safe_load(Path(text).read_text(encoding='utf-8')), text)
        pairs = [pair.partition('=') for pair in text.split(',')]
        wrong = [key for key, equals, column in pairs if not (key and equals and column)]
        if wrong:
            raise ValueError(f'columns: {wrong[0]!r} is not of the form key=column, as in question=q,answer=a.')
        return cls.of({key.strip(): column.strip() for key, _, column in pairs})

    @classmethod
    def of(cls, columns: Any, where: str = 'columns') -> 'ColumnMap':
        """Check a map; errors call it `where`.

        Raises:
            ValueError: If it is none, or a key is unknown; suggests similar ones.
        """
        if not isinstance(columns, Mapping) or not all(isinstance(column, str) for column in columns.values()):
            raise ValueError(f'{where} must map keys to names of columns, such as "question: q".')
        for key in columns:
            if key not in ROW_KEYS and not (key.startswith(METADATA_PREFIX) and key != METADATA_PREFIX):
                raise ValueError(f'columns: {key} is no key of a record; {_similar(key, ROW_KEYS)}.')
        return cls(dict(columns))

    @classmethod
    def by_name(cls, names: Iterable[str]) -> 'ColumnMap':
        """The map for a table whose columns are named as keys are; others are not read."""
        return cls({name: name for name in names if name in ROW_KEYS or name.startswith(METADATA_PREFIX)})

    def check(self, names: Iterable[str], where: str) -> None:
        """Check that a table has all columns.

        Raises:
            ValueError: If one is missing, or none is mapped; names what there is.
        """
        names = list(names)
        if not self.columns:
            raise ValueError(
                f'{where} has the columns {", ".join(names)}, none of which is named like a key of a record. Say which '
                'is which, for example --columns question=q,answer=a,image=img.'
            )
        for column in self.columns.values():
            if column not in names:
                raise ValueError(f'{where} has no column {column!r}; {_similar(column, names)}.')

    def apply(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row by keys; None and missing values are left out."""
        values: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        for key, column in self.columns.items():
            value = row.get(column)
            if value is None:
                continue
            if key.startswith(METADATA_PREFIX):
                metadata[key.removeprefix(METADATA_PREFIX)] = value
            else:
                values[key] = value
        if metadata:
            values['metadata'] = {**values.get('metadata', {}), **metadata}
        return values


def column_map(columns: Optional[ColumnMap], names: Iterable[str], where: str) -> ColumnMap:
    """The map of a table, by name if none is given, checked against its columns.

    Raises:
        ValueError: As `ColumnMap.check`.
    """
    names = list(names)
    chosen = ColumnMap.by_name(names) if columns is None else columns
    chosen.check(names, where)
    return chosen


def _similar(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=3)
    return f'did you mean {" or ".join(close)}?' if close else f'there are {", ".join(known)}'
