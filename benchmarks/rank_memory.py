# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What one rank of Molmo-7B-D holds under FSDP2, part by part, and the same count against two real ranks.

The count is that of `memory_table.py`. What can be measured on a CPU is measured: two processes shard a small model as
training does (FSDP2 over gloo, bfloat16 compute, float32 weights and reductions), take a step of AdamW and add up the
bytes of the tensors they hold: shards, gradients, moments, and parameters gathered at any time.

    python benchmarks/rank_memory.py
"""

import argparse
import multiprocessing
import platform
import tempfile
from datetime import date
from typing import Any

import torch
import torch.distributed as dist
from memory_table import activation_bytes, logit_bytes, sizes_of
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.presets import build_config
from molmo_foundry.train.freezing import apply_freezing

GPUS = (8, 64)
ROWS, TOKENS, CROPS = 1, 16384, 160
"""A packed row."""

WORLD_SIZE = 2
SMALL: dict[str, Any] = {
    'hidden_size': 256,
    'intermediate_size': 1024,
    'num_hidden_layers': 6,
    'vision': {'hidden_size': 128, 'intermediate_size': 512},
}
"""What the measured model has of its own beside the tiny presets."""

TOLERANCE = 0.001
"""FSDP2 rounds shards up to whole rows, of which the first ranks hold one more."""


def state_parts(config: MolmoConfig, ranks: int) -> dict[str, float]:
    """Bytes of a rank whatever the batch: a part a key.

    Args:
        config (MolmoConfig): The model.
        ranks (int): That it is sharded over.
    """
    sizes = sizes_of(config, lora=False)
    return {
        'weights': 4 * sizes.total / ranks,
        'gradients': 4 * sizes.trained / ranks,
        'moments': 8 * sizes.trained / ranks,
        'gathered': 2.0 * (sizes.unit + sizes.root),
    }


def all_parts(config: MolmoConfig, ranks: int, *, recompute: bool) -> dict[str, float]:
    """Bytes of a rank that trains on one packed row: `state_parts` and what a batch takes.

    Args:
        config (MolmoConfig): The model.
        ranks (int): That it is sharded over.
        recompute (bool): Whether blocks are recomputed in the backward pass.
    """
    sizes = sizes_of(config, lora=False)
    logits = logit_bytes(config)
    return {
        **state_parts(config, ranks),
        'fetched ahead': 2.0 * sizes.unit,
        'gradients before they are scattered': 4 * (sizes.unit + sizes.root) * sizes.trained / sizes.total,
        'activations': activation_bytes(config, ROWS, TOKENS, CROPS, recompute=recompute) - logits,
        'logits of a chunk': logits,
    }


def shard(model: MolmoForCausalLM) -> None:
    """Shards as a recipe does."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for module in model.modules():
        if model.fsdp_wrap_fn(module):
            fully_shard(module, mp_policy=policy)
    fully_shard(model, mp_policy=policy)


def whole_bytes(model: nn.Module) -> int:
    """Bytes of the parameters that are gathered now."""
    return sum(p.nbytes for p in model.parameters() if not isinstance(p, DTensor))


def measured_parts(rank: int, folder: str, overrides: dict[str, Any]) -> dict[str, int]:
    """Bytes that this rank holds after a step; gathered ones at most, during it."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=WORLD_SIZE)
    torch.manual_seed(0)
    model = MolmoForCausalLM(build_config('tiny', 'tiny', **overrides))
    apply_freezing(model)
    shard(model)
    gathered = [0]
    for module in model.modules():
        module.register_forward_hook(lambda *_: gathered.append(whole_bytes(model)))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    model(**small_batch(model.config)).loss.backward()
    optimizer.step()
    parameters: list[Any] = list(model.parameters())
    moments = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, DTensor)]
    parts = {
        'weights': sum(p.to_local().nbytes for p in parameters),
        'gradients': sum(p.grad.to_local().nbytes for p in parameters if p.grad is not None),
        'moments': sum(moment.to_local().nbytes for moment in moments),
        'gathered': max(gathered),
    }
    dist.destroy_process_group()
    return parts


def small_batch(config: MolmoConfig) -> dict[str, Any]:
    """A row of 64 tokens with two crops."""
    patches = config.vision.patch_grid[0] * config.vision.patch_grid[1]
    pooled = config.pooled_grid[0] * config.pooled_grid[1]
    ids = torch.arange(64)[None]
    return {
        'input_ids': ids,
        'labels': ids,
        'images': torch.rand(2, patches, config.vision.patch_pixels),
        'image_masks': torch.ones(2, patches),
        'image_input_idx': torch.arange(2 * pooled).view(2, pooled),
        'crop_counts': [2],
    }


def measure(overrides: dict[str, Any]) -> dict[str, int]:
    """`measured_parts` of the fullest of `WORLD_SIZE` processes, by part."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = [(rank, folder, overrides) for rank in range(WORLD_SIZE)]
        with multiprocessing.get_context('spawn').Pool(WORLD_SIZE) as pool:
            ranks = pool.starmap(measured_parts, jobs, chunksize=1)
    return {part: max(rank[part] for rank in ranks) for part in ranks[0]}


def main() -> None:
    """Prints the tables of docs/benchmarks.md."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f'{date.today()}, {platform.machine()}, torch {torch.__version__}.\n')
    config = build_config('qwen2_7b', 'openai')
    columns = [(ranks, recompute) for ranks in GPUS for recompute in (True, False)]
    counts = [all_parts(config, ranks, recompute=recompute) for ranks, recompute in columns]
    heads = [f'{ranks} GPUs, {"recomputed" if recompute else "kept"}' for ranks, recompute in columns]
    print(f'| GB of a rank | {" | ".join(heads)} |\n| --- |{" ---: |" * len(heads)}')
    for part in counts[0]:
        print(f'| {part} | {" | ".join(f"{count[part] / 1e9:.1f}" for count in counts)} |')
    print(f'| all | {" | ".join(f"**{sum(count.values()) / 1e9:.1f}**" for count in counts)} |\n')
    expected, found = state_parts(build_config('tiny', 'tiny', **SMALL), WORLD_SIZE), measure(SMALL)
    print(f'| kB of one of {WORLD_SIZE} ranks | calculated | measured | ratio |\n| --- | ---: | ---: | ---: |')
    for part, value in expected.items():
        print(f'| {part} | {value / 1e3:.1f} | {found[part] / 1e3:.1f} | {found[part] / value:.4f} |')


if __name__ == '__main__':
    main()
