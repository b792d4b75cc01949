# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Examples a second of training on one core: from the public code's way, one measure after another, to this package's.

The same examples make up one step in every way, a global batch in microbatches, and no table is printed unless all ways
come to the same loss and gradient. The first way does what the public code does, in this package's modules: each
row padded to the longest sequence and to the most crops there may be, blank crops going through tower and connector,
and float32 logits of all positions. Attention is the same everywhere, and the time to make batches is not in it.

    OMP_NUM_THREADS=1 python benchmarks/training_step.py

Other work on the machine hardly counts in processor time, which the ratios are of; wall time stands beside it.
"""

import argparse
import platform
import time
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Callable, Sequence

import torch
from loss_memory import Z_SCALE, full_logits
from mixture import Batch, make_examples, make_inputs, make_preprocessor, pad_tokens, plan_rows
from torch import Tensor

from molmo_foundry.data.collator import collate
from molmo_foundry.data.packing.best_fit import Budgets
from molmo_foundry.data.packing.rows import join
from molmo_foundry.model.composer_model import ComposerMolmo
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.flops import count_flops
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.types import IGNORED_SLOT, ModelInputs

MAX_CROPS = 13
IGNORED_LABEL = -100
SHOWN = 0.015
"""Share of a step from which on a profile names an operation."""

TOLERANCE = 1e-4
"""Relative difference of losses and gradients' norms that float32 sums in another order may have."""


@dataclass(frozen=True)
class Size:
    """A model and what it is trained on.

    Attributes:
        llm: Preset of the language model.
        vit: Preset of the vision tower.
        overrides: Of the presets.
        scale: Tokens of real data to those of this model; see `mixture`.
        max_tokens: Of a row, 2304 in real data.
        rows: Of a microbatch.
        examples: Of a step.
        rounds: Steps that are timed.
    """

    llm: str
    vit: str
    overrides: dict[str, Any]
    scale: int
    max_tokens: int
    rows: int
    examples: int
    rounds: int


SIZES = {
    'tiny': Size('tiny', 'tiny', {'vision': {'max_crops': MAX_CROPS - 1}}, 9, 256, 4, 64, 3),
    '100m': Size(
        'smollm2_135m',
        'openai',
        {
            'num_hidden_layers': 8,
            'vision': {
                'hidden_size': 384,
                'intermediate_size': 1536,
                'num_hidden_layers': 6,
                'num_attention_heads': 6,
                'head_dim': 64,
            },
            'connector': {'vit_layers': (-1, -3)},
        },
        1,
        2304,
        2,
        8,
        1,
    ),
}


@dataclass(frozen=True)
class Way:
    """How a step is made of examples.

    Attributes:
        name: Of the table's row.
        full_rows: Whether rows without a neighbour are padded to the longest there may be, or to their microbatch's.
        blank_crops: Whether rows are padded to the most crops, all of which go through tower and connector.
        packed: Whether examples share rows.
        every_logit: Whether logits are made of all positions, or of those with a loss.
        compiled: Whether blocks are compiled.
    """

    name: str
    full_rows: bool = False
    blank_crops: bool = False
    packed: bool = False
    every_logit: bool = False
    compiled: bool = False


WAYS = (
    Way('(a) rows of full size, blank crops, all logits', full_rows=True, blank_crops=True, every_logit=True),
    Way('(b) ragged crops', full_rows=True, every_logit=True),
    Way('(c) and packed rows', packed=True, every_logit=True),
    Way('(d) and logits where there is a loss', packed=True),
    Way('(e) and compiled blocks', packed=True, compiled=True),
    Way('(d) without packing, padded to the longest of a microbatch'),
)


@dataclass
class Result:
    """What a way came to.

    Attributes:
        loss: Of the first step.
        gradient_norm: Likewise.
        cpu: Seconds of processor time of each step.
        wall: Seconds of wall time likewise.
    """

    loss: float = 0.0
    gradient_norm: float = 0.0
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def build(size: Size, way: Way) -> ComposerMolmo:
    """The model; every way's has the same weights."""
    torch.manual_seed(0)
    config = build_config(size.llm, size.vit, **size.overrides)
    model = ComposerMolmo(MolmoForCausalLM(config), z_loss_weight=Z_SCALE, compile_blocks=way.compiled).train()
    if way.blank_crops:
        project_every_slot(model.model)
    return model


