# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Records into MDS shards on a local disk, and back.

Writing is all or nothing: shards go to a hidden folder beside the target, which gets its name when the last is
complete. Every image is decoded once on the way, so that a corrupt file is found here and not after a night of
training. The same records give the same bytes.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Sequence, Union

from streaming import LocalDataset, MDSWriter

from molmo_foundry.data.schema import COLUMNS, RecordError, from_sample, image_sizes, to_sample, validate
from molmo_foundry.processing.image_io import ImageError
from molmo_foundry.processing.types import Example

SHARD_BYTES = 1 << 26
"""Size at which a shard is closed."""


@dataclass
class WriteReport:
    """What became of the records.

    Attributes:
        written: Number of records in the shards.
        skipped: Why each record that is not there was left out.
    """

    written: int = 0
    skipped: list[RecordError] = field(default_factory=list)


def write_mds(
    records: Iterable[Union[Example, RecordError]],
    out: Union[str, Path],
    *,
    skip_bad: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> WriteReport:
    """Write records as one MDS folder.

    Args:
        records (Iterable[Example | RecordError]): The records; where a source could not make one, the error instead.
        out (str | Path): Folder to make; it may exist if it is empty.
        skip_bad (bool): Leave bad records out and report them, instead of stopping at the first. Default: ``False``.
        shard_bytes (int): Size at which a shard is closed. Default: 64 MiB.

    Returns:
        How many records were written and which were skipped.

    Raises:
        FileExistsError: If `out` holds something already.
        RecordError: At the first bad record, unless `skip_bad`; or if no record is left.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f'{out} is not an empty folder; choose another --out or remove it first.')
    unfinished = out.parent / f'.{out.name}.unfinished'
    shutil.rmtree(unfinished, ignore_errors=True)
    report, ids = WriteReport(), set()
    try:
        with MDSWriter(out=str(unfinished), columns=COLUMNS, size_limit=shard_bytes) as writer:
            for record in records:
                sample = _checked_sample(record, ids)
                if isinstance(sample, RecordError):
                    if not skip_bad:
                        raise sample
                    report.skipped.append(sample)
                else:
                    writer.write(sample)
                    ids.add(sample['id'])
        report.written = len(ids)
        if not ids:
            reasons = ''.join(f'\n  {error}' for error in report.skipped[:5])
            raise RecordError(f'There is no good record to write to {out}.{reasons}')
        if out.exists():
            out.rmdir()
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return report


def _checked_sample(record: Union[Example, RecordError], ids: set[str]) -> Union[dict[str, Any], RecordError]:
    """The sample of a record, or why it cannot be one; `ids` are taken."""
    if isinstance(record, RecordError):
        return record
    try:
        sizes = image_sizes(record)
        validate(record, sizes[0] if len(sizes) == 1 else None)
        if record.id in ids:
            raise RecordError(f'record {record.id!r}: id is used twice; ids must be unique within a data set.')
        return to_sample(record, sizes)
    except ImageError as error:
        return RecordError(f'record {record.id!r}: {error}.')
    except RecordError as error:
        return error


def require_mds(path: Union[str, Path]) -> None:
    """Check that a folder holds MDS.

    Raises:
        FileNotFoundError: If it does not; says how to make it.
    """
    if not (Path(path) / 'index.json').is_file():
        problem = 'has no index.json' if Path(path).is_dir() else 'does not exist'
        raise FileNotFoundError(
            f'No MDS data at {path}: it {problem}. Render the built-in data set with `molmo-foundry data render --out '
            '…`, convert your own with `molmo-foundry data convert SOURCE --out …`, or correct the path.'
        )


class MDSRecords(Sequence[Example]):
    """The records of a local MDS folder, by position; their images stay encoded.

    Args:
        path (str | Path): The folder, split included.

    Raises:
        FileNotFoundError: If there is no MDS.
    """

    def __init__(self, path: Union[str, Path]):
        require_mds(path)
        self._samples = LocalDataset(str(path))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Example:
        if not -len(self) <= index < len(self):
            raise IndexError(f'record {index} of {len(self)}')
        return from_sample(self._samples[index])
