# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The built-in data sets: small pictures that are drawn, and what is true of them by construction.

| name | pictures | style, as in |
| --- | --- | --- |
| `shapes` | coloured shapes | captions, pointing, counting, short answers, multiple choice, as in PixMo and VQA |
| `words` | words in colours | `text_vqa` |
| `charts` | bar and line charts | `chart_qa` |
| `clocks` | dials | `clocks`, of PixMo-Clocks |
| `documents` | a heading and fields | `doc_qa` |

Every record depends on (seed, split, index) alone, so splits share no random numbers and a record is the same in a data
set of any size.
"""

import random
from typing import Callable, Iterator

from molmo_foundry.data.synthetic import charts, clocks, documents, shapes, words
from molmo_foundry.data.synthetic.picture import Picture
from molmo_foundry.data.synthetic.splits import SPLITS
from molmo_foundry.processing.types import Example

__all__ = ['DATASETS', 'make_example', 'make_examples']

DATASETS: dict[str, Callable[[random.Random, str], Picture]] = {
    'shapes': shapes.make,
    'words': words.make,
    'charts': charts.make,
    'clocks': clocks.make,
    'documents': documents.make,
}
"""What draws a picture of each data set, from random numbers and the name of the split."""


def make_example(split: str, index: int, seed: int = 0, dataset: str = 'shapes') -> Example:
    """Make one record: a JPEG with its annotations.

    Args:
        split (str): One of `splits.SPLITS`; they share no random numbers and no combinations of attributes.
        index (int): Which record of the split.
        seed (int): Seed of the data set.
        dataset (str): Which of `DATASETS`.

    Raises:
        ValueError: If the split does not exist.
    """
    if split not in SPLITS:
        raise ValueError(f'The built-in data sets have no split {split!r}; choose one of: {", ".join(SPLITS)}.')
    picture = DATASETS[dataset](random.Random(f'{seed}/{split}/{index}'), split)
    return Example(f'{dataset}-{split}-{index:06d}', [picture.image], picture.annotations, picture.metadata)


def make_examples(split: str, count: int, seed: int = 0, dataset: str = 'shapes') -> Iterator[Example]:
    """Records 0 … count − 1 of a split, one by one."""
    return (make_example(split, index, seed, dataset) for index in range(count))
