# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Losses of routers: their values, what they train, and how they reach the loss that is minimised.

Tolerance 1e-5: the same float32 sums in another order.
"""

import math
import sys
from typing import Any

import pytest
import torch
from tiny_molmo import CONNECTOR, DECODER, VISION, random_batch, tiny_config, tiny_model

from molmo_foundry.model.composer_model import ComposerMolmo
from molmo_foundry.model.moe import MixtureOfExperts, RouterRecord

MOE = {'moe_num_experts': 4, 'moe_top_k': 2}
WEIGHTS = {'moe_loss_weight': 0.1, 'moe_zloss_weight': 0.01}


def record_of(routers: int, tokens: int, **weights: float) -> tuple[RouterRecord, list[MixtureOfExperts], Any, Any]:
    torch.manual_seed(0)
    config = tiny_config(**MOE, **{**WEIGHTS, **weights})
    layers = [MixtureOfExperts(config) for _ in range(routers)]
    for layer in layers:
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(1, tokens, 32)
    record = RouterRecord(torch.ones(tokens, dtype=torch.bool))
    for layer in layers:
        layer(x, record)
    return record, layers, x, config


def test_values_by_the_formula_of_megablocks() -> None:
    """Load balance: w E / (L N K) times the sum over layers and experts of tokens sent x mean probability."""
    record, layers, x, config = record_of(3, 11)
    balance, z = torch.zeros(()), torch.zeros(())
    for layer in layers:
        logits = x[0] @ layer.router.layer.weight.T
        probs = logits.softmax(-1)
        sent = torch.bincount(probs.topk(2).indices.flatten(), minlength=4)
        balance = balance + (sent * probs.mean(0)).sum() * 0.1 * 4 / (3 * 11 * 2)
        z = z + 0.01 * logits.logsumexp(-1).square().mean() / 3
    losses = record.losses(config)
    torch.testing.assert_close(losses.load_balance, balance, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(losses.z_loss, z, atol=1e-5, rtol=1e-5)
    parameters = [layer.router.layer.weight for layer in layers]
    for ours, theirs in ((losses.load_balance, balance), (losses.z_loss, z)):
        for actual, expected in zip(
            torch.autograd.grad(ours, parameters, retain_graph=True),
            torch.autograd.grad(theirs, parameters, retain_graph=True),
        ):
            assert expected.abs().max() > 1e-5
            torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_even_routing_costs_the_weight_and_one_expert_for_all_costs_most() -> None:
    record, _, _, config = record_of(1, 8)
    eye = torch.eye(4).repeat(2, 1)
    even = RouterRecord(torch.ones(8, dtype=torch.bool))
    even.add(eye * 50, (eye * 50).softmax(-1), eye.topk(1).indices)
    assert even.losses(config).load_balance.item() == pytest.approx(0.1, rel=1e-5)
    torch.testing.assert_close(even.losses(config).load, torch.ones(1, 4))
    crowded = RouterRecord(torch.ones(8, dtype=torch.bool))
    logits = torch.tensor([50.0, 0, 0, 0]).repeat(8, 1)
    crowded.add(logits, logits.softmax(-1), torch.zeros(8, 1, dtype=torch.long))
    assert crowded.losses(config).load_balance.item() == pytest.approx(0.4, rel=1e-5)
    assert crowded.losses(config).load.tolist() == [[4, 0, 0, 0]]
    assert record.losses(config).load.sum().item() == pytest.approx(4)


def test_padding_does_not_count() -> None:
    _, layers, x, config = record_of(1, 6)
    whole = RouterRecord(torch.ones(6, dtype=torch.bool))
    layers[0](x, whole)
    padded = RouterRecord(torch.arange(20) < 6)
    layers[0](torch.cat([x, torch.ones(1, 14, 32)], dim=1), padded)
    for name in ('load_balance', 'z_loss', 'load'):
        actual, expected = (getattr(record.losses(config), name) for record in (padded, whole))
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize('weights', [WEIGHTS, {'moe_loss_weight': 0.0, 'moe_zloss_weight': 0.0}])
def test_they_are_part_of_the_loss_in_training_only(weights: dict[str, float]) -> None:
    model = tiny_model(**MOE, **weights)
    batch = random_batch(model.config, [1, 0])
    output = model(**batch)
    sums, router = output.loss_sums, output.router_losses
    assert router.load.shape == (2, 4) and not router.load.requires_grad
    total = sums.ce / sums.weight + router.load_balance + router.z_loss
    torch.testing.assert_close(output.loss, total, atol=1e-6, rtol=0)
    assert (router.load_balance.item() > 0) == (weights['moe_loss_weight'] > 0)
    assert (router.z_loss.item() > 0) == (weights['moe_zloss_weight'] > 0)
    evaluated = model.eval()(**batch)
    assert evaluated.router_losses is None
    torch.testing.assert_close(evaluated.loss, sums.ce / sums.weight, atol=1e-6, rtol=0)


def test_recomputed_blocks_count_once() -> None:
    """Activation checkpointing runs a block again in the backward pass; its gradients stay those of one run."""
    from torch.utils.checkpoint import checkpoint

    gradients = []
    for recompute in (False, True):
        model = tiny_model(**MOE, **WEIGHTS)
        if recompute:
            for block in model.model.transformer.blocks:
                plain = block.forward
                block.forward = lambda *args, plain=plain: checkpoint(plain, *args, use_reentrant=False)
        output = model(**random_batch(model.config, [1, 0]))
        output.loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert any('router' in name for name in gradients[0])
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, atol=1e-6, rtol=0)


def test_composer_logs_them() -> None:
    overrides = {**DECODER, **MOE, **WEIGHTS, 'vision': VISION, 'connector': CONNECTOR}
    model = ComposerMolmo(llm='tiny', vit='tiny', overrides=overrides)
    batch = random_batch(model.molmo_config, [1, 0])
    losses = model.loss(model(batch), batch)
    assert list(losses) == [
        *('total', 'ce', 'z_loss', 'accuracy'),
        *('moe_load_balance', 'moe_z_loss', 'moe_max_load', 'moe_min_load'),
    ]
    parts = sum(losses[name].item() for name in ('ce', 'z_loss', 'moe_load_balance', 'moe_z_loss'))
    assert losses['total'].item() == pytest.approx(parts, rel=1e-5)
    assert 1 <= losses['moe_max_load'].item() <= 2 and 0 <= losses['moe_min_load'].item() <= 1
    assert math.isfinite(parts) and not losses['moe_load_balance'].requires_grad


def test_a_recipe_chooses_the_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = {**DECODER, **MOE, 'vision': VISION, 'connector': CONNECTOR}
    model = ComposerMolmo(llm='tiny', vit='tiny', overrides=overrides, moe_implementation='torch')
    layers = [module for module in model.modules() if isinstance(module, MixtureOfExperts)]
    assert [layer.implementation for layer in layers] == ['torch', 'torch']
    with pytest.raises(ValueError, match="moe_implementation='cuda' does not exist; choose one of: torch, megablocks"):
        ComposerMolmo(llm='tiny', vit='tiny', overrides=overrides, moe_implementation='cuda')
    monkeypatch.setitem(sys.modules, 'megablocks', None)
    with pytest.raises(ImportError, match='pip install'):
        ComposerMolmo(llm='tiny', vit='tiny', overrides=overrides, moe_implementation='megablocks')
