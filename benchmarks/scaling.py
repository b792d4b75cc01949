# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A step's time on 8 to 1024 GPUs, on paper, and the settings that make it shortest.

    python benchmarks/scaling.py

A step is microbatches of packed rows, then AdamW. A microbatch computes at the hardware's assumed utilization; FSDP2
gathers each unit in bfloat16 in the forward and again in the backward pass and scatters its float32 gradients, beside
the computing of others, so that only what takes longer than that shows, and the root's unit, which nothing hides. With
HSDP groups of ranks hold a whole model, and gradients are summed over groups as well. What a rank may hold is
`memory_table.py`'s count. All that is assumed stands at the top; nothing here was measured on a GPU.
"""

import argparse
from dataclasses import dataclass
from itertools import product
from typing import Iterable, Iterator, Sequence

from memory_table import Sizes, activation_bytes, rank_bytes, sizes_of

from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.flops import FlopCount, count_flops
from molmo_foundry.model.presets import build_config

PEAK = 989.5e12
"""bfloat16 FLOPs a second of an H100 SXM, dense (datasheet)."""
GPU_BYTES, USABLE = 80e9, 0.85
"""Memory of a GPU, and the share that tensors may take."""
HBM, NVLINK, NIC = 3.35e12, 450e9, 50e9
"""Bytes a second of a GPU's memory, of its NVLink in one direction, of its share of InfiniBand NDR (datasheets)."""
REACHED = 0.8
"""Share of these bandwidths that is reached. Assumed."""
NODE = 8
"""GPUs of a node."""
NVLINK_HOP, NETWORK_HOP = 3.4e-6, 14e-6
"""Seconds of a step of a ring, within and between nodes: NCCL's own cost model (src/graph/tuning.cc, ring, simple)."""

KEPT, RECOMPUTED = 0.42, 0.48
"""Share of the peak that the hardware reaches while it computes, without and with recomputation, which counts here.
MPT-7B on 8 H100 comes to 46 % and 54 % (LLM-Foundry's scripts/train/benchmarking); a tenth off for the ViT's odd shapes
is assumed."""
MODELS = {
    'MolmoE-1B': ('olmoe', 'openai', 0.6),
    'Molmo-7B-D': ('qwen2_7b', 'openai', 1.0),
    'Molmo-72B': ('qwen2_72b', 'openai', 1.0),
}
"""Presets, and the share of the above that is reached: experts' small products are assumed to lose 40 %."""

TOKENS, PAIRS, CROPS, POOLED, LOSS_TOKENS, IMAGES = 1096, 667e3, 8.2, 775, 241, 0.85
"""Of an example on average: `mixture.py`'s first 300."""
PACKS = {16384: (160, 0.993), 8192: (80, 0.991), 4096: (48, 0.983)}
"""Crops and share of real tokens of a row by its tokens: what `packing.py` plans less the 0.6 % that prompts vary."""
IMBALANCE = {1: 1.17, 2: 1.037, 4: 1.014, 8: 1.006, 16: 1.003}
"""Crops of the fullest rank over the mean, by rows of a rank and step: `packing.py`, packs dealt."""
BATCH_TOKENS = 128 * 16384
"""Of a step: the 128 packed rows of Molmo 2. It grows only where each GPU would get less than the shortest row."""

