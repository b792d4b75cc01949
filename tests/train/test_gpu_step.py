# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`benchmarks/gpu_step.py` runs at toy size, on a CPU too, and an arm that fails is a row that says so."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from benchmark_module import BENCHMARKS, import_benchmark


@pytest.fixture(scope='module')
def benchmark() -> Any:
    return import_benchmark('gpu_step')


def test_report(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two of the arms: one example a row, and packed rows with recomputation."""
    kept = [benchmark.Arm(None, 'sdpa'), benchmark.Arm(0, recompute='llm')]
    monkeypatch.setattr(benchmark, 'ARMS', kept)
    lines = '\n'.join(benchmark.report(benchmark.SIZES['toy'], benchmark.attempt)).splitlines()
    header, *arms = [line.strip('| ').split(' | ') for line in lines[2:3] + lines[4:6]]
    assert len(arms) == len(kept)
    for arm in arms:
        row = dict(zip(header, arm))
        assert 0 < float(row['tokens used'].rstrip('%')) <= 100
        assert all(float(row[name]) > 0 for name in ('ms a step', 'tokens/s', 'images/s', 'GB/s of AdamW'))
        shares = [float(row[part].rstrip('%')) for part in benchmark.PARTS]
        assert sum(shares) == pytest.approx(100, abs=5), 'parts are rounded to whole per cent, and add up to the step'
    assert arms[0][header.index('recomputed')] == 'all'
    assert arms[1][header.index('recomputed')] == 'llm'
    decoded, experts = [line for line in lines if line.startswith('| 1 |')], lines[-2:]
    assert float(decoded[0].split('|')[2]) > 0
    assert float(experts[0].split('|')[2]) > 0


def test_arms_that_fail_are_rows(benchmark: Any) -> None:
    def out_of_memory() -> str:
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')

    def broken() -> str:
        raise RuntimeError('no kernel\nand a long story')

    assert benchmark.attempt(out_of_memory) == 'out of memory'
    assert benchmark.attempt(broken) == 'RuntimeError: no kernel'


def test_images_are_counted_in_packed_rows(benchmark: Any) -> None:
    """As many as examples with crops, however many crops they have."""
    size = benchmark.SIZES['toy']
    config = benchmark.build_config(size.llm, size.vit, **size.overrides)
    loader = benchmark.make_loader(size, config, benchmark.Arm(1))
    rows = loader.dataset
    with_images = [sum(len(one.images) > 0 for one in rows.inputs(i)) for i in range(len(rows))]
    assert [benchmark.images_of(rows[i]) for i in range(len(rows))] == with_images
    assert max(with_images) > 1


def test_alone_without_composer() -> None:
    """The script runs where there is neither Composer nor LLM-Foundry nor Streaming, and outlives what it runs."""
    script = (
        'import os, sys\n'
        "sys.modules.update(dict.fromkeys(['composer', 'llmfoundry', 'streaming']))\n"
        'import gpu_step\n'
        'print(gpu_step.alone(os._exit, 1))'
    )
    run = subprocess.run([sys.executable, '-c', script], check=True, cwd=BENCHMARKS, capture_output=True, text=True)
    assert run.stdout == 'the process died; out of memory, perhaps\n'
