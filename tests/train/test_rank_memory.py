# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What `benchmarks/rank_memory.py` counts for a rank is what two ranks of FSDP2 hold."""

import pytest
from benchmark_module import import_benchmark


def test_two_ranks_hold_what_is_counted() -> None:
    """To 0.1 %: shards of tensors with an odd number of rows are rounded up."""
    benchmark = import_benchmark('rank_memory')
    config = benchmark.build_config('tiny', 'tiny', **benchmark.SMALL)
    expected = benchmark.state_parts(config, benchmark.WORLD_SIZE)
    assert benchmark.measure(benchmark.SMALL) == pytest.approx(expected, rel=benchmark.TOLERANCE)
