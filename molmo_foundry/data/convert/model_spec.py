# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The model that lengths are measured for, as something small that travels to other processes."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Mapping, Optional

from molmo_foundry.data.own_streams import without_sources
from molmo_foundry.data.packing.mixture import StreamOptions, parse_mixture
from molmo_foundry.model.presets import LLM_PRESETS, build_config
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer


@dataclass(frozen=True)
class ModelSpec:
    """What makes a preprocessor.

    Attributes:
        llm: Language-model preset.
        vit: Vision-tower preset.
        tokenizer: Arguments of `MolmoTokenizer`.
        overrides: Configuration fields that differ from the presets.
        max_seq_len: Most tokens of a row.
    """

    llm: str
    vit: str
    tokenizer: Mapping[str, Any]
    max_seq_len: int
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_presets(
        cls, llm: str = 'tiny', vit: str = 'tiny', tokenizer: Optional[str] = None, max_seq_len: Optional[int] = None
    ) -> 'ModelSpec':
        """The model of two presets.

        Args:
            llm (str): Language-model preset. Default: ``tiny``.
            vit (str): Vision-tower preset. Default: ``tiny``.
            tokenizer (str, optional): Directory or hub id. Default: the language model's.
            max_seq_len (int, optional): Most tokens of a row. Default: the positions of the language model.

        Raises:
            ValueError: If there is no such preset; names those there are.
        """
        config = build_config(llm, vit)
        kwargs = {
            'name_or_path': tokenizer or LLM_PRESETS[llm].source or 'tiny',
            'vocab_size': config.vocab_size,
            'image_token_start': config.image_token_start,
        }
        return cls(llm, vit, kwargs, max_seq_len or config.max_position_embeddings)

    @classmethod
    def from_recipe(cls, name: str, recipe: Mapping[str, Any]) -> 'ModelSpec':
        """The model of a training recipe.

        Args:
            name (str): The recipe's name, for errors.
            recipe (Mapping): The recipe, variables resolved.

        Raises:
            ValueError: If it does not train a Molmo; names the missing key.
        """
        block = _dataset_block(name, recipe)
        tokenizer = (recipe.get('tokenizer') or {}).get('kwargs') or {}
        needed = [('tokenizer.kwargs', tokenizer, 'name_or_path')]
        needed += [('train_loader.dataset', block, key) for key in ('llm', 'vit', 'max_seq_len')]
        for where, keys, key in needed:
            if key not in keys:
                raise ValueError(f'{name} has no {where}.{key}: it is no recipe that trains a Molmo.')
        return cls(block['llm'], block['vit'], tokenizer, block['max_seq_len'], block.get('overrides') or {})

    def build(self) -> Preprocessor:
        """The preprocessor.

        Raises:
            ValueError: If a preset does not exist, or the tokenizer cannot be loaded or is not the model's.
        """
        config = build_config(self.llm, self.vit, **self.overrides)
        tokenizer = MolmoTokenizer(**self.tokenizer)
        return Preprocessor.from_config(config, tokenizer, max_seq_len=self.max_seq_len, pixels='fast')


def streams_reading(name: str, recipe: Mapping[str, Any], out: str) -> list[StreamOptions]:
    """How a recipe reads a folder: one for each way of its streams, or the usual way if none names the folder.

    Args:
        name (str): The recipe's name, for errors.
        recipe (Mapping): The recipe, variables resolved.
        out (str): Folder or URL that is written; a stream names it if its folder and split have the same names, for
            where data lies differs between machines.
    """
    block = _dataset_block(name, recipe)
    written = PurePosixPath(out).parts
    ways: list[StreamOptions] = []
    for stream in parse_mixture(without_sources(block)).streams.values():
        places = [stream.location[key] for key in ('local', 'remote') if key in stream.location]
        split = [stream.location['split']] if stream.location.get('split') else []
        tails = [(PurePosixPath(place).name, *split) for place in places]
        known = [way.wording for way in ways]
        if any(written[-len(tail) :] == tail for tail in tails) and stream.options.wording not in known:
            ways.append(stream.options)
    return ways or [StreamOptions()]


def _dataset_block(name: str, recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    block = (recipe.get('train_loader') or {}).get('dataset')
    if not isinstance(block, Mapping):
        raise ValueError(f'{name} has no train_loader.dataset: it is no recipe that trains a Molmo.')
    return block
