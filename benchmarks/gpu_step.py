# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Training steps, decoding and experts on one CUDA GPU; on a CPU the same at toy size.

    PYTHONPATH=. python benchmarks/gpu_step.py --size 7b    # or 1b, or toy; without CUDA it is toy

needs torch and transformers, but neither Composer nor LLM-Foundry. Every row is measured in a process of its own: one
that runs out of memory, or dies, says so in its row. JPEG files are decoded, cut and packed by loader processes while
the GPU computes, as in training.

Tokens and FLOPs are those of real tokens, crops and loss positions, padding left out, so MFU is of useful work only;
recomputation does not count. Parts are timed where one ends and the next begins, by CUDA events; in the backward pass
by the gradients that pass there. Their TFLOP/s stand beside those of one large matrix product on the same device.

How weights are held: `1b` as on one GPU in training, float32 under autocast. At 7B that takes 122 GB of weights,
gradients and moments and 16 GB of autocast's copies, which leaves nothing for activations on 141 GB. So `7b` holds
weights, gradients and moments in bfloat16, 64 GB: its matrix products are those of training, AdamW's traffic is half.
"""

import argparse
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from multiprocessing import get_context
from typing import Any, Callable, Iterator, Sequence

import torch
from gpu_arms import ARMS, SIZES, Arm, Size
from gpu_parts import decoding_rate, device_rates, experts_rate
from mixture import Batch, PackedRows, PaddedRows, Rows, make_examples, make_preprocessor
from step_parts import PARTS, Timeline, watch
from torch.utils.data import DataLoader

from molmo_foundry.data.collator import CROP_TENSORS, ROW_PADDING
from molmo_foundry.data.packing.best_fit import Budgets
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.flops import FlopCount, attended_pairs, count_flops
from molmo_foundry.model.grouped_matmul import IMPLEMENTATIONS
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.types import EXAMPLE_SEGMENT_INCREMENT
from molmo_foundry.train.activation_checkpointing import ActivationCheckpointing, checkpoint_blocks
from molmo_foundry.train.compilation import compile_all_blocks
from molmo_foundry.train.freezing import apply_freezing

PEAK_TFLOPS = 989.5
"""Dense bfloat16 of an H100 or H200 SXM (datasheet)."""

COUNTED = {'ViT': 'vit', 'connector': 'connector', 'LLM': 'llm', 'head and loss': 'head'}
"""Parts of a step by their fields in `FlopCount`."""

PROMPTS = (1, 8)
Z_LOSS = 1e-4


def make_loader(size: Size, config: MolmoConfig, arm: Arm) -> DataLoader[Batch]:
    """A batch a step, made beside the steps on a GPU's machine, and between them on a CPU."""
    preprocessor, steps = make_preprocessor(config, size.padded), size.warm_up + size.steps
    if arm.row is None:
        examples = make_examples(steps * size.padded_rows, size.scale)
        rows: Rows = PaddedRows(preprocessor, examples, size.padded_rows, size.padded)
    else:
        max_tokens, max_crops = size.packs[arm.row]
        examples = make_examples(steps * (1 + 3 * max_tokens // size.padded), size.scale)
        rows = PackedRows(preprocessor, examples, Budgets(max_tokens, max_crops))
    cuda = torch.cuda.is_available()
    processes = min(8, (os.cpu_count() or 2) - 1) if cuda else 0
    return DataLoader(rows, batch_size=None, num_workers=processes, pin_memory=cuda)


def build(size: Size, config: MolmoConfig, arm: Arm, device: torch.device) -> MolmoForCausalLM:
    """The model as an arm trains it, made where it runs."""
    torch.manual_seed(0)
    with torch.device(device):
        model: Any = MolmoForCausalLM(config)
    if size.bf16_state:
        model.to(torch.bfloat16)
    model.config._attn_implementation = {'flex': 'flex_attention', 'sdpa': 'sdpa'}[arm.attention]
    apply_freezing(model)
    if arm.compiled:
        compile_all_blocks(model)
    if arm.recompute is not None:
        checkpoint_blocks(model, ActivationCheckpointing(arm.recompute, arm.every))
    return model.train()


def real_work(config: MolmoConfig, batch: Batch) -> tuple[int, FlopCount]:
    """Tokens of a batch, and forward FLOPs, padding left out."""
    tokens, slots = int((batch['input_ids'] >= 0).sum()), batch['image_input_idx'] >= 0
    return tokens, count_flops(
        config,
        tokens=tokens,
        pairs=attended_pairs(batch['segment_ids']),
        loss_tokens=int((batch['loss_weights'] > 0).sum()),
        crops=int(slots.any(-1).sum()),
        pooled_tokens=int(slots.sum()),
    )


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The tensors that the model reads."""
    names = [name for name in (*ROW_PADDING, *CROP_TENSORS) if name in batch]
    moved = {name: batch[name].to(device, non_blocking=True) for name in names}
    return {**moved, 'crop_counts': batch['crop_counts']}


def autocast(size: Size, device: torch.device) -> Any:
    """What products are computed in."""
    return nullcontext() if size.bf16_state else torch.autocast(device.type, torch.bfloat16)


def bytes_of_adamw(parameters: Sequence[torch.nn.Parameter]) -> int:
    """Bytes that a step of AdamW reads and writes: weight and two moments both ways, and the gradient read."""
    return sum(7 * parameter.nbytes for parameter in parameters)


def train(size: Size, arm: Arm) -> str:
    """Trains and gives the arm's cells of the table."""
    device = the_device()
    config = build_config(size.llm, size.vit, **size.overrides)
    batches: Iterator[Batch] = iter(make_loader(size, config, arm))
    model = build(size, config, arm, device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    timeline = Timeline(device)
    watch(model, timeline)
    seconds: list[float] = []
    done: list[Batch] = []
    for number in range(size.warm_up + size.steps):
        if number == size.warm_up:
            timeline.clear()
            if device.type == 'cuda':
                torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        timeline.start()
        batch = next(batches)
        timeline.mark('data wait')
        inputs = to_device(batch, device)
        with autocast(size, device):
            loss = model(**inputs, z_loss_scale=Z_LOSS).loss
        timeline.mark('head and loss')
        loss.backward()
        timeline.mark('ViT')
        optimizer.step()
        optimizer.zero_grad()
        timeline.mark('optimizer')
        timeline.wait()
        if number >= size.warm_up:
            seconds.append(time.perf_counter() - start)
            done.append(batch)
    return cells(size, config, done, seconds, timeline.seconds(), bytes_of_adamw(trained))


def cells(
    size: Size,
    config: MolmoConfig,
    batches: Sequence[Batch],
    seconds: Sequence[float],
    parts: dict[str, float],
    moved: int,
) -> str:
    """Columns of the table.

    Args:
        size (Size): Of the table.
        config (MolmoConfig): The model.
        batches (Sequence[Batch]): A batch a step.
        seconds (Sequence[float]): Wall time of each step.
        parts (dict[str, float]): Seconds of each part in all steps together.
        moved (int): Bytes that the optimizer reads and writes in a step.
    """
    cuda = torch.cuda.is_available()
    work, spent = [real_work(config, batch) for batch in batches], sum(seconds)
    tokens, places = sum(real for real, _ in work), sum(batch['input_ids'].numel() for batch in batches)
    useful = sum(flops.training_step for _, flops in work) / spent / 1e12
    reached = [3e-12 * sum(getattr(flops, name) for _, flops in work) / parts[part] for part, name in COUNTED.items()]
    values = [
        f'{tokens / places:.1%}',
        f'{statistics.median(seconds) * 1e3:.0f}',
        f'{tokens / spent:.0f}',
        f'{sum(map(images_of, batches)) / spent:.2f}',
        f'{useful:.3g}',
        f'{useful / PEAK_TFLOPS:.1%}' if cuda else '',
        f'{torch.cuda.max_memory_allocated() / 1e9:.1f}' if cuda else '',
        *(f'{parts[part] / spent:.0%}' for part in PARTS),
        *(f'{rate:.3g}' for rate in reached),
        f'{moved * len(batches) / parts["optimizer"] / 1e9:.3g}',
    ]
    return ' | '.join(values)


def images_of(batch: Batch) -> int:
    """Images of a batch: at most one an example, and each example has its own hundred thousand of segments."""
    slots, found = batch['image_input_idx'].split(batch['crop_counts']), 0
    for row, of_row in zip(batch['segment_ids'], slots):
        found += len(torch.unique(row[of_row[of_row >= 0]] // EXAMPLE_SEGMENT_INCREMENT))
    return found


def decode(size: Size, rows: int) -> str:
    """The decoding table's cells for as many prompts at a time."""
    config = build_config(size.llm, size.vit, **size.overrides)
    rate, read = decoding_rate(config, rows, size.prompt, size.new, the_device())
    return f'{rate:.1f} | {read / 1e9:.3g}'


def run_experts(size: Size, implementation: str) -> str:
    """The experts' table's cells for an implementation."""
    llm, overrides = size.experts
    config = build_config(llm, size.vit, **overrides)
    rate, flops = experts_rate(config, size.expert_tokens, implementation, the_device())
    return f'{rate:.0f} | {flops / 1e12:.3g}'


def rates(size: Size) -> str:
    """What the device reaches, in words."""
    product, copied = device_rates(size.product, the_device())
    return (
        f'A bfloat16 product of matrices of {size.product} x {size.product}: {product / 1e12:.3g} TFLOP/s; a copy: '
        f'{copied / 1e9:.0f} GB/s read and written; below {product / copied:.0f} FLOP a byte memory is what limits.'
    )


def the_device() -> torch.device:
    """The GPU, or the CPU where there is none."""
    return torch.device('cuda' if torch.cuda.is_available() else 'cpu')


def attempt(work: Callable[..., str], *args: Any) -> str:
    """What a piece of work says, or in short why it could not be done."""
    try:
        return work(*args)
    except torch.OutOfMemoryError:
        return 'out of memory'
    except ImportError as error:
        return f'not installed: {error}'.partition('.')[0]
    except Exception as error:  # noqa: B902 - whatever an arm dies of, the others shall run
        return f'{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ""}'


def alone(work: Callable[..., str], *args: Any) -> str:
    """`attempt` in a process of its own, which takes its memory with it."""
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as executor:
        try:
            return executor.submit(attempt, work, *args).result()
        except BrokenProcessPool:
            return 'the process died; out of memory, perhaps'


def arms_of(size: Size) -> list[Arm]:
    """The arms; on a CPU, whose compiler takes minutes, those without compiled blocks."""
    arms = ARMS if torch.cuda.is_available() else [replace(arm, compiled=False) for arm in ARMS]
    return list(dict.fromkeys(arms))


def report(size: Size, run: Callable[..., str] = alone) -> Iterator[str]:
    """The lines of a report, each as soon as it is measured.

    Args:
        size (Size): What is measured.
        run (Callable): `alone`, or `attempt` to stay in this process.
    """
    yield run(rates, size)
    titles = ['tokens used', 'ms a step', 'tokens/s', 'images/s', 'TFLOP/s', 'MFU', 'GB', *PARTS]
    titles += [f'TFLOP/s of {part}' for part in COUNTED] + ['GB/s of AdamW']
    yield f'\n| rows | attention | compiled | recomputed | {" | ".join(titles)} |'
    yield '| --- | --- | --- | --- |' + ' ---: |' * len(titles)
    for arm in arms_of(size):
        yield f'| {arm.describe(size)} | {run(train, size, arm)} |'
    yield '\n| decoding, prompts at a time | tokens/s | GB/s of weights |\n| ---: | ---: | ---: |'
    for rows in PROMPTS:
        yield f'| {rows} | {run(decode, size, rows)} |'
    yield '\n| experts | tokens/s of a layer | TFLOP/s |\n| --- | ---: | ---: |'
    for implementation in IMPLEMENTATIONS:
        yield f'| {implementation} | {run(run_experts, size, implementation)} |'


def main() -> None:
    """Prints the report."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', choices=SIZES, default='1b' if cuda else 'toy')
    options = parser.parse_args()
    where = torch.cuda.get_device_name() if cuda else f'a {platform.machine()} CPU'
    print(f'{date.today()}, {where}, torch {torch.__version__}, {options.size}.\n')
    for line in report(SIZES[options.size]):
        print(line, flush=True)


if __name__ == '__main__':
    main()
