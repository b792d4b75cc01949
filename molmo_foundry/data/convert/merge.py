# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The last step of a conversion: all parts become one MDS folder."""

import json
import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np
from streaming.base.util import merge_index

from molmo_foundry.data.convert.card import INDEX, Card, Plan
from molmo_foundry.data.convert.duplicates import PartCopies, find_duplicates, leave_out
from molmo_foundry.data.convert.lengths import write_index
from molmo_foundry.data.convert.parts import IDS, LENGTHS, REPORT, PartReport, part_name
from molmo_foundry.data.convert.store import Store, plain_no_space
from molmo_foundry.data.schema import CARD, RecordError

_FILES_AT_ONCE = 16
_SHOWN = 5


class UnfinishedError(ValueError):
    """A conversion of which parts are missing."""


def merge(store: Store, *, skip_bad: bool = False) -> Card:
    """Merge all parts of a conversion; parts stay as they are, and may be merged again.

    Args:
        store (Store): The parts.
        skip_bad (bool): Of records with the same id, keep the first, instead of stopping. Default: ``False``.

    Returns:
        Card: What `dataset_card.json` says.

    Raises:
        FileNotFoundError: If no conversion was begun there.
        UnfinishedError: If parts are missing; names them.
        RecordError: If there is no record, or two records have the same id, unless `skip_bad`.
    """
    plan = Plan.load(store)
    if plan is None:
        raise FileNotFoundError(f'Nothing to merge at {store.where}: no conversion was begun there.')
    with plain_no_space(store), tempfile.TemporaryDirectory(prefix='molmo_foundry_') as folder:
        scratch = Path(folder)
        reports = _complete_reports(store, plan)
        if _settle_duplicates(store, plan, reports, scratch / 'copies', skip_bad):
            reports = _complete_reports(store, plan)
        total = PartReport.total(reports)
        if not total.records:
            reasons = [example for rejects in total.rejects.values() for example in rejects.examples]
            lines = ''.join(f'\n  {reason}' for reason in reasons[:_SHOWN])
            raise RecordError(f'There is no good record to write to {store.where}.{lines}')
        shards = _merge_indexes(store, len(reports), scratch)
        indexes = []
        for number, meter in enumerate(plan.meters):
            lengths = [_load_array(part)[number] for part in _load_all(store, LENGTHS, len(reports))]
            path = write_index(scratch, meter, lengths)
            store.write(path.name, path.read_bytes())
            indexes.append(path.name)
        sizes = [shard['raw_data']['bytes'] for shard in shards]
        card = Card(plan, total, len(reports), len(shards), sum(sizes), indexes)
        store.write(CARD, card.to_json())
        store.write(INDEX, (scratch / INDEX).read_bytes())
    return card


def _complete_reports(store: Store, plan: Plan) -> list[PartReport]:
    """The reports of all parts, the last being the one that is not full."""
    finished = store.finished_parts()
    numbers = range(1 + max(finished, default=-1))
    missing = [number for number in numbers if number not in finished]
    if not missing:
        reports = [PartReport.parse(text) for text in _load_all(store, REPORT, len(numbers))]
        if reports and reports[-1].rows < plan.rows_per_part:
            return reports
        missing = [len(numbers)]
    named = ', '.join(part_name(number) for number in missing[:_SHOWN])
    raise UnfinishedError(
        f'{store.where} is not finished: there is no {named}{" …" if len(missing) > _SHOWN else ""}. Run the same '
        '`molmo-foundry data convert` again; of several workers I/N, the one that makes part P is I = P modulo N.'
    )


def _settle_duplicates(store: Store, plan: Plan, reports: Sequence[PartReport], folder: Path, skip_bad: bool) -> bool:
    """Look for ids that several parts use; returns whether there were any, which then are left out."""
    copies = PartCopies(store, folder)
    load = partial(_load_ids, store, len(reports))
    duplicates = find_duplicates(load, sum(report.records for report in reports), copies)
    if skip_bad:
        unwanted = list(duplicates)
        leave_out(store, unwanted, copies, plan.shard_bytes)
        return bool(unwanted)
    lines = [
        f'\n  {same.message} ({part_name(same.first.part)} and {part_name(same.again.part)})'
        for same in islice(duplicates, _SHOWN)
    ]
    if lines:
        raise RecordError(
            f'{store.where}: records have the id of another, such as{"".join(lines)}\nTo keep only the first of each, '
            'run the same command again with --skip-bad.'
        )
    return False


def _merge_indexes(store: Store, num_parts: int, folder: Path) -> list[dict]:
    """Write the index.json of all parts together; returns its shards."""
    paths = []
    for number, text in enumerate(_load_all(store, INDEX, num_parts)):
        path = folder / part_name(number) / INDEX
        path.parent.mkdir()
        path.write_bytes(text)
        paths.append(str(path))
    with _without_warnings():
        merge_index(paths, str(folder))
    return json.loads((folder / INDEX).read_bytes())['shards']


def _load_ids(store: Store, num_parts: int) -> Iterator[np.ndarray]:
    return map(_load_array, _load_all(store, IDS, num_parts))


def _load_array(data: bytes) -> np.ndarray:
    return np.load(BytesIO(data))


def _load_all(store: Store, name: str, num_parts: int) -> Iterator[bytes]:
    """A file of every part in order, several of them asked for at a time."""

    def load(number: int) -> bytes:
        data = store.read(f'{part_name(number)}/{name}')
        if data is None:
            raise UnfinishedError(f'{store.where}: {part_name(number)} has lost its {name}; remove that part.')
        return data

    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        for start in range(0, num_parts, _FILES_AT_ONCE):
            yield from pool.map(load, range(start, min(start + _FILES_AT_ONCE, num_parts)))


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Streaming warns of every temporary folder it makes."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
