# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""How full packs are, how long samples wait, how even ranks are, and what planning costs.

The lengths are synthetic: images of random sizes, cut as Molmo's CLIP preset cuts them, with captions, questions in a
tree, text alone, or several images. Packs are planned as training plans them, and compared with one example a row and
with first fit over a buffer, which takes what fits in the order of arrival.

    OMP_NUM_THREADS=1 python benchmarks/packing.py
"""

import argparse
import math
import multiprocessing
import platform
import resource
import time
from datetime import date
from pathlib import Path
from typing import Callable

import numpy as np

from molmo_foundry.data.packing.best_fit import LOOK_AHEAD, Budgets, best_fit, waits
from molmo_foundry.data.packing.dealing import deal
from molmo_foundry.data.packing.order import StreamDraws
from molmo_foundry.data.packing.plan import Lengths, Plan, make_plan
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.processing import ImagePreprocessor

BUDGETS = [(16384, 160), (16384, 128), (8192, 80), (4096, 48)]
"""Tokens and crops of a pack. At 128 crops for 16384 tokens, crops are the scarcer of the two."""

BATCHES = [(128, 8), (128, 32), (128, 64), (96, 8), (192, 24)]
FIRST_FIT_BUFFER = 48
MICROBATCH = 4
PIECE = 1 << 18
"""Lengths made at a time."""
SHARD = 320
"""Records of a shard: 64 MiB of photographs."""

Packs = tuple[np.ndarray, np.ndarray]
"""Samples by pack, and where each pack starts among them."""

KINDS = {'captions': 0.30, 'questions': 0.45, 'text': 0.15, 'several images': 0.10}


def make_lengths(count: int, seed: int = 0) -> Lengths:
    """Lengths of a mixture of captions, questions, text and records of several images."""
    rng = np.random.default_rng(seed)
    large, small = _images(rng, max_crops=12), _images(rng, max_crops=8)
    pieces = [_lengths(rng, min(PIECE, count - start), large, small) for start in range(0, count, PIECE)]
    return Lengths(*(np.ascontiguousarray(column) for column in np.concatenate(pieces).T))


def _lengths(rng: np.random.Generator, count: int, large: np.ndarray, small: np.ndarray) -> np.ndarray:
    """(count, 2) tokens and crops."""
    kind = rng.choice(len(KINDS), size=count, p=list(KINDS.values()))
    captions, questions, text = (kind == i for i in range(3))
    text_tokens = np.select(
        [captions, questions, text],
        [rng.lognormal(5.4, 0.5, count), 25 * rng.geometric(0.25, count), rng.lognormal(6.2, 0.9, count)],
        rng.lognormal(5.0, 0.8, count),
    )
    lengths = np.zeros((count, 2), dtype=np.int32)
    lengths[:, 0] = text_tokens.clip(12, 2304)
    num_images = np.select([captions | questions, text], [1, 0], rng.integers(2, 6, count))
    for number in range(5):
        drawn = rng.integers(len(large), size=count)
        image = np.where((num_images > 1)[:, None], small[drawn], large[drawn])
        lengths += np.where((num_images > number)[:, None], image, 0).astype(np.int32)
    return lengths


def _images(rng: np.random.Generator, max_crops: int) -> np.ndarray:
    """(2000, 2) tokens and crops of images of random sizes."""
    preprocessor = ImagePreprocessor.from_config(MolmoConfig(vocab_size=512, vision={'max_crops': max_crops}))
    edges = np.exp(rng.normal(np.log(700), 0.5, size=(2000, 2))).astype(int).clip(64, 4000)
    layouts = [preprocessor.layout(height, width) for height, width in edges.tolist()]
    return np.array([(layout.num_tokens, layout.num_crops) for layout in layouts])


def first_fit(lengths: Lengths, budgets: Budgets) -> Packs:
    """Fill packs from a buffer, taking what fits in the order of arrival; see `best_fit`."""
    tokens, crops = lengths.tokens.tolist(), lengths.crops.tolist()
    buffer, members, starts, arrived = [], [], [0], 0
    while buffer or arrived < len(tokens):
        coming = min(budgets.look_ahead - len(buffer), len(tokens) - arrived)
        buffer += range(arrived, arrived + coming)
        arrived += coming
        left, crops_left, kept = budgets.max_tokens, budgets.max_crops, []
        for sample in buffer:
            if tokens[sample] <= left and crops[sample] <= crops_left:
                left -= tokens[sample]
                crops_left -= crops[sample]
                members.append(sample)
            else:
                kept.append(sample)
        buffer = kept
        starts.append(len(members))
    return np.array(members), np.array(starts)


def describe(lengths: Lengths, budgets: Budgets, make: Callable[[Lengths, Budgets], Packs]) -> str:
    """Columns of a table: how full packs get, how long samples wait, and what a pack costs."""
    begin = time.perf_counter()
    members, starts = make(lengths, budgets)
    elapsed = time.perf_counter() - begin
    packs, work = len(starts) - 1, [lengths.tokens, lengths.crops]
    used = [values.sum() / most for values, most in zip(work, (budgets.max_tokens, budgets.max_crops))]
    filled = np.add.reduceat(lengths.tokens[members], starts[:-1])
    return (
        f'{used[0] / packs:.2%} | {used[1] / packs:.1%} | {math.ceil(max(used)) / packs:.2%} '
        f'| {np.quantile(filled, 0.01) / budgets.max_tokens:.1%} | {len(members) / packs:.2f} '
        f'| {waits(members, starts, budgets.look_ahead).max()} | {elapsed / packs * 1e6:.0f} |'
    )


def compare(count: int) -> list[str]:
    """How full rows are, a table row a way and budget."""
    rows = []
    for max_tokens, max_crops in BUDGETS:
        lengths = make_lengths(count)
        fits = (lengths.tokens <= max_tokens) & (lengths.crops <= max_crops)
        lengths = Lengths(lengths.tokens[fits], lengths.crops[fits])
        in_batches = lengths.tokens[: fits.sum() // MICROBATCH * MICROBATCH].reshape(-1, MICROBATCH)
        padded = in_batches.sum() / (in_batches.max(axis=1) * MICROBATCH).sum()
        title = f'| {max_tokens}, {max_crops}'
        full, full_crops = lengths.tokens.mean() / max_tokens, lengths.crops.mean() / max_crops
        rows.append(
            f'{title} | one example a row, padded to the full row | {full:.2%} | {full_crops:.1%} | | | 1 | | |'
        )
        rows.append(f'{title} | one example a row, {MICROBATCH} rows padded alike | {padded:.2%} | | | | 1 | | |')
        buffer = Budgets(max_tokens, max_crops, FIRST_FIT_BUFFER)
        rows.append(f'{title} | first fit over {FIRST_FIT_BUFFER} | {describe(lengths, buffer, first_fit)}')
        for places in (FIRST_FIT_BUFFER, LOOK_AHEAD, 1024):
            pool = Budgets(max_tokens, max_crops, places)
            planned = describe(lengths, pool, lambda own, budgets: best_fit(own.tokens, own.crops, budgets))
            rows.append(f'{title} | best fit over {places} | {planned}')
    return rows


def plan(lengths: Lengths) -> Plan:
    """A plan of five streams that have these lengths together."""
    count = len(lengths.tokens)
    ends = [0, count // 2, count * 3 // 4, count * 7 // 8, count * 15 // 16, count]
    parts = [Lengths(lengths.tokens[start:end], lengths.crops[start:end]) for start, end in zip(ends, ends[1:])]
    sizes = [len(part.tokens) for part in parts]
    streams = [
        StreamDraws(f'stream {i}', [SHARD] * (size // SHARD) + [size % SHARD], size, 1 << 14)
        for i, size in enumerate(sizes)
    ]
    return make_plan(streams, parts, Budgets(*BUDGETS[0]), seed=0, epoch=0)


def cost_of_plan(count: int) -> str:
    """A table row; to be run in a process of its own, for its memory is looked at."""
    lengths = make_lengths(count)
    begin = time.perf_counter()
    planned = plan(lengths)
    elapsed = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        f'| {count:,} | {len(planned):,} | {elapsed:.1f} | {elapsed / count * 1e6:.2f} '
        f'| {elapsed / len(planned) * 1e6:.0f} | {peak:.2f} |'
    )


def balance(count: int) -> list[str]:
    """Most crops of a rank against the mean, with packs as planned and as dealt; a table row a batch size."""
    planned, rows = plan(make_lengths(count)), []
    for batch, ranks in BATCHES:
        ratios: dict[str, list[float]] = {'crops, in order': [], 'crops': [], 'tokens': []}
        for start in range(0, len(planned) - batch, batch):
            tokens, crops = planned.tokens[start : start + batch], planned.crops[start : start + batch]
            dealt = deal(tokens, crops)
            for name, work in zip(ratios, (crops, crops[dealt], tokens[dealt])):
                of_ranks = work.reshape(ranks, -1).sum(axis=1)
                ratios[name].append(of_ranks.max() / of_ranks.mean())
        means = ' | '.join(f'{np.mean(values):.4f}' for values in ratios.values())
        rows.append(f'| {batch} | {ranks} | {means} | {max(ratios["crops"]):.4f} |')
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--samples', type=int, default=100_000, help='lengths that packs are made of')
    parser.add_argument('--plans', type=int, nargs='+', default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument('--out', type=Path, help='write the tables to this file too')
    arguments = parser.parse_args()

    kinds = ', '.join(f'{share:.0%} {kind}' for kind, share in KINDS.items())
    lengths = make_lengths(arguments.samples)
    lines = [
        '# Planned packing',
        '',
        f'{date.today()}, {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, one core. '
        f'Lengths: {kinds}; on average {lengths.tokens.mean():.0f} tokens and {lengths.crops.mean():.1f} crops.',
        '',
        f'## {arguments.samples:,} samples into packs',
        '',
        '| tokens, crops of a pack | way | token utilization | crop utilization | fewest packs possible / packs '
        '| tokens of the 1 % emptiest | examples a pack | longest wait, packs | µs a pack |',
        '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
        *compare(arguments.samples),
        '',
        f'## The plan of an epoch, packs of {BUDGETS[0][0]} tokens and {BUDGETS[0][1]} crops',
        '',
        '| samples | packs | seconds | µs a sample | µs a pack | peak memory, GiB |',
        '| ---: | ---: | ---: | ---: | ---: | ---: |',
    ]
    spawn = multiprocessing.get_context('spawn')
    for count in arguments.plans:
        with spawn.Pool(1) as pool:
            lines.append(pool.apply(cost_of_plan, (count,)))
    lines += [
        '',
        '## Most crops (tokens) of a rank against the mean of the ranks',
        '',
        '| packs of a global batch | ranks | crops, packs in order | crops, packs dealt | tokens, packs dealt '
        '| crops of the worst batch |',
        '| ---: | ---: | ---: | ---: | ---: | ---: |',
        *balance(arguments.samples),
    ]
    report = '\n'.join(lines) + '\n'
    print(report)
    if arguments.out:
        arguments.out.write_text(report)


if __name__ == '__main__':
    main()
