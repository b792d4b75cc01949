# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Mixtures of experts equal a loop over experts that sees every token.

Tolerance 1e-5: the same float32 sums in another order.
"""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_molmo import gradients, random_batch, tiny_config, tiny_model, trained_names
from torch import Tensor, nn

from molmo_foundry.model.grouped_matmul import PaddedGroups, plan_groups
from molmo_foundry.model.moe import MixtureOfExperts, choose_implementation


def experts(num_experts: int, top_k: int) -> MixtureOfExperts:
    torch.manual_seed(0)
    layer = MixtureOfExperts(tiny_config(moe_num_experts=num_experts, moe_top_k=top_k))
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.2)
    return layer


def dense(layer: MixtureOfExperts, x: Tensor) -> Tensor:
    probs = (x @ layer.router.layer.weight.T).softmax(-1)
    weights = probs * (probs >= probs.topk(layer.top_k, dim=-1).values[..., -1:])
    out = torch.zeros_like(x)
    mlp = layer.experts.mlp
    for expert in range(probs.shape[-1]):
        rows = slice(expert * 24, (expert + 1) * 24)
        hidden = F.silu(x @ mlp.w1[rows].T) * (x @ mlp.v1[rows].T)
        out = out + weights[..., expert : expert + 1] * (hidden @ mlp.w2[rows])
    return out


def assert_equal_in_values_and_gradients(layer: MixtureOfExperts, x: Tensor) -> None:
    leaves = (x, *layer.parameters())
    actual, expected = layer(x), dense(layer, x)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    upstream = torch.randn_like(x)
    expected_gradients = torch.autograd.grad((expected * upstream).sum(), leaves)
    for got, wanted in zip(torch.autograd.grad((actual * upstream).sum(), leaves), expected_gradients):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('num_experts, top_k, tokens', [(8, 2, 7), (4, 4, 5), (16, 1, 3), (2, 1, 1), (64, 8, 40)])
def test_grouped_equals_dense(num_experts: int, top_k: int, tokens: int) -> None:
    x = torch.randn(2, tokens, 32, requires_grad=True)
    assert_equal_in_values_and_gradients(experts(num_experts, top_k), x)


def test_an_uneven_router() -> None:
    """Most tokens go to the first experts, so experts of very different fullness are multiplied in several groups."""
    layer = experts(16, 2)
    with torch.no_grad():
        layer.router.layer.weight[:, 0] = torch.arange(16, 0, -1) / 4
    x = torch.randn(1, 200, 32)
    x[..., 0] = 2 + torch.rand(200)
    chosen = layer.router(x[0])[1].topk(2).indices
    assert len(PaddedGroups(torch.bincount(chosen.flatten(), minlength=16)).groups) > 2
    assert_equal_in_values_and_gradients(layer, x.requires_grad_())


def test_no_token_is_dropped_when_all_go_to_one_expert() -> None:
    layer = experts(4, 1)
    with torch.no_grad():
        layer.router.layer.weight.zero_()
        layer.router.layer.weight[2] = 1
    x = torch.rand(1, 50, 32) + 0.1
    torch.testing.assert_close(layer(x), dense(layer, x), atol=1e-4, rtol=1e-5)
    assert layer(x).abs().amax(-1).min() > 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 500), min_size=1, max_size=64))
def test_little_padding_however_uneven(counts: list[int]) -> None:
    """At most a third of the rows, and where experts are almost empty, a sixteenth of the mean for each."""
    counts = sorted(counts, reverse=True)
    groups = plan_groups(counts)
    padded = [group.rows for group in groups for _ in range(group.experts.start, group.experts.stop)]
    assert [count for count in counts if count] == counts[: len(padded)]
    assert all(rows >= count for rows, count in zip(padded, counts))
    assert sum(padded) <= (4 / 3 + 1 / 16) * sum(counts)
    assert len(groups) <= 26  # log(16 * 64) / log(4 / 3) and one more


def test_autocast_multiplies_in_bfloat16() -> None:
    layer = experts(8, 2)
    x = torch.randn(1, 30, 32, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        out = layer(x)
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16 and layer.experts.mlp.w1.grad.dtype == torch.float32
    torch.testing.assert_close(out.float(), dense(layer, x), atol=0.05, rtol=0.05)


def test_frozen_experts_get_no_gradient() -> None:
    layer = experts(4, 2)
    layer.experts.requires_grad_(False)
    layer(torch.randn(1, 9, 32)).sum().backward()
    assert set(gradients(layer)) == {'router.layer.weight'}


def test_a_mixture_of_experts_trains() -> None:
    model = tiny_model(moe_num_experts=4, moe_top_k=2)
    model(**random_batch(model.config, [2, 0, 1])).loss.backward()
    assert gradients(model).keys() == trained_names(model)


def documented_gmm(a: Tensor, b: Tensor, batch_sizes: Tensor, trans_b: bool = False) -> Tensor:
    """What grouped_gemm says of its `ops.gmm`, its demands included, but for CUDA."""
    assert a.dtype == b.dtype == torch.bfloat16 and a.is_contiguous() and b.is_contiguous()
    assert batch_sizes.dtype == torch.int64 and batch_sizes.device.type == 'cpu' and int(batch_sizes.sum()) == len(a)
    parts = zip(a.split(batch_sizes.tolist()), b.unbind())
    return torch.cat([x @ (w.T if trans_b else w) for x, w in parts])


@pytest.fixture
def megablocks(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in for the package's module of grouped products."""
    package, util = ModuleType('megablocks'), ModuleType('megablocks.grouped_gemm_util')
    state: Any = SimpleNamespace(available=True)
    vars(util).update(
        ops=SimpleNamespace(gmm=documented_gmm), grouped_gemm_is_available=lambda: state.available, __package__=''
    )
    vars(package).update(grouped_gemm_util=util)
    monkeypatch.setitem(sys.modules, 'megablocks', package)
    monkeypatch.setitem(sys.modules, 'megablocks.grouped_gemm_util', util)
    return state


