# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The step-time model of `benchmarks/scaling.py` against values worked out by hand."""

from dataclasses import replace
from typing import Any

import pytest
from benchmark_module import import_benchmark


@pytest.fixture(scope='module')
def scaling() -> Any:
    return import_benchmark('scaling')


@pytest.fixture(scope='module')
def model(scaling: Any) -> Any:
    """A small configuration with the number of parameters of a large one."""
    sizes = scaling.Sizes(total=7_000_000_000, trained=7_000_000_000, unit=200_000_000, root=1_000_000_000)
    return scaling.build_config('tiny', 'tiny'), sizes


@pytest.mark.parametrize(
    'ranks, seconds',
    [
        (1, 0),
        (8, 8e9 * 7 / 8 / 360e9 + 7 * 3.4e-6),  # NVLink at 80 % of 450 GB/s, seven steps
        (16, 8e9 * 15 / 16 / 360e9 + 14e-6 + 14 * 3.4e-6),  # NVLink is still what limits
        (128, 8e9 * 15 / 16 / 320e9 + 15 * 14e-6 + 112 * 3.4e-6),  # eight network cards at 80 % of 50 GB/s
    ],
)
def test_ring(scaling: Any, ranks: int, seconds: float) -> None:
    assert scaling.ring_seconds(8e9, ranks) == pytest.approx(seconds)


def test_sum_over_replicas(scaling: Any) -> None:
    assert scaling.replica_seconds(4e9, 1) == 0
    assert scaling.replica_seconds(4e9, 4) == pytest.approx(2 * (4e9 * 3 / 4 / 40e9 + 3 * 14e-6))


def test_step_without_communication(scaling: Any, model: Any) -> None:
    """On one GPU a step is three passes, or four with recomputation, and AdamW's 28 bytes a parameter."""
    config, sizes = model
    kept = scaling.Settings(1, 1, row_tokens=4096, rows=2, microbatches=8, recompute=False)
    forward = 16 * scaling.row_flops(config, 4096).forward
    step = scaling.step_of(config, sizes, kept, reached=1.0)
    imbalance = 1 + 0.003 * scaling.row_flops(config, 4096).vit * 16 / forward
    assert step.compute == pytest.approx(3 * forward / (0.42 * 989.5e12) * imbalance)
    assert step.optimizer == pytest.approx(28 * 7e9 / (0.8 * 3.35e12))
    assert step.exposed == 0
    assert step.mfu == pytest.approx(3 * forward / (step.seconds * 989.5e12))
    again = scaling.step_of(config, sizes, replace(kept, recompute=True), reached=1.0)
    assert again.compute == pytest.approx(4 * forward / (0.48 * 989.5e12) * imbalance)
    assert again.memory < step.memory


def test_what_computing_does_not_hide_is_exposed(scaling: Any, model: Any) -> None:
    """A tiny model computes next to nothing, so two gathers, a scatter and the root's are there to see."""
    config, sizes = model
    settings = scaling.Settings(8, 8, row_tokens=4096, rows=1, microbatches=3, recompute=False)
    step = scaling.step_of(config, sizes, settings, reached=1.0)
    units = 30 * (2 * scaling.ring_seconds(4e8, 8) + scaling.ring_seconds(8e8, 8))
    root = scaling.ring_seconds(2e9, 8) + scaling.ring_seconds(4e9, 8)
    computing = scaling.row_flops(config, 4096).training_step / (0.42 * scaling.PEAK)
    assert step.exposed == pytest.approx(3 * (units + root - computing))


def test_groups_pay_for_their_sum(scaling: Any, model: Any) -> None:
    config, sizes = model
    everywhere = scaling.Settings(8, 8, row_tokens=4096, rows=1, microbatches=1, recompute=False)
    groups = replace(everywhere, gpus=32)
    more = scaling.step_of(config, sizes, groups, 1.0).exposed - scaling.step_of(config, sizes, everywhere, 1.0).exposed
    assert more == pytest.approx(scaling.replica_seconds(4 * 7e9 / 8, 4))


def test_choice(scaling: Any, model: Any) -> None:
    """Steps keep their size while GPUs can share it, what does not fit is not chosen, and loaders keep up."""
    config, sizes = model
    for gpus in (8, 256, 1024):
        for settings in scaling.candidates(gpus, [8, 64]):
            tokens = gpus * settings.rows * settings.microbatches * settings.row_tokens
            assert tokens <= max(scaling.BATCH_TOKENS, gpus * 4096)
    assert scaling.best(config, replace(sizes, total=10**12), 1.0, scaling.candidates(8, [8])) is None
    _, step = scaling.best(config, sizes, 1.0, scaling.candidates(64, [8, 64]))
    assert step.memory <= 0.85 * 80e9
    assert [scaling.workers(images) for images in (0.5, 43, 44)] == [1, 1, 2]
