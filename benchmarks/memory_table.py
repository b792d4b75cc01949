# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The memory table of docs/training.md, computed from the presets: no GPU, no weights.

    python benchmarks/memory_table.py [--rows 4] [--tokens 9216] [--crops 52] [--gpu-gb 80]

Under FSDP2 with float32 weights, bfloat16 compute and AdamW, a rank holds, in bytes:

- state: 4 (weight) + 4 (gradient) + 8 (moments) for each trained parameter and 4 for each frozen one, over all ranks;
- gathered: 2 for each parameter of the two largest units, the one that computes and the one fetched ahead, and of the
  root (embeddings and head), which is never released; 4 for each of their gradients before these are scattered;
- activations of a microbatch: with recomputation, the input of every block and all of one block's; without, all of
  every block's. Counted by hand from `model.decoder` and `model.vit`, checked against what autograd keeps of a small
  model (`tests/train/test_memory_table.py`); logits by the chunk of `model.loss`.

Allocator slack and communication buffers come on top; the last column takes 85 % of a GPU as usable.
"""

import argparse
from dataclasses import dataclass

import torch

from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.loss import CHUNK_POSITIONS
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.presets import build_config
from molmo_foundry.train.freezing import apply_freezing
from molmo_foundry.train.lora import LoraSettings, add_lora

GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
USABLE = 0.85
ROWS = (
    ('MolmoE-1B', 'olmoe', 'openai', False),
    ('Molmo-7B-O', 'olmo_1024_preview', 'openai', False),
    ('Molmo-7B-D', 'qwen2_7b', 'openai', False),
    ('Molmo-7B-D, SigLIP', 'qwen2_7b', 'siglip', False),
    ('Molmo-7B-D, LoRA of rank 16', 'qwen2_7b', 'openai', True),
    ('Molmo-72B', 'qwen2_72b', 'openai', False),
    ('Molmo-72B, LoRA of rank 16', 'qwen2_72b', 'openai', True),
)
"""Name, presets, and whether all is frozen but low-rank updates of the language model."""


@dataclass(frozen=True)
class Sizes:
    """Parameters of a model.

    Attributes:
        total: All.
        trained: Those with gradients.
        unit: Of the largest unit of sharding.
        root: Outside of units.
    """

    total: int
    trained: int
    unit: int
    root: int


def sizes_of(config: MolmoConfig, lora: bool) -> Sizes:
    """Counts parameters on the meta device, as sharded by `fsdp_wrap_fn`."""
    with torch.device('meta'):
        model = MolmoForCausalLM(config)
    apply_freezing(model, freeze=('vit', 'connector') if lora else ())
    if lora:
        add_lora(model, LoraSettings(rank=16))
    units = [
        sum(p.numel() for p in m.parameters()) for m in model.modules() if m is not model and model.fsdp_wrap_fn(m)
    ]
    parameters = list(model.parameters())
    total = sum(p.numel() for p in parameters)
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    return Sizes(total, trained, max(units), total - sum(units))


def activation_bytes(config: MolmoConfig, rows: int, tokens: int, crops: int, *, recompute: bool) -> float:
    """Bytes kept for the backward pass of one microbatch in bfloat16, with `sdpa` attention.

    Args:
        config (MolmoConfig): The model.
        rows (int): Of the microbatch.
        tokens (int): Of all rows together.
        crops (int): Likewise.
        recompute (bool): Whether blocks are recomputed.
    """
    vision = config.vision
    patches = crops * _patches(config)
    vit_layers = max(layer % vision.num_hidden_layers for layer in config.connector.vit_layers) + 1
    if recompute:
        kept = config.num_hidden_layers * tokens * config.hidden_size + vit_layers * patches * vision.hidden_size
        kept += block_bytes(config, rows, tokens, crops) / 2
    else:
        llm_block, vit_block = _blocks(config, rows, tokens, crops)
        kept = config.num_hidden_layers * llm_block + vit_layers * vit_block
    pooled = crops * config.pooled_grid[0] * config.pooled_grid[1]
    features = patches * vision.hidden_size * len(config.connector.vit_layers)
    connector = 2 * features + pooled * (4 * vision.hidden_size + 4 * (config.intermediate_size // 2))
    ends = patches * vision.patch_pixels + 4 * tokens * config.hidden_size  # pixels; the last norm and its result
    return 2 * (kept + connector + ends) + logit_bytes(config)


def block_bytes(config: MolmoConfig, rows: int, tokens: int, crops: int) -> int:
    """Bytes that the larger kind of block keeps for its backward pass; arguments as above."""
    return 2 * max(_blocks(config, rows, tokens, crops))


def _blocks(config: MolmoConfig, rows: int, tokens: int, crops: int) -> tuple[int, int]:
    """Numbers that a decoder and a ViT block keep, in units of a bfloat16."""
    vision, inner = config.vision, config.intermediate_size // 2 * (config.moe_top_k or 1)
    # Two norms' inputs in float32 (4) and results (2), queries, keys and values of every head (3), attention's output,
    # what it adds and what the feed-forward part does (3); up, gate and their product; the mask, once a block.
    llm = tokens * (12 * config.hidden_size + 3 * inner) + tokens**2 // rows
    # Two norms (4), attention (4); before, within and after the activation.
    return llm, crops * _patches(config) * (8 * vision.hidden_size + 3 * vision.intermediate_size)


def _patches(config: MolmoConfig) -> int:
    """Positions that the vision tower sees of a crop."""
    return config.vision.patch_grid[0] * config.vision.patch_grid[1] + config.vision.num_prefix_tokens


def logit_bytes(config: MolmoConfig) -> int:
    """Float32 logits, softmax and gradient of one chunk of positions."""
    return 3 * 4 * CHUNK_POSITIONS * config.embedding_size


def rank_bytes(sizes: Sizes, activations: float, ranks: int) -> float:
    """Bytes of one of ``ranks`` GPUs; a single one holds no gathered copies, but autocast's."""
    state = (16 * sizes.trained + 4 * (sizes.total - sizes.trained)) / ranks
    gathered = 2 * (2 * sizes.unit + sizes.root)
    gathered += 4 * (sizes.unit + sizes.root) * sizes.trained / sizes.total
    return state + activations + gathered


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rows', type=int, default=4, help='rows of a microbatch')
    parser.add_argument('--tokens', type=int, default=4 * 2304, help='tokens of a microbatch (4 rows of 2304)')
    parser.add_argument(
        '--crops', type=int, default=4 * 13, help='crops of a microbatch (12 tiles and the whole, 4 times)'
    )
    parser.add_argument('--gpu-gb', type=float, default=80)
    options = parser.parse_args()
    shown = [1, 8, 64]
    print('| model | parameters (B) | state (GB) | activations, recomputed / kept (GB) |', end='')
    print(''.join(f' {n} GPU{"s" * (n > 1)} (GB each) |' for n in shown), f'fewest GPUs of {options.gpu_gb:.0f} GB |')
    print('| --- ' * (5 + len(shown)) + '|')
    for name, llm, vit, lora in ROWS:
        config = build_config(llm, vit)
        sizes = sizes_of(config, lora)
        recomputed, kept = (
            activation_bytes(config, options.rows, options.tokens, options.crops, recompute=value)
            for value in (True, False)
        )
        state = 16 * sizes.trained + 4 * (sizes.total - sizes.trained)
        each = [rank_bytes(sizes, recomputed, n) for n in shown]
        fewest = next((n for n in GPUS if rank_bytes(sizes, recomputed, n) < USABLE * options.gpu_gb * 1e9), None)
        cells = [
            name,
            f'{sizes.total / 1e9:.2f}',
            f'{state / 1e9:.0f}',
            f'{recomputed / 1e9:.0f} / {kept / 1e9:.0f}',
            *(f'{value / 1e9:.0f}' for value in each),
            f'{fewest}',
        ]
        print('| ' + ' | '.join(cells) + ' |')


if __name__ == '__main__':
    main()
