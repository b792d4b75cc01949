# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The length index of packed training, measured while records pass anyway.

Each `Meter` bounds the lengths of all records for one model and one way of reading them. When the parts are merged,
they become the file that `data.packing` would otherwise read all data for.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from molmo_foundry.data.convert.check import Checker, Measure
from molmo_foundry.data.convert.model_spec import ModelSpec
from molmo_foundry.data.packing.fingerprint import digest, digest_of_mds, digest_of_processor, digest_of_tokenizer
from molmo_foundry.data.packing.length_index import INDEX_VERSION, UNREADABLE, save_index
from molmo_foundry.data.packing.mixture import StreamOptions
from molmo_foundry.data.packing.plan import Lengths
from molmo_foundry.data.schema import Sizes
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.types import Example


@dataclass(frozen=True)
class Meter:
    """What to measure for.

    Attributes:
        model: The model.
        options: How a stream reads the records.
    """

    model: ModelSpec
    options: StreamOptions = StreamOptions()

    def build(self) -> Measure:
        """The function that measures."""
        return partial(_measure, self.model.build(), self.options)

    def describe(self) -> dict[str, Any]:
        """What decides the lengths, as JSON has it; `write_index` needs no more to name the file."""
        preprocessor = self.model.build()
        processing = digest(digest_of_tokenizer(preprocessor.tokenizer), digest_of_processor(preprocessor))
        wording = {key: list(v) if isinstance(v, tuple) else v for key, v in self.options.wording.items()}
        return {'version': INDEX_VERSION, 'processing': processing, 'wording': wording}


@dataclass(frozen=True)
class CheckerSpec:
    """Makes a `Checker` in whichever process; small."""

    meters: tuple[Meter, ...] = ()

    def __call__(self) -> Checker:
        """The checker."""
        return Checker([meter.build() for meter in self.meters])


def write_index(folder: Path, meter: Mapping[str, Any], lengths: Sequence[np.ndarray]) -> Path:
    """Write the index of a meter beside the merged index.json.

    Args:
        folder (Path): Where index.json lies.
        meter (Mapping): From `Meter.describe`.
        lengths (Sequence[np.ndarray]): (records, 2) tokens and crops of each part.

    Returns:
        Path: The file.
    """
    name = digest(meter['version'], digest_of_mds(folder), meter['processing'], meter['wording'])
    tokens, crops = np.concatenate(lengths).T
    path = folder / f'lengths-{name}.npz'
    save_index(path, Lengths(np.ascontiguousarray(tokens), np.ascontiguousarray(crops)))
    return path


def _measure(preprocessor: Preprocessor, options: StreamOptions, example: Example, sizes: Sizes) -> tuple[int, int]:
    try:
        return preprocessor.length_bound(options.apply(example), sizes)
    except ValueError:
        return UNREADABLE