def test_megablocks_gets_what_it_wants(megablocks: SimpleNamespace) -> None:
    """Both implementations on the same parameters; tolerance 2e-2: bfloat16 sums in another order."""
    model = nn.Sequential(experts(8, 2).bfloat16())
    results = []
    for implementation in ('torch', 'megablocks'):
        choose_implementation(model, implementation)
        model.zero_grad()
        x = torch.randn(1, 30, 32, generator=torch.Generator().manual_seed(1)).bfloat16().requires_grad_()
        model(x).sum().backward()
        results.append([model(x), x.grad, *(p.grad for p in model.parameters())])
    for actual, expected in zip(results[1], results[0]):
        torch.testing.assert_close(actual, expected, atol=2e-2, rtol=2e-2)


def test_megablocks_takes_bfloat16_only(megablocks: SimpleNamespace) -> None:
    layer = experts(4, 2)
    choose_implementation(layer, 'megablocks')
    with pytest.raises(ValueError, match='take bfloat16, not torch.float32; use the torch implementation'):
        layer(torch.randn(1, 5, 32))
    with torch.autocast('cpu', torch.bfloat16):
        assert layer(torch.randn(1, 5, 32)).dtype == torch.bfloat16


def test_what_is_missing_is_named(megablocks: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="moe_implementation='cuda' does not exist; choose one of: torch, megablocks"):
        choose_implementation(experts(4, 2), 'cuda')
    megablocks.available = False
    with pytest.raises(ImportError, match=r'pip install "molmo-foundry\[megablocks\]"'):
        choose_implementation(experts(4, 2), 'megablocks')
    monkeypatch.setitem(sys.modules, 'megablocks', None)
    with pytest.raises(ImportError, match='needs megablocks and grouped_gemm, which are built for a CUDA device'):
        choose_implementation(experts(4, 2), 'megablocks')
