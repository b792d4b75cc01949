# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The models and the ways to train them that `gpu_step.py` measures."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Size:
    """A model and its rows.

    Attributes:
        llm: Preset of the language model.
        vit: Preset of the vision tower.
        overrides: Of the presets.
        bf16_state: Whether weights, gradients and moments are bfloat16, or float32 under autocast.
        scale: Tokens of real data to those of this model; see `mixture`.
        packs: Tokens and crops of packed rows.
        padded: Tokens of a row with one example.
        padded_rows: Of a microbatch.
        warm_up: Steps before the clock runs; compiled blocks come to know the shapes in them.
        steps: That are timed.
        prompt: Tokens before decoding.
        new: Tokens that are decoded.
        experts: Preset whose experts are measured, and overrides.
        expert_tokens: That go to them.
        product: Edge of the square matrix product that shows what the device reaches.
    """

    llm: str
    vit: str
    overrides: dict[str, Any]
    bf16_state: bool
    scale: int
    packs: tuple[tuple[int, int], ...]
    padded: int
    padded_rows: int
    warm_up: int
    steps: int
    prompt: int
    new: int
    experts: tuple[str, dict[str, Any]]
    expert_tokens: int
    product: int


_REAL: dict[str, Any] = {
    'vit': 'openai',
    'overrides': {},
    'scale': 1,
    'packs': ((4096, 48), (8192, 80)),
    'padded': 2304,
    'padded_rows': 4,
    'warm_up': 3,
    'steps': 8,
    'prompt': 1024,
    'new': 128,
    'experts': ('olmoe', {}),
    'expert_tokens': 16384,
    'product': 8192,
}
SIZES = {
    'toy': Size(
        llm='tiny',
        vit='tiny',
        overrides={'vision': {'max_crops': 12}},
        bf16_state=False,
        scale=9,
        packs=((256, 32), (512, 48)),
        padded=256,
        padded_rows=2,
        warm_up=1,
        steps=2,
        prompt=16,
        new=4,
        experts=('tiny', {'moe_num_experts': 4, 'moe_top_k': 2}),
        expert_tokens=64,
        product=256,
    ),
    '1b': Size(llm='smollm2_1_7b', bf16_state=False, **_REAL),
    '7b': Size(llm='qwen2_7b', bf16_state=True, **_REAL),
}


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        row: Which of `Size.packs`; None: one example a row, all padded to `Size.padded`.
        attention: ``flex`` or ``sdpa``.
        compiled: Whether blocks are compiled.
        recompute: Blocks that are recomputed: ``all``, ``llm``, ``vit``, or None.
        every: Of these, the first of every so many.
    """

    row: int | None
    attention: str = 'flex'
    compiled: bool = True
    recompute: str | None = 'all'
    every: int = 1

    def describe(self, size: Size) -> str:
        """Its columns of the table."""
        rows = (
            f'{size.padded_rows} padded to {size.padded}' if self.row is None else f'packed {size.packs[self.row][0]}'
        )
        blocks = 'none' if self.recompute is None else self.recompute + (f', 1 in {self.every}' * (self.every > 1))
        return f'{rows} | {self.attention} | {"yes" if self.compiled else "no"} | {blocks}'


ARMS = (
    Arm(None, 'sdpa', compiled=False),
    Arm(None, 'sdpa'),
    Arm(0, 'sdpa'),
    Arm(1, 'sdpa'),
    Arm(0),
    Arm(1),
    Arm(1, compiled=False),
    Arm(1, recompute='llm'),
    Arm(1, recompute='all', every=2),
    Arm(1, recompute=None),
    Arm(0, recompute='vit'),
    Arm(0, recompute=None),
)
