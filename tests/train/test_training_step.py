# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`benchmarks/training_step.py` compares ways that train on the same thing, the public code's among them."""

from typing import Any

import pytest
import torch
from benchmark_module import import_benchmark

EXAMPLES = 5


@pytest.fixture(scope='module')
def benchmark() -> Any:
    return import_benchmark('training_step')


@pytest.fixture(scope='module')
def inputs(benchmark: Any) -> Any:
    size = benchmark.SIZES['tiny']
    config = benchmark.build_config(size.llm, size.vit, **size.overrides)
    preprocessor = benchmark.make_preprocessor(config, size.max_tokens)
    return benchmark.make_inputs(preprocessor, benchmark.make_examples(EXAMPLES, size.scale))


def test_first_way_is_the_public_codes(benchmark: Any, inputs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every crop that a row may have goes through the tower, each of its slots through the connector."""
    size, way = benchmark.SIZES['tiny'], benchmark.WAYS[0]
    model = benchmark.build(size, way)
    batch = benchmark.make_batches(size, way, inputs)[0]
    assert batch['input_ids'].shape == (size.rows, size.max_tokens)
    seen = []
    backbone = model.model.model.vision_backbone
    backbone.image_vit.register_forward_hook(lambda _module, given, _output: seen.append(len(given[0])))
    backbone.image_projector.register_forward_hook(lambda _module, given, _output: seen.append(len(given[0])))
    logits = []
    plain = torch.nn.functional.cross_entropy
    monkeypatch.setattr(
        torch.nn.functional, 'cross_entropy', lambda x, *a, **k: (logits.append(x.shape), plain(x, *a, **k))[1]
    )
    benchmark.loss_of(model, batch, way.every_logit)
    crops = size.rows * benchmark.MAX_CROPS
    rows, cols = model.model.config.pooled_grid
    assert seen == [crops, crops * rows * cols]
    assert logits == [(size.rows * size.max_tokens, model.model.config.embedding_size)]


def test_all_ways_agree(benchmark: Any, inputs: Any) -> None:
    """In loss and gradient, up to the order of float32 sums (1e-4); the compiled one is left to the benchmark."""
    size = benchmark.SIZES['tiny']
    ways = [way for way in benchmark.WAYS if not way.compiled]
    results = [benchmark.measure(size, way, inputs, 1) for way in ways]
    benchmark.check_agreement(results)
    results[-1].loss *= 1.001
    with pytest.raises(ValueError, match='The ways differ in loss'):
        benchmark.check_agreement(results)


def test_each_measure_saves_work(benchmark: Any, inputs: Any) -> None:
    size = benchmark.SIZES['tiny']
    config = benchmark.build_config(size.llm, size.vit, **size.overrides)
    spent = [benchmark.flops(config, way, benchmark.make_batches(size, way, inputs)) for way in benchmark.WAYS[:4]]
    assert spent == sorted(spent, reverse=True)
    assert len(set(spent)) == len(spent)


def test_profile_names_what_takes_longest(benchmark: Any) -> None:
    lines = benchmark.operations(benchmark.SIZES['tiny'], benchmark.WAYS[3], 2)
    shares = [float(line.split('|')[2].strip(' %')) for line in lines[2:]]
    assert shares == sorted(shares, reverse=True)
    assert any('`aten::mm`' in line for line in lines)
    assert min(shares) >= 100 * benchmark.SHOWN - 0.1, 'shares are rounded to a tenth'
