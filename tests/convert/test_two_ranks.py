# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Two ranks under FSDP2: published weights are read by one of them, and a mixture of experts trains as on one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_worker import LR, experts_model, train_experts, uneven_rows
from published_parts import hub_llm, hub_tower

from molmo_foundry.data.collator import collate


def test_one_rank_reads_and_every_rank_holds_its_share(two_processes: Path) -> None:
    """The other rank was given paths to nowhere, and had its model on the meta device."""
    parts = torch.load(two_processes / 'parts.pt', weights_only=True)
    assert parts['on_meta'] == [False, True]
    assert sum(parts['held']) == pytest.approx(parts['all'], rel=0.01)
    assert max(parts['held']) < 0.55 * parts['all'], 'padding aside, half each'
    weights, llm, tower = parts['weights'], hub_llm().state_dict(), hub_tower().state_dict()
    for ours, theirs in (
        ('transformer.wte.embedding', llm['model.embed_tokens.weight']),
        ('transformer.blocks.1.ff_out.weight', llm['model.layers.1.mlp.down_proj.weight']),
        (
            'vision_backbone.image_vit.transformer.resblocks.2.ffn_norm.weight',
            tower['vision_model.encoder.layers.2.layer_norm2.weight'],
        ),
    ):
        assert torch.equal(weights[f'model.{ours}'], theirs), ours


@pytest.fixture(scope='module')
def plain() -> dict[str, Any]:
    """The same step of the mixture of experts as a plain loop.

    Each row is a microbatch. Its losses, the router's over its own real tokens included, count by its share of the loss
    weights of all rows.
    """
    model = experts_model()
    rows = uneven_rows()
    total = sum(float(row.loss_weights.sum()) for row in rows)
    losses: dict[str, float] = {}
    for row in rows:
        batch, share = collate([row]), float(row.loss_weights.sum()) / total
        found = model.loss(model(batch), batch)
        (found['total'] * share).backward()
        for name, value in found.items():
            losses[f'loss/train/{name}'] = losses.get(f'loss/train/{name}', 0.0) + value.item() * share
    weights = {name: p.detach() - LR * p.grad if p.grad is not None else p.detach() for name, p in named(model)}
    routers = [p.grad.abs().max() for name, p in named(model) if 'router' in name]
    assert min(routers) > 1e-3
    return {'weights': weights, 'losses': losses}


def named(model: Any) -> list[tuple[str, Any]]:
    return [(name.removeprefix('model.'), p) for name, p in model.named_parameters()]


@pytest.mark.parametrize('ranks', [1, 2])
def test_experts_and_their_routers_losses_under_any_split(
    plain: dict[str, Any], request: pytest.FixtureRequest, ranks: int
) -> None:
    """Tolerance 1e-6: float32 sums in another order."""
    if ranks == 1:
        found = train_experts()
    else:
        found = torch.load(request.getfixturevalue('two_processes') / 'experts.pt', weights_only=True)
    assert found['weights'].keys() == plain['weights'].keys()
    for name, value in plain['weights'].items():
        torch.testing.assert_close(found['weights'][name], value, atol=1e-6, rtol=0, msg=lambda m, n=name: f'{n}: {m}')
    for name, value in plain['losses'].items():
        assert found['losses'][name] == pytest.approx(value, rel=1e-5), name
    assert plain['losses']['loss/train/moe_load_balance'] > 0.1