WORKER_IMAGES, MARGIN = 86, 2
"""Images a second of one loader process (`loader.py`), and how many times what a GPU takes should be ready."""
COLUMNS = (
    *('model', 'GPUs', 'sharded over', 'row', 'rows x microbatches', 'blocks', 'tokens a step, M', 's', 'compute'),
    *('exposed', 'AdamW', 'images/s', 'of a GPU', 'the same sharded over all', 'MFU', 'GB', 'workers a GPU'),
)
GROUPS = (8, 16, 32, 64, 128)
"""GPUs that may hold a model together, beside all."""
GPUS = (8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Settings:
    """How a model is trained.

    Attributes:
        gpus: All of them.
        group: GPUs that hold a model together; fewer than all is HSDP.
        row_tokens: Length of a packed row.
        rows: Of a microbatch.
        microbatches: Of a rank's step.
        recompute: Whether blocks are recomputed.
    """

    gpus: int
    group: int
    row_tokens: int
    rows: int
    microbatches: int
    recompute: bool


@dataclass(frozen=True)
class Step:
    """Seconds of a step, and what comes of it.

    Attributes:
        compute: Forward and backward passes, with the wait for the rank that has most crops.
        exposed: Communication that no computing hides.
        optimizer: AdamW's pass over a rank's shard.
        images: A second and GPU.
        mfu: Model FLOPs over the peak.
        memory: Bytes of a rank.
    """

    compute: float
    exposed: float
    optimizer: float
    images: float
    mfu: float
    memory: float

    @property
    def seconds(self) -> float:
        """All together."""
        return self.compute + self.exposed + self.optimizer


def ring_seconds(size: float, ranks: int) -> float:
    """An all-gather or reduce-scatter of ``size`` bytes over ``ranks`` GPUs of as few nodes as possible."""
    nodes = -(-ranks // NODE)
    within = size * (ranks - 1) / ranks / (REACHED * NVLINK)
    between = size * (nodes - 1) / nodes / (REACHED * NIC * min(ranks, NODE))
    return max(within, between) + (nodes - 1) * NETWORK_HOP + (ranks - nodes) * NVLINK_HOP


def replica_seconds(size: float, replicas: int) -> float:
    """An all-reduce of ``size`` bytes of each GPU with its like in ``replicas`` groups, over the network."""
    return 2 * (size * (replicas - 1) / replicas / (REACHED * NIC) + (replicas - 1) * NETWORK_HOP)


def row_flops(config: MolmoConfig, row_tokens: int) -> FlopCount:
    """FLOPs of a packed row of average examples."""
    examples = row_tokens * PACKS[row_tokens][1] / TOKENS
    lengths = {'tokens': TOKENS, 'pairs': PAIRS, 'loss_tokens': LOSS_TOKENS, 'crops': CROPS, 'pooled_tokens': POOLED}
    return count_flops(config, **{name: round(examples * length) for name, length in lengths.items()})


def step_of(config: MolmoConfig, sizes: Sizes, settings: Settings, reached: float) -> Step:
    """A step's time.

    Args:
        config (MolmoConfig): The model.
        sizes (Sizes): Its parameters.
        settings (Settings): How it is trained.
        reached (float): Share of `KEPT` or `RECOMPUTED`; see `MODELS`.
    """
    flops, n = row_flops(config, settings.row_tokens), settings.group
    forward = settings.rows * flops.forward / (reached * (RECOMPUTED if settings.recompute else KEPT) * PEAK)
    backward = (3 if settings.recompute else 2) * forward
    rank_rows = settings.rows * settings.microbatches
    waiting = 1 + (IMBALANCE[min(16, 1 << rank_rows.bit_length() - 1)] - 1) * flops.vit / flops.forward

    in_units = sizes.total - sizes.root
    units = in_units / sizes.unit  # as many as if all were as large as the largest
    gather, scatter = (units * ring_seconds(bytes_each * sizes.unit, n) for bytes_each in (2, 4))
    across = replica_seconds(4 * sizes.trained / n, settings.gpus // n)
    hidden = max(0, gather - forward) + max(0, gather + scatter + across - backward)
    root = ring_seconds(2 * sizes.root, n) + ring_seconds(4 * sizes.root * sizes.trained / sizes.total, n)

    compute = settings.microbatches * (forward + backward) * waiting
    exposed = settings.microbatches * (hidden + root)
    optimizer = 28 * sizes.trained / n / (REACHED * HBM)
    seconds = compute + exposed + optimizer
    crops, used = PACKS[settings.row_tokens]
    activations = activation_bytes(
        config,
        settings.rows,
        settings.rows * settings.row_tokens,
        settings.rows * crops,
        recompute=settings.recompute,
    )
    return Step(
        compute=compute,
        exposed=exposed,
        optimizer=optimizer,
        images=rank_rows * settings.row_tokens * used / TOKENS * IMAGES / seconds,
        mfu=rank_rows * flops.training_step / (seconds * PEAK),
        memory=rank_bytes(sizes, activations, n),
    )


def candidates(gpus: int, groups: Sequence[int]) -> Iterator[Settings]:
    """Settings that keep to the size of a step, for some sizes of the groups that hold a model together."""
    most = max(BATCH_TOKENS, gpus * min(PACKS))
    for group, row_tokens, rows, recompute in product(groups, PACKS, (1, 2, 4), (False, True)):
        microbatches = most // (gpus * rows * row_tokens)
        if microbatches and group <= gpus:
            yield Settings(gpus, group, row_tokens, rows, microbatches, recompute)


def best(
    config: MolmoConfig, sizes: Sizes, reached: float, settings: Iterable[Settings]
) -> tuple[Settings, Step] | None:
    """The settings with most images a second among those that fit into a GPU; None if none does."""
    timed = [(one, step_of(config, sizes, one, reached)) for one in settings]
    fitting = [(one, step) for one, step in timed if step.memory <= USABLE * GPU_BYTES]
    return max(fitting, key=lambda pair: round(pair[1].images, 2), default=None)


def workers(images: float) -> int:
    """Loader processes of a GPU that takes ``images`` a second."""
    return max(1, -(-int(MARGIN * images) // WORKER_IMAGES))


def main() -> None:
    """Prints the table of docs/benchmarks.md."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f'| {" | ".join(COLUMNS)} |\n| --- |{" ---: |" * (len(COLUMNS) - 1)}')
    for name, (llm, vit, reached) in MODELS.items():
        config = build_config(llm, vit)
        sizes = sizes_of(config, lora=False)
        for gpus in GPUS:
            found = best(config, sizes, reached, candidates(gpus, sorted({*GROUPS, gpus})))
            if found is None:
                print(f'| {name} | {gpus} | does not fit |{" |" * (len(COLUMNS) - 3)}')
                continue
            everywhere = best(config, sizes, reached, candidates(gpus, [gpus]))
            (settings, step), alone = found, f'{everywhere[1].images:.2f}' if everywhere else ''
            tokens = gpus * settings.rows * settings.microbatches * settings.row_tokens
            values = [
                *(name, gpus, settings.group, settings.row_tokens, f'{settings.rows} x {settings.microbatches}'),
                *('recomputed' if settings.recompute else 'kept', f'{tokens / 1e6:.1f}', f'{step.seconds:.2f}'),
                *(f'{step.compute:.2f}', f'{step.exposed:.3f}', f'{step.optimizer:.3f}', f'{gpus * step.images:.0f}'),
                *(f'{step.images:.2f}', alone, f'{step.mfu:.1%}', f'{step.memory / 1e9:.0f}', workers(step.images)),
            ]
            print('| ' + ' | '.join(map(str, values)) + ' |')


if __name__ == '__main__':
    main()