def project_every_slot(model: Any) -> None:
    """Makes the connector pool and project all slots of all crops, whether or not a token shows them."""
    backbone = model.model.vision_backbone
    ragged: Callable[..., Tensor] = backbone.forward
    rows, cols = model.config.pooled_grid

    def forward(images: Tensor, masks: Any, slots: Tensor) -> Tensor:
        return ragged(images, masks, torch.arange(len(images) * rows * cols))[slots]

    backbone.forward = forward


def make_batches(size: Size, way: Way, inputs: Sequence[ModelInputs]) -> list[Batch]:
    """The examples of a step as microbatches."""
    plan = plan_rows(inputs, Budgets(size.max_tokens)) if way.packed else [[i] for i in range(len(inputs))]
    rows = [join([inputs[i] for i in row]) for row in plan]
    batches = [collate(rows[start : start + size.rows]) for start in range(0, len(rows), size.rows)]
    if way.full_rows:
        batches = [pad_tokens(batch, size.max_tokens) for batch in batches]
    return [pad_crops(batch) for batch in batches] if way.blank_crops else batches


def pad_crops(batch: Batch) -> Batch:
    """The batch with as many crops in every row as any may have."""
    padded = batch | {'crop_counts': [MAX_CROPS] * len(batch['crop_counts'])}
    for name, value in {'images': 0, 'image_masks': 1, 'image_input_idx': IGNORED_SLOT}.items():
        crops = torch.split(batch[name], batch['crop_counts'])
        blank = [one.new_full((MAX_CROPS - len(one), *one.shape[1:]), value) for one in crops]
        padded[name] = torch.cat([part for pair in zip(crops, blank) for part in pair])
    return padded


def loss_of(model: ComposerMolmo, batch: Batch, every_logit: bool) -> Tensor:
    """Weighted mean of cross-entropy and z-loss of a microbatch."""
    if not every_logit:
        return model(batch).loss
    unlabelled = {key: value for key, value in batch.items() if key not in ('labels', 'loss_weights')}
    molmo: Any = model.model
    decoder = molmo.model.transformer
    hidden = molmo(**unlabelled, logits_to_keep=torch.tensor([0])).hidden_states
    weights = batch['loss_weights']
    labels = batch['labels'].masked_fill(weights <= 0, IGNORED_LABEL)
    return full_logits(hidden * decoder.logit_scale, decoder.head, labels, weights)


def backward(model: ComposerMolmo, batches: Sequence[Batch], every_logit: bool) -> float:
    """Adds up the gradients of a step; returns its loss."""
    total = sum(float(batch['loss_weights'].sum()) for batch in batches)
    mean = 0.0
    for batch in batches:
        loss = loss_of(model, batch, every_logit) * (batch['loss_weights'].sum() / total)
        loss.backward()
        mean += loss.item()
    return mean


def flops(config: MolmoConfig, way: Way, batches: Sequence[Batch]) -> float:
    """FLOPs that a step spends, on padding too; attention multiplies all pairs of a row, as `sdpa` does with a mask."""
    spent = 0.0
    for batch in batches:
        rows, length = batch['input_ids'].shape
        slots = batch['image_input_idx']
        spent += count_flops(
            config,
            tokens=rows * length,
            pairs=rows * length**2,
            loss_tokens=rows * length if way.every_logit else int((batch['loss_weights'] > 0).sum()),
            crops=len(batch['images']),
            pooled_tokens=slots.numel() if way.blank_crops else int((slots >= 0).sum()),
        ).training_step
    return spent


def measure(size: Size, way: Way, inputs: Sequence[ModelInputs], rounds: int) -> Result:
    """Loss and gradient of the first step, and the time of ``rounds`` steps; of compiled blocks, the first is extra."""
    model, batches = build(size, way), make_batches(size, way, inputs)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    result = Result()
    for number in range(rounds + way.compiled):
        cpu, wall = time.process_time(), time.perf_counter()
        optimizer.zero_grad()
        loss = backward(model, batches, way.every_logit)
        if number == 0:
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            result.loss, result.gradient_norm = loss, torch.nn.utils.get_total_norm(gradients).item()
        optimizer.step()
        result.cpu.append(time.process_time() - cpu)
        result.wall.append(time.perf_counter() - wall)
    return result


