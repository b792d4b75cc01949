# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Which combinations of attributes a split may show, so that no answer of a test was ever learned by heart.

A combination, such as a word in a colour or a time on a dial, belongs to one split alone: of six neighbouring ones, one
is for test, one for validation and four for training. Every single value occurs in all splits.
"""

import random
from typing import Sequence, TypeVar

_FIRST = TypeVar('_FIRST')
_SECOND = TypeVar('_SECOND')

SPLITS = ('train', 'validation', 'test')
_HELD_OUT = {0: 'test', 1: 'validation'}


def split_of(*indices: int) -> str:
    """The split that a combination belongs to, by the places of its values in their lists."""
    return _HELD_OUT.get(sum(indices) % 6, 'train')


def choose_pair(
    rng: random.Random, split: str, first: Sequence[_FIRST], second: Sequence[_SECOND]
) -> tuple[_FIRST, _SECOND]:
    """A pair of values that belongs to a split; any value of `first` is as likely as the others."""
    i = rng.randrange(len(first))
    j = rng.choice([j for j in range(len(second)) if split_of(i, j) == split])
    return first[i], second[j]
