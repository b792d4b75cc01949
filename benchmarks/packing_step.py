# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Examples a second of training on packed and on padded rows, with the tiny model on one core.

The same records, a mixture of captions, questions in a tree, text alone and several images, come through the real
loader: packed by a plan, or one example a row in the same order. One example a row is trained on in two ways: padded to
the longest row of a microbatch, which is what this package does without packing, and as the public code does, every
row padded to the longest sequence there may be and to the crops of the record that has most, and blank crops going
through the vision tower (but not, as there, through the connector).

The tiny model sees a third of the resolution: crops of 112 pixels become 16 tokens instead of 144, and text is made a
ninth as long as that of real data. So 8192 tokens of a row become 912.

    OMP_NUM_THREADS=1 python benchmarks/packing_step.py
"""

import argparse
import io
import os
import platform
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import torch
from PIL import Image

from molmo_foundry.data.collator import ROW_PADDING
from molmo_foundry.data.dataloader import build_molmo_dataloader
from molmo_foundry.data.mds import write_mds
from molmo_foundry.data.packing.node_files import FOLDER_VARIABLE
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import IGNORED_SLOT, Example

KINDS = {'captions': 0.30, 'questions': 0.45, 'text': 0.15, 'several images': 0.10}
TEXT_TOKENS = {'captions': (5.4, 0.5), 'text': (6.2, 0.9), 'several images': (5.0, 0.8)}
"""Logarithms of the median and its spread, of real data; as in `packing.py`."""

SCALE = 9
"""Real tokens to those of the tiny model's world."""

MOST_IMAGES, MOST_WORDS = 5, 120
OVERRIDES = {'vision': {'max_crops': 12}}
WORDS = ['red', 'blue', 'cup', 'is', 'on', 'the', 'table', 'left', 'of', 'it', 'and', 'two']
NOT_FOR_MODEL = ('token_counts', 'loss_counts', 'metadata')

MIXTURES = [(tuple(KINDS), 912), (('captions', 'questions', 'text'), 256)]
"""Kinds of records, and tokens of a row: of 8192, and without several images those of the public code, 2304."""

ROWS = 4
"""Rows of a microbatch."""


def make_example(rng: np.random.Generator, number: int, kinds: Sequence[str]) -> Example:
    """A record of a random kind; its pictures are noise, for a step costs the same whatever they show."""
    shares = np.array([KINDS[kind] for kind in kinds])
    kind = kinds[rng.choice(len(kinds), p=shares / shares.sum())]
    num_images = {'text': 0, 'several images': int(rng.integers(2, MOST_IMAGES + 1))}.get(kind, 1)
    if kind == 'questions':
        annotations = [{'question': _words(rng, 2), 'answer': _words(rng, 1)} for _ in range(rng.geometric(0.25))]
    else:
        num_words = int(np.clip(rng.lognormal(*TEXT_TOKENS[kind]) / SCALE, 1, MOST_WORDS))
        annotations = [{'prompt': 'Tell me.', 'text': _words(rng, num_words)}]
    return Example(str(number), [_picture(rng, small=num_images > 1) for _ in range(num_images)], annotations)


def _words(rng: np.random.Generator, count: int) -> str:
    return ' '.join(rng.choice(WORDS, size=count))


