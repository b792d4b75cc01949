# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What a mixture of experts multiplies beyond its rows when its router is uneven, and how long that takes on the CPU.

    OMP_NUM_THREADS=1 python benchmarks/experts.py

prints a Markdown table. Experts are drawn for every token without replacement, with probabilities proportional to
``rank ** -skew``: 0 is even, 1 is Zipf's law. Three ways are compared: one batched product padded to the fullest
expert, groups of about equally full experts (`model.grouped_matmul`), and a Python loop over experts, which pads
nothing. Time is processor time of a forward and backward pass of the experts' SwiGLU, the median of five.
"""

import argparse
import platform
import statistics
import time
from datetime import date
from typing import Any, Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.grouped_matmul import PaddedGroups
from molmo_foundry.model.moe import ExpertMLP

EXPERTS, TOP_K = 64, 8


def draw_counts(tokens: int, skew: float) -> Tensor:
    """Rows of every expert."""
    generator = torch.Generator().manual_seed(0)
    chances = torch.arange(1, EXPERTS + 1).double() ** -skew
    chosen = torch.multinomial(chances.expand(tokens, -1), TOP_K, generator=generator)
    return torch.bincount(chosen.flatten(), minlength=EXPERTS)


class OneGroup(PaddedGroups):
    """All experts padded to the fullest."""

    def __init__(self, counts: Tensor):
        super().__init__(counts.new_full((EXPERTS,), int(counts.max())))
        starts = torch.arange(EXPERTS) * counts.max() - (counts.cumsum(0) - counts)
        self.places = torch.arange(int(counts.sum())) + starts.repeat_interleave(counts)


class Loop:
    """A product for every expert."""

    def __init__(self, counts: Tensor):
        self.counts = counts.tolist()

    def __call__(self, rows: Tensor, weights: Tensor, *, transpose: bool = False) -> Tensor:
        """See `GroupedMatmul`."""
        parts = zip(rows.split(self.counts), weights.unbind())
        return torch.cat([F.linear(x, w) if transpose else x @ w for x, w in parts])


def seconds(mlp: ExpertMLP, rows: Tensor, counts: Tensor, ways: Sequence[Callable[[Tensor], Any]]) -> list[float]:
    """Median processor time of each way over five rounds, in which they take turns."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(5):
        for way, found in zip(ways, times):
            start = time.process_time()
            mlp(rows, way(counts)).sum().backward()
            found.append(time.process_time() - start)
    return [statistics.median(found) for found in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--tokens', type=int, default=2048)
    parser.add_argument('--width', type=int, default=256, help='of a token; an expert is half as wide')
    arguments = parser.parse_args()
    torch.manual_seed(0)
    config = MolmoConfig(
        hidden_size=arguments.width, intermediate_size=arguments.width, moe_num_experts=EXPERTS, moe_top_k=TOP_K
    )
    mlp = ExpertMLP(config)
    for parameter in mlp.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    print(f'{date.today()}, {platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} thread(s).')
    print('| skew | fullest expert / mean | groups | padded: one product | groups | s: one product | groups | loop |')
    print('| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |')
    for skew in (0.0, 0.25, 0.5, 1.0):
        counts = draw_counts(arguments.tokens, skew)
        rows = torch.randn(int(counts.sum()), arguments.width, requires_grad=True)
        plan, one = PaddedGroups(counts), OneGroup(counts)
        times = seconds(mlp, rows, counts, (OneGroup, PaddedGroups, Loop))
        cells = [f'{skew:g}', f'{counts.max() * EXPERTS / len(rows):.2f}', str(len(plan.groups))]
        cells += [f'{way.size / len(rows):.2f}x' for way in (one, plan)] + [f'{time:.2f}' for time in times]
        print(f'| {" | ".join(cells)} |', flush=True)


if __name__ == '__main__':
    main()
