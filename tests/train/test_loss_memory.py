# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The loss takes at most a quarter of the memory of full logits, by what `benchmarks/loss_memory.py` counts."""

from typing import Any

import pytest
from benchmark_module import load_benchmark

POSITIONS, VOCABULARY, WIDTH = 2304, 152064, 3584
"""A row of Molmo-7B-D, in bfloat16."""


@pytest.fixture(scope='module')
def benchmark() -> Any:
    return load_benchmark('loss_memory')


@pytest.mark.parametrize('rows', [1, 8])
def test_a_quarter_of_full_logits(benchmark: Any, rows: int) -> None:
    positions = rows * POSITIONS
    plain = benchmark.peak_bytes(benchmark.full_logits, positions, VOCABULARY, WIDTH)
    assert plain > 4 * 4 * positions * VOCABULARY, 'float32 logits, what losses keep of them, and a gradient of each'
    assert benchmark.peak_bytes(benchmark.chunked, positions, VOCABULARY, WIDTH) <= plain / 4
