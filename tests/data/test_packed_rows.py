# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A packed row trains the model exactly as its examples alone do, and stand-ins train nothing."""

from typing import Sequence

import numpy as np
import pytest
import torch

from molmo_foundry.data.collator import collate
from molmo_foundry.data.packing.rows import join, placeholder
from molmo_foundry.data.synthetic import make_example
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.choices import example_rng
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import Example, ModelInputs

TOLERANCE = 1e-5
"""Relative, float32: sums are taken in another order, and no more."""


@pytest.fixture(scope='module')
def model() -> MolmoForCausalLM:
    torch.manual_seed(0)
    model = MolmoForCausalLM(build_config('tiny', 'tiny')).eval()  # without dropout
    for name, parameter in model.named_parameters():
        if name.endswith(('pad_embed', 'bias')):
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture(scope='module')
def preprocessor(model: MolmoForCausalLM) -> Preprocessor:
    return Preprocessor.from_config(model.config, MolmoTokenizer('tiny', vocab_size=1024), max_seq_len=1024)


@pytest.fixture(scope='module')
def examples(preprocessor: Preprocessor) -> list[ModelInputs]:
    """Message trees about an image, text alone, two images with placeholders, and two images in front of a tree."""
    shapes = [make_example('train', index) for index in range(4)]
    both = [*shapes[2].images, *shapes[3].images]
    compare = {'messages': ['Is <|image|> larger than <|image|> here?', 'No.'], 'weight': 0.5}
    questions = [{'question': 'Which is first?', 'answer': 'the left'}, {'style': 'long_caption', 'text': 'Two.'}]
    records = [
        shapes[0],
        Example('text', [], [{'question': 'How do you do?', 'answer': 'Very well.'}]),
        Example('in-text', both, [compare]),
        shapes[1],
        Example('in-front', both[::-1], questions),
    ]
    return [preprocessor(record, rng=example_rng(0, 0, record.id)) for record in records]


def sums(model: MolmoForCausalLM, rows: Sequence[ModelInputs], backend: str) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss, summed over positions, and its gradients."""
    model.config._attn_implementation = backend
    model.zero_grad()
    batch = collate(rows)
    inputs = {key: value for key, value in batch.items() if key not in ('token_counts', 'loss_counts', 'metadata')}
    loss = model(**inputs, z_loss_scale=1e-2).loss_sums
    total = loss.ce + loss.z_loss
    total.backward()
    return total.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_equal(actual: tuple, expected: tuple) -> None:
    assert actual[0] == pytest.approx(expected[0], rel=TOLERANCE)
    assert actual[1].keys() == expected[1].keys()
    whole = torch.stack([gradient.norm() for gradient in expected[1].values()]).norm()
    for name, gradient in expected[1].items():
        # Softmax leaves biases of keys no gradient but the rounding of the larger ones that cancel there: 1e-8 of the
        # whole may differ, a sixth of float32's own precision.
        scale = max(gradient.norm(), 100 * TOLERANCE * whole)
        assert (actual[1][name] - gradient).norm() <= TOLERANCE * scale, name


@pytest.mark.parametrize('backend', ['sdpa', 'flex_attention'])
def test_a_pack_equals_the_sum_of_its_examples(
    model: MolmoForCausalLM, examples: list[ModelInputs], backend: str
) -> None:
    alone = [sums(model, [example], 'sdpa') for example in examples]
    names = set().union(*(gradients for _, gradients in alone))
    expected = (
        sum(loss for loss, _ in alone),
        {name: torch.stack([gradients[name] for _, gradients in alone if name in gradients]).sum(0) for name in names},
    )
    assert_equal(sums(model, [join(examples)], backend), expected)
    # and if packs share a batch, one of them longer than the other
    assert_equal(sums(model, [join(examples[:2]), join(examples[2:])], backend), expected)


def test_the_parts_of_a_row(examples: list[ModelInputs]) -> None:
    row = join(examples)
    starts = np.cumsum([0, *map(len, examples)])
    assert len(row) == starts[-1] and len(row.images) == sum(len(example.images) for example in examples)
    assert row.metadata['ids'] == [example.metadata['id'] for example in examples]
    crop = 0
    for i, (example, start) in enumerate(zip(examples, starts)):
        own = slice(start, start + len(example))
        for name in ('input_ids', 'labels', 'loss_weights', 'position_ids'):
            assert (getattr(row, name)[own] == getattr(example, name)).all(), name
        assert (row.segment_ids[own] - example.segment_ids == 100_000 * i).all()
        slots = row.image_input_idx[crop : crop + len(example.images)]
        assert ((slots < 0) == (example.image_input_idx < 0)).all()
        assert (slots[slots >= 0] - start == example.image_input_idx[example.image_input_idx >= 0]).all()
        crop += len(example.images)
    for name in ('input_ids', 'labels', 'loss_weights', 'position_ids', 'segment_ids', 'images', 'image_input_idx'):
        assert getattr(row, name).dtype == getattr(examples[0], name).dtype, name


def test_a_stand_in_has_the_planned_size_and_no_effect(model: MolmoForCausalLM, examples: list[ModelInputs]) -> None:
    stand_in = placeholder(examples[1], tokens=33, crops=3, record='lost')
    assert (len(stand_in), len(stand_in.images), stand_in.loss_weights.sum()) == (33, 3, 0)
    for name in ('input_ids', 'labels', 'loss_weights', 'position_ids', 'segment_ids', 'images', 'image_masks'):
        assert getattr(stand_in, name).dtype == getattr(examples[0], name).dtype, name
    with_it = sums(model, [join([examples[0], stand_in, examples[1]])], 'sdpa')
    assert_equal(with_it, sums(model, [join(examples[:2])], 'sdpa'))
