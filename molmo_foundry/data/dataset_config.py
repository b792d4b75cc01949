# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The `dataset` block of a recipe: its keys, and the streams and the preprocessor that it describes."""

import inspect
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Collection, Mapping, Optional, Union

from streaming import Stream
from transformers import PreTrainedTokenizerBase

from molmo_foundry.data.stream import RecordStream
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer

_WEIGHTS = ('proportion', 'repeat', 'choose')


@dataclass
class DatasetConfig:
    """The `dataset` block of a recipe.

    Attributes:
        streams: MDS data by name: `local` and/or `remote`, `styles` to read, and what else a `streaming.Stream`
            takes: `split`, one of `proportion`, `repeat` and `choose`, …
        llm: Language-model preset; as in the model block.
        vit: Vision-tower preset; as in the model block.
        max_seq_len: Most tokens of a row; annotations that would pass it are left out.
        overrides: Configuration fields that differ from the presets; as in the model block.
        split: Folder within each stream that names none.
        shuffle: Whether training goes through the records in random order.
        seed: Seed of the order and of all formatting. A resumed run keeps the one it started with.
        pixels: `fast` (uint8, normalised on the device) or `exact` (float32, as the reference resizes).
        epoch_size: Records of an epoch. Default: all, or what the streams' weights give.
        predownload: Records that a worker downloads ahead of those it yields.
        cache_limit: Bytes of disk for downloaded shards, such as `100gb`; each process may pass it by one.
    """

    streams: Mapping[str, Mapping[str, Any]]
    llm: str
    vit: str
    max_seq_len: int
    overrides: Mapping[str, Any] = field(default_factory=dict)
    split: Optional[str] = None
    shuffle: bool = False
    seed: int = 0
    pixels: str = 'fast'
    epoch_size: Optional[Union[int, str]] = None
    predownload: Optional[int] = None
    cache_limit: Optional[Union[int, str]] = None

    @classmethod
    def parse(cls, block: Mapping[str, Any]) -> 'DatasetConfig':
        """Check the keys of a recipe's block.

        Raises:
            ValueError: If a key is unknown or missing; names it and the keys there are.
        """
        known = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(cls)}
        _check_keys('dataset', block, known)
        missing = [key for key, required in known.items() if required and key not in block]
        if missing:
            raise ValueError(
                f'dataset.{missing[0]} is missing; dataset needs: {", ".join(k for k in known if known[k])}.'
            )
        return cls(**block)

    def build_streams(self) -> dict[str, RecordStream]:
        """The streams by name.

        Raises:
            ValueError: If there is none, one has neither `local` nor `remote`, or an unknown key; names the key.
        """
        if not self.streams:
            raise ValueError('dataset.streams is empty; it needs at least one NAME: {local: FOLDER}.')
        allowed = {*inspect.signature(Stream).parameters, 'styles'}
        for name, keys in self.streams.items():
            _check_keys(f'dataset.streams.{name}', keys, allowed)
            if not (keys.get('local') or keys.get('remote')):
                raise ValueError(f'dataset.streams.{name} needs local (a folder with MDS), remote or source.')
        return {name: RecordStream(**{'split': self.split, **keys}) for name, keys in self.streams.items()}

    def check_unweighted(self) -> None:
        """Check that nothing is asked for that evaluation, which reads each record once, does not do.

        Raises:
            ValueError: If there is `epoch_size` or a stream has a weight; names the key.
        """
        weighted = [f'streams.{name}.{key}' for name, keys in self.streams.items() for key in _WEIGHTS if key in keys]
        if self.epoch_size is not None:
            weighted.append('epoch_size')
        if weighted:
            raise ValueError(
                f'dataset.{weighted[0]} has no effect in evaluation, which reads each record once; remove it, or set '
                'shuffle or drop_last for training.'
            )

    def build_preprocessor(self, tokenizer: PreTrainedTokenizerBase) -> Preprocessor:
        """What prepares records for the model of `llm`, `vit` and `overrides`.

        Raises:
            ValueError: If the tokenizer is not this model's.
        """
        if not isinstance(tokenizer, MolmoTokenizer):
            raise ValueError(
                f'The dataloader molmo needs the tokenizer molmo, not {type(tokenizer).__name__}; set tokenizer.name.'
            )
        model_config = build_config(self.llm, self.vit, **self.overrides)
        return Preprocessor.from_config(model_config, tokenizer, max_seq_len=self.max_seq_len, pixels=self.pixels)


def _check_keys(where: str, keys: Mapping[str, Any], allowed: Collection[str]) -> None:
    for key in keys:
        if key not in allowed:
            raise ValueError(f'{where}.{key} is not an option; choose from: {", ".join(sorted(allowed))}.')
