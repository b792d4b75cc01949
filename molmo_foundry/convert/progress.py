# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""How far a conversion is: a bar in a terminal, a line every ten seconds in a log file."""

import sys
from typing import Iterable, Iterator, Optional, TypeVar

from tqdm import tqdm

Item = TypeVar('Item')


def tracked(items: Iterable[Item], title: str, *, total: Optional[int] = None, unit: str = 'tensor') -> Iterator[Item]:
    """Goes through items and shows on stderr how many are done.

    Args:
        items (Iterable): Anything.
        title (str): What is being done.
        total (int, optional): How many they are. Default: their length.
        unit (str): What an item is.

    Yields:
        The items.
    """
    pause = 0.1 if sys.stderr.isatty() else 10.0
    yield from tqdm(items, desc=title, total=total, unit=f' {unit}s', mininterval=pause, file=sys.stderr)
