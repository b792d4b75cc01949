# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A mixture of captions, questions in a tree and text alone, as model inputs and as batches, for other benchmarks.

Text is as long and images are as large as real ones, or smaller for a model whose crops have fewer tokens. What they
show and say is made up, for a step costs the same whatever they show: pictures are blurred noise, which is as quick to
decode as photographs.
"""

import io
from typing import Any, Sequence

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from molmo_foundry.data.collator import ROW_PADDING, collate
from molmo_foundry.data.packing.best_fit import Budgets, best_fit
from molmo_foundry.data.packing.rows import join
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.processing.choices import example_rng
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import Example, ModelInputs

KINDS = {'captions': 0.30, 'questions': 0.45, 'text': 0.15}
"""Shares of `packing.py`'s mixture without its records of several images, which the first Molmo has none of."""

TEXT_TOKENS = {'captions': (5.4, 0.5, 700), 'text': (6.2, 0.9, 1500)}
"""Logarithm of the median, its spread, and the most tokens, which leave room for an image in 2304."""

QUESTION_TOKENS, ANSWER_TOKENS, MORE_QUESTIONS = 16, 5, 0.75
WORDS = ['red', 'blue', 'cup', 'is', 'on', 'the', 'table', 'left', 'of', 'it', 'and', 'two']
Batch = dict[str, Any]
"""See `data.collator`."""

BLUR = 8
"""Pixels that a value of noise is spread over."""


def make_example(rng: np.random.Generator, number: int, scale: int) -> Example:
    """A record of a random kind.

    Args:
        rng (np.random.Generator): Draws it.
        number (int): Becomes its id.
        scale (int): Tokens of real data to tokens here; edges of images shrink by its root.
    """

    def words(tokens: float) -> str:
        return ' '.join(rng.choice(WORDS, size=max(1, round(tokens / scale))))

    shares = np.array(list(KINDS.values()))
    kind = rng.choice(list(KINDS), p=shares / shares.sum())
    if kind == 'questions':
        count = rng.geometric(1 - MORE_QUESTIONS)
        annotations = [{'question': words(QUESTION_TOKENS), 'answer': words(ANSWER_TOKENS)} for _ in range(count)]
    else:
        median, spread, most = TEXT_TOKENS[kind]
        annotations = [{'prompt': 'Tell me.', 'text': words(min(most, rng.lognormal(median, spread)))}]
    return Example(str(number), [] if kind == 'text' else [_picture(rng, scale)], annotations)


def _picture(rng: np.random.Generator, scale: int) -> bytes:
    width, height = (np.exp(rng.normal(np.log(700), 0.5, size=2)).clip(64, 4000) / scale**0.5).astype(int).tolist()
    noise = rng.integers(0, 256, (-(-height // BLUR), -(-width // BLUR), 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(file, 'JPEG', quality=90)
    return file.getvalue()


def make_preprocessor(config: MolmoConfig, max_tokens: int) -> Preprocessor:
    """The preprocessor of a model with the built-in tokenizer, which stands in for its own, and training's pixels."""
    tokenizer = MolmoTokenizer(
        'tiny', vocab_size=config.vocab_size, image_token_start=config.image_token_ids['<im_start>']
    )
    return Preprocessor.from_config(config, tokenizer, max_seq_len=max_tokens, pixels='fast')


def make_examples(count: int, scale: int) -> list[Example]:
    """As many records, the same whenever they are made; see `make_example`."""
    rng = np.random.default_rng(0)
    return [make_example(rng, number, scale) for number in range(count)]


def make_inputs(preprocessor: Preprocessor, examples: Sequence[Example]) -> list[ModelInputs]:
    """Model inputs of records, with the prompts that each of them gets whenever it is read."""
    return [preprocessor(example, rng=example_rng(0, 0, example.id)) for example in examples]


def plan_rows(inputs: Sequence[ModelInputs], budgets: Budgets) -> list[list[int]]:
    """Which inputs share a row, planned as training plans."""
    tokens = np.array([len(one) for one in inputs])
    crops = np.array([len(one.images) for one in inputs])
    members, starts = best_fit(tokens, crops, budgets)
    return [members[start:stop].tolist() for start, stop in zip(starts, starts[1:])]


def pad_tokens(batch: Batch, max_tokens: int) -> Batch:
    """The batch with every row as long as any may be."""
    return batch | {
        name: torch.nn.functional.pad(batch[name], (0, max_tokens - batch[name].shape[1]), value=value)
        for name, value in ROW_PADDING.items()
    }


class Rows(Dataset[Batch]):
    """Batches of records, made from their encoded images when they are asked for.

    Args:
        preprocessor (Preprocessor): Of the model.
        examples (Sequence[Example]): The records.
        plan (Sequence[Sequence[int]]): Those of each batch.
    """

    def __init__(self, preprocessor: Preprocessor, examples: Sequence[Example], plan: Sequence[Sequence[int]]):
        self.preprocessor, self.examples, self.plan = preprocessor, examples, plan

    def __len__(self) -> int:
        return len(self.plan)

    def inputs(self, index: int) -> list[ModelInputs]:
        """Model inputs of the records of a batch."""
        return make_inputs(self.preprocessor, [self.examples[i] for i in self.plan[index]])


class PackedRows(Rows):
    """Batches of one packed row."""

    def __init__(self, preprocessor: Preprocessor, examples: Sequence[Example], budgets: Budgets):
        super().__init__(preprocessor, examples, plan_rows(make_inputs(preprocessor, examples), budgets))

    def __getitem__(self, index: int) -> Batch:
        """A row."""
        return collate([join(self.inputs(index))])


class PaddedRows(Rows):
    """Batches of some rows of one example each, all padded to the longest that there may be."""

    def __init__(self, preprocessor: Preprocessor, examples: Sequence[Example], rows: int, max_tokens: int):
        plan = [range(start, start + rows) for start in range(0, len(examples), rows)]
        super().__init__(preprocessor, examples, plan)
        self.max_tokens = max_tokens

    def __getitem__(self, index: int) -> Batch:
        """A microbatch."""
        return pad_tokens(collate(self.inputs(index)), self.max_tokens)
