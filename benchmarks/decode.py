# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""How many tokens a second greedy decoding writes: with the key-value cache, without, and transformers' Qwen2.

Both models have the same sizes and random weights, both run transformers' `generate` on the same text prompts. What is
timed is the whole call, prompt included, in processor time: other work on the machine counts for little.

    OMP_NUM_THREADS=1 python benchmarks/decode.py
"""

import argparse
import platform
import statistics
import time
from datetime import date
from pathlib import Path
from typing import Any, Callable

import torch
import transformers
from transformers import Qwen2Config, Qwen2ForCausalLM

from molmo_foundry import MolmoConfig, MolmoForCausalLM

SIZES: dict[str, Any] = {
    'vocab_size': 32_000,
    'hidden_size': 512,
    'num_hidden_layers': 8,
    'num_attention_heads': 8,
    'num_key_value_heads': 2,
}
CELLS = ((1, 256), (4, 256), (1, 1024))
"""Rows of a batch and tokens of a prompt."""

QWEN2 = 'transformers Qwen2, cache'
MLP = 1376
"""Width of the feed-forward layer; Molmo's configuration counts gate and up projection together."""


def molmo() -> MolmoForCausalLM:
    """Molmo's decoder, with the smallest of vision towers, which text does not use."""
    vision = {'hidden_size': 32, 'intermediate_size': 64, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    config = MolmoConfig(
        **SIZES, intermediate_size=2 * MLP, qkv_bias=True, vision=vision, connector={'vit_layers': (-1, -2)}
    )
    return MolmoForCausalLM(config)


def qwen2() -> Qwen2ForCausalLM:
    """Transformers' model of the same sizes."""
    return Qwen2ForCausalLM(Qwen2Config(**SIZES, intermediate_size=MLP, tie_word_embeddings=False))


def generation(model: Any, batch: int, prompt: int, new: int, **options: Any) -> Callable[[], Any]:
    """A call that writes `new` tokens for each of `batch` prompts."""
    ids = torch.randint(SIZES['vocab_size'], (batch, prompt), generator=torch.Generator().manual_seed(0))
    fixed = {'max_new_tokens': new, 'min_new_tokens': new, 'do_sample': False, 'pad_token_id': 0, 'eos_token_id': 1}
    return lambda: model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **fixed, **options)


def seconds_by_contender(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Processor time of every round, after one that does not count; the contenders take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    return {name: values[1:] for name, values in seconds.items()}


def main() -> None:
    """Prints the table, and writes it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--new', type=int, default=32, help='tokens to write')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    arguments = parser.parse_args()
    torch.manual_seed(0)
    ours, theirs = molmo().eval(), qwen2().eval()
    contenders = {
        'molmo_foundry, cache': (ours, {'use_cache': True}),
        'molmo_foundry, no cache': (ours, {'use_cache': False}),
        QWEN2: (theirs, {'use_cache': True}),
    }
    cells = []
    for batch, prompt in CELLS:
        calls = {
            name: generation(model, batch, prompt, arguments.new, **options)
            for name, (model, options) in contenders.items()
        }
        seconds = seconds_by_contender(calls, arguments.rounds)
        tokens = batch * arguments.new
        cells.append(
            {
                name: (
                    tokens / statistics.median(values),
                    statistics.median(theirs / mine for mine, theirs in zip(values, seconds[QWEN2])),
                )
                for name, values in seconds.items()
            }
        )
    millions = sum(parameter.numel() for parameter in theirs.parameters()) / 1e6
    heads = ''.join(f' batch {batch}, prompt {prompt} | against Qwen2 |' for batch, prompt in CELLS)
    lines = [
        '# Greedy decoding on a CPU',
        '',
        'Made by `OMP_NUM_THREADS=1 python benchmarks/decode.py`.',
        '',
        f'{date.today()}, one core of {platform.processor() or platform.machine()}, torch {torch.__version__}, '
        f'transformers {transformers.__version__}, fp32, {millions:.0f} million parameters, {arguments.new} new tokens.'
        f' Tokens per second of processor time, all rows together; medians of {arguments.rounds} rounds in which the '
        'contenders take turns. Ratios are medians of the ratios of rounds.',
        '',
        f'| |{heads}',
        f'| --- |{" ---: | ---: |" * len(CELLS)}',
    ]
    for name in contenders:
        values = ''.join(f' {cell[name][0]:.1f} | {cell[name][1]:.2f}x |' for cell in cells)
        lines += [f'| {name} |{values}']
    report = '\n'.join(lines) + '\n'
    print(report)
    if arguments.out:
        arguments.out.write_text(report, encoding='utf-8')


if __name__ == '__main__':
    main()
