# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of a record on its way to MDS: checked and measured, or rejected with a reason.

A `Checker` does the slow part, so it runs in many processes: it reads the images, decodes every one of them, writes
the annotations out as training would, and measures what the record would take in a pack.
"""

from dataclasses import dataclass, field
from typing import Any, Callable, Sequence, cast

from molmo_foundry.data.schema import RecordError, Sizes, image_sizes, to_sample, validate
from molmo_foundry.data.sources.own import Deferred
from molmo_foundry.data.sources.records import Rejected
from molmo_foundry.processing.image_io import ImageError
from molmo_foundry.processing.types import Example

Measure = Callable[[Example, Sizes], tuple[int, int]]
"""Tokens and crops of a record."""


@dataclass(frozen=True)
class Reject:
    """Why there is no record.

    Attributes:
        record: Id that it has or would have.
        reason: One of few words, to count by.
        message: All of it, for a person.
        is_expected: Whether the source itself leaves the row out, so that it is no reason to stop.
    """

    record: str
    reason: str
    message: str
    is_expected: bool = False

    @classmethod
    def of(cls, rejected: Rejected, is_expected: bool = False) -> 'Reject':
        """What a source says of a row."""
        return cls(rejected.record, rejected.reason, str(rejected), is_expected)


@dataclass(frozen=True)
class Checked:
    """A good record.

    Attributes:
        sample: Its MDS columns.
        lengths: Tokens and crops, for each of the checker's measures.
    """

    sample: dict[str, Any]
    lengths: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Made:
    """A record that is there already, as something to call for."""

    example: Example

    def __call__(self) -> Example:
        """The record."""
        return self.example


class Checker:
    """Checks and measures records.

    Args:
        measures (Sequence[Measure]): What to measure.
    """

    def __init__(self, measures: Sequence[Measure] = ()):
        self._measures = measures

    def __call__(self, work: Any) -> Any:
        """Make a record and check it.

        Args:
            work (Deferred): The record; anything that cannot be called passes as it is.

        Returns:
            Checked | Reject: What has become of it.
        """
        if not callable(work):
            return work
        item = cast(Deferred, work)()
        if isinstance(item, Rejected):
            return Reject.of(item)
        try:
            sizes = image_sizes(item)
            validate(item, sizes[0] if len(sizes) == 1 else None)
            item.id.encode()
        except ImageError as error:
            return Reject(item.id, 'bad_image', f'record {item.id!r}: {error}.')
        except UnicodeEncodeError:
            return Reject(repr(item.id), 'bad_record', f'record {item.id!r}: the id cannot be written as UTF-8.')
        except RecordError as error:
            return Reject(item.id, 'bad_record', str(error))
        return Checked(to_sample(item, sizes), [measure(item, sizes) for measure in self._measures])
