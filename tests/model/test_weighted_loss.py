# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The chunked loss equals the plain formula, in value and gradient.

Tolerance 1e-5: float32 sums of some ten terms of size 1 to 10, in another order.
"""

import pytest
import torch
import torch.nn.functional as F
from tiny_molmo import gradients, random_batch, tiny_model, trained_names
from torch import Tensor, nn

from molmo_foundry.model.loss import LossSums, weighted_loss

ROWS, LENGTH, WIDTH, VOCAB = 3, 11, 8, 13


class Inputs:
    """Hidden states, a head, labels, and weights of which a third are zero or negative."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.hidden = torch.randn(ROWS, LENGTH, WIDTH, requires_grad=True)
        self.head = nn.Linear(WIDTH, VOCAB)
        self.labels = torch.randint(VOCAB, (ROWS, LENGTH))
        self.weights = (torch.rand(ROWS, LENGTH) - 0.3).clamp(min=-0.1)
        self.leaves = (self.hidden, self.head.weight, self.head.bias)

    def chunked(self, **kwargs: int) -> LossSums:
        return weighted_loss(self.hidden, self.head, self.labels, self.weights, z_scale=0.1, **kwargs)

    def plain(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        logits, weights = self.head(self.hidden), self.weights.clamp(min=0)
        ce = F.cross_entropy(logits.flatten(0, 1), self.labels.flatten(), reduction='none').view_as(weights)
        z = 0.1 * logits.exp().sum(-1).log() ** 2
        correct = (logits.argmax(-1) == self.labels) * weights
        return (ce * weights).sum(), (z * weights).sum(), correct.sum(), weights.sum()


@pytest.mark.parametrize('chunk_positions', [1, 4, 7, 1024])
def test_chunked_equals_plain(chunk_positions: int) -> None:
    inputs = Inputs()
    ce, z_loss, correct, weight = inputs.plain()
    sums = inputs.chunked(chunk_positions=chunk_positions)
    for actual, expected in zip((sums.ce, sums.z_loss, sums.correct, sums.weight), (ce, z_loss, correct, weight)):
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-6)
    expected_gradients = torch.autograd.grad(ce + z_loss, inputs.leaves)
    for actual, expected in zip(torch.autograd.grad(sums.ce + sums.z_loss, inputs.leaves), expected_gradients):
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_a_frozen_head_has_no_gradient() -> None:
    inputs = Inputs()
    expected = torch.autograd.grad(inputs.chunked(chunk_positions=4).ce, inputs.hidden)
    inputs.head.requires_grad_(False)
    sums = inputs.chunked(chunk_positions=4)
    sums.ce.backward()
    assert inputs.head.weight.grad is None
    torch.testing.assert_close(inputs.hidden.grad, expected[0])


def test_autocast_computes_as_a_linear_layer_under_autocast() -> None:
    """Gradients arrive in float32; values agree with float32 ones to bfloat16's 8 bits."""
    inputs = Inputs()
    ce, z_loss, _, _ = inputs.plain()
    expected = torch.autograd.grad(ce + z_loss, inputs.leaves)
    with torch.autocast('cpu', torch.bfloat16):
        sums = inputs.chunked(chunk_positions=4)
    torch.testing.assert_close(sums.ce, ce, rtol=1e-2, atol=0)
    for actual, exact in zip(torch.autograd.grad(sums.ce + sums.z_loss, inputs.leaves), expected):
        assert actual.dtype == torch.float32
        torch.testing.assert_close(actual, exact, rtol=0, atol=0.02 * exact.abs().max().item())


def test_the_two_losses_may_be_weighed_against_each_other() -> None:
    inputs = Inputs()
    ce, z_loss, _, _ = inputs.plain()
    expected = torch.autograd.grad(3 * ce - 0.5 * z_loss, inputs.leaves)
    sums = inputs.chunked(chunk_positions=4)
    for actual, exact in zip(torch.autograd.grad(3 * sums.ce - 0.5 * sums.z_loss, inputs.leaves), expected):
        torch.testing.assert_close(actual, exact, atol=1e-5, rtol=1e-5)


def test_cross_entropy_of_each_loss_position() -> None:
    inputs = Inputs()
    found = inputs.weights > 0
    expected = F.cross_entropy(inputs.head(inputs.hidden)[found], inputs.labels[found], reduction='none')
    actual = inputs.chunked(chunk_positions=4).token_ce
    torch.testing.assert_close(actual, expected.detach(), atol=1e-5, rtol=0)
    assert not actual.requires_grad


@pytest.mark.parametrize('weight', [0.0, -1.0])
def test_without_weight_there_is_no_loss_but_a_gradient_of_zero(weight: float) -> None:
    inputs = Inputs()
    inputs.weights, inputs.labels = torch.full((ROWS, LENGTH), weight), inputs.labels + VOCAB
    sums = inputs.chunked()
    assert [sums.ce.item(), sums.z_loss.item(), sums.correct.item(), sums.weight.item()] == [0, 0, 0, 0]
    assert sums.token_ce.shape == sums.positions.shape == (0,)
    for gradient in torch.autograd.grad(sums.ce + sums.z_loss, inputs.leaves):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize('weight', [0.0, -1.0])
def test_labels_without_weight_are_not_read(weight: float) -> None:
    inputs = Inputs()
    inputs.weights[0, 0] = inputs.weights[2, 5] = weight
    expected = inputs.chunked()
    inputs.labels[0, 0], inputs.labels[2, 5] = -100, VOCAB + 7
    actual = inputs.chunked()
    assert (actual.ce, actual.z_loss, actual.weight) == (expected.ce, expected.z_loss, expected.weight)


def test_a_batch_without_weight_trains_nothing() -> None:
    """Its loss is 0, not 0 / 0, and every trained parameter has a gradient of zero."""
    model = tiny_model()
    batch = random_batch(model.config, [1, 0])
    output = model(**batch | {'loss_weights': torch.zeros_like(batch['loss_weights'])}, z_loss_scale=1e-2)
    assert output.loss.item() == 0
    output.loss.backward()
    assert gradients(model).keys() == trained_names(model)
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients(model).values())


def test_the_models_loss_is_the_mean_over_weights() -> None:
    model = tiny_model().eval()
    batch = random_batch(model.config, [1, 0])
    output = model(**batch, z_loss_scale=0.1)
    assert output.logits is None
    labels, weights = batch.pop('labels'), batch.pop('loss_weights')
    logits = model(**batch).logits
    ce = F.cross_entropy(logits.transpose(1, 2), labels.clamp(min=0), reduction='none')
    expected = ((ce + 0.1 * logits.logsumexp(-1) ** 2) * weights).sum() / weights.sum()
    torch.testing.assert_close(output.loss, expected, atol=1e-5, rtol=0)


def test_labels_without_weights_count_one_where_they_are_not_negative() -> None:
    model = tiny_model().eval()
    batch = random_batch(model.config, [1, 0])
    ones = (batch['labels'] >= 0).float()
    with_ones = model(**batch | {'loss_weights': ones}).loss
    assert model(**batch | {'loss_weights': None}).loss == with_ones