def check_agreement(results: Sequence[Result]) -> None:
    """Every way must train on the same thing.

    Raises:
        ValueError: If losses or gradients differ by more than `TOLERANCE`.
    """
    for name in ('loss', 'gradient_norm'):
        values = [getattr(result, name) for result in results]
        if max(values) > min(values) * (1 + TOLERANCE):
            raise ValueError(f'The ways differ in {name}, so they cannot be compared: {values}.')


def table(name: str, size: Size, ways: Sequence[Way], examples: int, rounds: int) -> list[str]:
    """The table of a model."""
    config = build_config(size.llm, size.vit, **size.overrides)
    inputs = make_inputs(make_preprocessor(config, size.max_tokens), make_examples(examples, size.scale))
    results = [measure(size, way, inputs, rounds) for way in ways]
    check_agreement(results)
    parameters = sum(p.numel() for p in MolmoForCausalLM(config).parameters()) / 1e6
    tokens, crops = sum(map(len, inputs)), sum(len(one.images) for one in inputs)
    lines = [
        f'### {name}: {parameters:.1f} million parameters',
        '',
        f'{examples} examples a step of {tokens / examples:.0f} tokens and {crops / examples:.1f} crops on average, '
        f'rows of {size.max_tokens} tokens, {size.rows} a microbatch. Loss {results[0].loss:.4f}, norm of the gradient '
        f'{results[0].gradient_norm:.4f}.',
        '',
        '| way | rows | token utilization | TFLOP | s a step | wall | examples/s | | first step, s of wall time |',
        '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    ]
    for way, result in zip(ways, results):
        batches = make_batches(size, way, inputs)
        rows = sum(len(batch['input_ids']) for batch in batches)
        used = tokens / sum(batch['input_ids'].numel() for batch in batches)
        spent, seconds, slowest = flops(config, way, batches) / 1e12, min(result.cpu), min(results[0].cpu)
        lines.append(
            f'| {way.name} | {rows} | {used:.1%} | {spent:.2f} | {seconds:.2f} | {min(result.wall):.2f} '
            f'| {examples / seconds:.3g} | **{slowest / seconds:.2f}x** | {result.wall[0]:.0f} |'
        )
    return lines


def operations(size: Size, way: Way, examples: int) -> list[str]:
    """A table of the operations that take more than `SHOWN` of a step's time, each without what it calls."""
    config = build_config(size.llm, size.vit, **size.overrides)
    inputs = make_inputs(make_preprocessor(config, size.max_tokens), make_examples(examples, size.scale))
    model, batches = build(size, way), make_batches(size, way, inputs)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        backward(model, batches, way.every_logit)
        optimizer.step()
    spent = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    lines = [f'| operation of {way.name} | share of a step |', '| --- | ---: |']
    for name, microseconds in sorted(spent.items(), key=lambda pair: -pair[1]):
        if microseconds > SHOWN * sum(spent.values()):
            lines.append(f'| `{name}` | {microseconds / sum(spent.values()):.1%} |')
    return lines


def main() -> None:
    """Prints the tables of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sizes', nargs='+', choices=SIZES, default=list(SIZES))
    parser.add_argument('--examples', type=int, help='of a step')
    parser.add_argument('--rounds', type=int, help='steps that are timed; the fastest counts')
    parser.add_argument('--profile', action='store_true', help='show the operations of (d) instead')
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f'{date.today()}, one core of {platform.machine()}, Python {platform.python_version()}, torch '
        f'{torch.__version__}, float32, `sdpa`. Seconds of processor time.'
    )
    for name in options.sizes:
        size = SIZES[name]
        examples, rounds = options.examples or size.examples, options.rounds or size.rounds
        lines = operations(size, WAYS[3], examples) if options.profile else table(name, size, WAYS, examples, rounds)
        print('\n' + '\n'.join(lines))


if __name__ == '__main__':
    main()
