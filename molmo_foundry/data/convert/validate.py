# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Whether every record can be learned from: it is read, its images decode, and the preprocessor writes it out."""

from array import array
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Optional, Union

import numpy as np

from molmo_foundry.data.convert.check import Reject
from molmo_foundry.data.convert.inputs import Work
from molmo_foundry.data.convert.model_spec import ModelSpec
from molmo_foundry.data.convert.parts import hash_id
from molmo_foundry.data.convert.pool import ordered_map
from molmo_foundry.data.convert.stored import StoredRecord
from molmo_foundry.data.schema import RecordError, Sizes, from_sample, image_sizes, validate
from molmo_foundry.data.sources.records import Rejected
from molmo_foundry.processing.image_io import ImageError
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.types import Example


@dataclass(frozen=True)
class Good:
    """A record that can be learned from."""

    hashed_id: int


@dataclass(frozen=True)
class ValidatorSpec:
    """Makes a validator in whichever process; small."""

    model: ModelSpec

    def __call__(self) -> Callable[[Union[Work, StoredRecord]], Union[Good, Reject]]:
        """The validator."""
        return _Validator(self.model.build())


class _Validator:
    """Says of a record what is wrong with it, if anything is."""

    def __init__(self, preprocessor: Preprocessor):
        self._preprocessor = preprocessor

    def __call__(self, work: Union[Work, StoredRecord]) -> Union[Good, Reject]:
        if isinstance(work, Reject):
            return work
        try:
            if isinstance(work, StoredRecord):
                sample = work()
                example, stored = from_sample(sample), sample['sizes']
            else:
                example, stored = work(), None
            if isinstance(example, Rejected):
                return Reject.of(example)
            sizes = _sizes(example, stored)
            validate(example, sizes[0] if len(sizes) == 1 else None)
            self._preprocessor(example)
        except ValueError as error:
            return Reject('', 'bad_record', str(error))
        return Good(hash_id(example.id))


def _sizes(example: Example, stored: Optional[list[list[int]]]) -> Sizes:
    """Sizes of the images, which must be those that are stored."""
    try:
        sizes = image_sizes(example)
    except ImageError as error:
        raise RecordError(f'record {example.id!r}: {error}.') from error
    if stored is not None and stored != [list(size) for size in sizes]:
        raise RecordError(f'record {example.id!r}: sizes says {stored}, but its images have {sizes}.')
    return sizes


@dataclass(frozen=True)
class Validation:
    """What has been found.

    Attributes:
        good: Records that can be learned from, up to the first that cannot.
        problem: What is wrong with that; None if there is none.
    """

    good: int
    problem: Optional[str] = None


def validate_records(
    records: Iterable[Union[Work, StoredRecord]],
    model: ModelSpec,
    processes: int,
    advance: Callable[[int], Any] = lambda records: None,
) -> Validation:
    """Look at records until one cannot be learned from.

    Args:
        records (Iterable): The records, to be made or read where there is time.
        model (ModelSpec): Whose preprocessor has to take them.
        processes (int): Processes that look at them.
        advance (Callable): Told of records that are good, for a progress bar.
    """
    hashes = array('Q')
    for result in ordered_map(ValidatorSpec(model), records, processes):
        if isinstance(result, Reject):
            return Validation(len(hashes), result.message)
        hashes.append(result.hashed_id)
        advance(1)
    ids = np.frombuffer(hashes, dtype=np.uint64)
    _, first, kind = np.unique(ids, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[kind] != np.arange(len(ids)))
    if not len(again):
        return Validation(len(hashes))
    pair = f'records {first[kind[again[0]]]} and {again[0]} (counted from 0)'
    return Validation(len(hashes) - len(again), f'{pair} have the same id; ids must be unique within a data set.')