def _picture(rng: np.random.Generator, small: bool) -> bytes:
    edges = np.exp(rng.normal(np.log(700), 0.5, size=2)).clip(64, 4000) / 3
    if small:  # of which there may be several in a record
        edges *= min(1, 224 / edges.max())
    pixels = rng.integers(0, 256, (*edges.astype(int).clip(8), 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, 'JPEG')
    return file.getvalue()


def read(data: Path, max_tokens: int, packing: bool) -> list[dict[str, Any]]:
    """The microbatches of an epoch."""
    block = {
        'streams': {'all': {'local': str(data)}},
        'llm': 'tiny',
        'vit': 'tiny',
        'overrides': OVERRIDES,
        'max_seq_len': max_tokens,
        'shuffle': True,
        'packing': packing,
    }
    loader = build_molmo_dataloader(MolmoTokenizer('tiny', vocab_size=1024), ROWS, block, drop_last=True, num_workers=0)
    return list(loader.dataloader)


def pad(batch: dict[str, Any], max_tokens: int, max_crops: int) -> dict[str, Any]:
    """The batch with every row as long as any may be, and with as many crops."""
    padded = {**batch, 'crop_counts': [max_crops] * ROWS}
    for name, value in ROW_PADDING.items():
        padded[name] = torch.nn.functional.pad(batch[name], (0, max_tokens - batch[name].shape[1]), value=value)
    for name, value in {'images': 0, 'image_masks': 1, 'image_input_idx': IGNORED_SLOT}.items():
        if name in batch:
            of_rows = torch.split(batch[name], batch['crop_counts'])
            padded[name] = torch.cat([_more_crops(crops, max_crops, value) for crops in of_rows])
    return padded


def _more_crops(crops: torch.Tensor, count: int, value: float) -> torch.Tensor:
    return torch.cat([crops, crops.new_full((count - len(crops), *crops.shape[1:]), value)])


def train(batches: Sequence[dict[str, Any]]) -> float:
    """Examples a second of processor time, over a step on each batch; before the clock runs there is one more."""
    torch.manual_seed(0)
    model = MolmoForCausalLM(build_config('tiny', 'tiny', **OVERRIDES))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(batch: dict[str, Any]) -> None:
        optimizer.zero_grad()
        model(**{key: value for key, value in batch.items() if key not in NOT_FOR_MODEL}).loss.backward()
        optimizer.step()

    step(batches[0])
    begin = time.process_time()
    for batch in batches:
        step(batch)
    examples = sum(row['stats']['examples'] for batch in batches for row in batch['metadata'])
    return examples / (time.process_time() - begin)


def compare(kinds: Sequence[str], max_tokens: int, count: int, padded_count: int) -> list[str]:
    """Rows of the table for a mixture of these kinds."""
    rng = np.random.default_rng(0)
    records = [make_example(rng, number, kinds) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER_VARIABLE] = folder
        write_mds(records, Path(folder) / 'mds')
        alone = read(Path(folder) / 'mds', max_tokens, packing=False)
        max_crops = max(crops for batch in alone for crops in batch['crop_counts'])
        packed = read(Path(folder) / 'mds', max_tokens, packing=True)
    ways = {
        f'padded to {max_tokens} tokens, {max_crops} crops': [
            pad(batch, max_tokens, max_crops) for batch in alone[: padded_count // ROWS]
        ],
        f'padded to the longest of {ROWS}': alone,
        f'packed into {max_tokens} tokens': packed,
    }
    speeds = {way: train(batches) for way, batches in ways.items()}
    slowest = next(iter(speeds.values()))
    lines = []
    for way, batches in ways.items():
        rows = [row['stats'] for batch in batches for row in batch['metadata']]
        width = sum(batch['input_ids'].numel() for batch in batches)
        used = sum(row['tokens'] for row in rows) / width
        examples = sum(row['examples'] for row in rows)
        lines.append(
            f'| {", ".join(kinds)} | {way} | {examples} | {examples / len(rows):.2f} | {used:.1%} '
            f'| {speeds[way]:.2f} | **{speeds[way] / slowest:.2f}x** |'
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--records', type=int, default=160)
    parser.add_argument('--padded', type=int, default=32, help='records that padded rows are trained on')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        f'{date.today()}, one core of {platform.machine()}, Python {platform.python_version()}, torch '
        f'{torch.__version__}, `sdpa`, float32, microbatches of {ROWS} rows. {arguments.records} records, of which '
        f'{arguments.padded} in rows of full size.',
        '',
        '| mixture | rows | examples | examples a row | token utilization | examples/s | |',
        '| --- | --- | ---: | ---: | ---: | ---: | ---: |',
    ]
    for kinds, max_tokens in MIXTURES:
        lines += compare(kinds, max_tokens, arguments.records, arguments.padded)
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
