# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What a conversion keeps of itself: a plan to go on by, and at the end a card that says what was made of what."""

import json
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

import molmo_foundry
from molmo_foundry.data.convert.parts import PartReport
from molmo_foundry.data.convert.store import Store
from molmo_foundry.data.packing.fingerprint import differences

PLAN, INDEX = 'conversion.json', 'index.json'
"""Files beside the parts: how to go on, and where they are; the second makes it an MDS folder."""

PLAN_VERSION = 1
"""Raised whenever the same rows come to give other bytes."""


@dataclass(frozen=True)
class Plan:
    """What is converted, and how; a run that goes on has to agree with it.

    Attributes:
        name: Name of the data set.
        split: Which split; None if there is only one.
        origin: Where it comes from and which revision it is.
        licence: Of its annotations; empty if not known.
        home: Page that describes it; empty if there is none.
        limit: Rows to read; None: all.
        rows_per_part: Rows of a part.
        shard_bytes: Size at which a shard is closed.
        meters: Lengths to measure; see `lengths.Meter.describe`.
        version: `PLAN_VERSION`.
    """

    name: str
    split: Optional[str]
    origin: Mapping[str, Any]
    licence: str
    home: str
    limit: Optional[int]
    rows_per_part: int
    shard_bytes: int
    meters: Sequence[Mapping[str, Any]]
    version: int = PLAN_VERSION

    @classmethod
    def load(cls, store: Store) -> Optional['Plan']:
        """The plan of a conversion that was begun; None if none was.

        Raises:
            ValueError: If another version of this package has begun it.
        """
        text = store.read(PLAN)
        if text is None:
            return None
        fields = json.loads(text)
        if fields.get('version') != PLAN_VERSION:
            raise ValueError(
                f'{store.where} was begun by another version of molmo_foundry, whose records may differ; choose '
                'another --out, or remove it first.'
            )
        return cls(**fields)

    def begin(self, store: Store) -> None:
        """Keep the plan, or compare it with the one that was begun.

        Raises:
            FileExistsError: If there is something else in the place.
            ValueError: If another conversion was begun there; says what differs.
        """
        begun = self.load(store)
        if begun is None:
            if store.has_other_files(PLAN):
                raise FileExistsError(f'{store.where} is not an empty folder; choose another --out or remove it first.')
            store.write(PLAN, _to_json(vars(self)))
            return
        changes = differences(vars(begun), json.loads(_to_json(vars(self))))
        if changes:
            lines = '\n  '.join(changes)
            raise ValueError(
                f'{store.where} holds another conversion, which this one cannot go on with:\n  {lines}\n'
                'Undo that, choose another --out, or remove it first.'
            )


@dataclass(frozen=True)
class Card:
    """What was made of what.

    Attributes:
        plan: What was converted, and how.
        report: The counts of all parts.
        parts: Their number.
        shards: Number of their shards.
        shard_bytes: Bytes of their shards.
        length_indexes: Names of the length indexes.
    """

    plan: Plan
    report: PartReport
    parts: int
    shards: int
    shard_bytes: int
    length_indexes: list[str]

    def to_json(self) -> bytes:
        """The card as `dataset_card.json` has it."""
        plan, report = self.plan, self.report.to_json()
        return _to_json(
            {
                'name': plan.name,
                'split': plan.split,
                'origin': plan.origin,
                'licence': plan.licence,
                'home': plan.home,
                'limit': plan.limit,
                'molmo_foundry': molmo_foundry.__version__,
                **report,
                'parts': self.parts,
                'shards': self.shards,
                'shard_bytes': self.shard_bytes,
                'length_indexes': self.length_indexes,
            }
        )


def _to_json(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(dict(content), ensure_ascii=False, indent=1)
    return text.encode('utf-8', 'backslashreplace') + b'\n'
