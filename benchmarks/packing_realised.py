# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""How full rows really get: packs are planned with bounds, and then the prompts are drawn.

Records of several kinds are written out by the real formatter and tokenizer, and their images laid out as Molmo's CLIP
preset cuts them, but no pixel is touched. A kind whose prompts are drawn from sentences of several lengths comes out
shorter than planned; one that has a question of its own is exactly as long.

    OMP_NUM_THREADS=1 python benchmarks/packing_realised.py [--tokenizer DIR --vocab-size N]
"""

import argparse
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any, Callable

import numpy as np

from molmo_foundry.data.packing.best_fit import Budgets, best_fit
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.processing.choices import RandomChoice, example_rng
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import Example

BUDGETS = Budgets(16384, 160)
WORDS = 'red blue cup is on the table left of it and two people walk past a large window with green curtains'.split()
Kind = Callable[[np.random.Generator], list[dict[str, Any]]]


def words(rng: np.random.Generator, most: float) -> str:
    """Some words; their number is spread by half around `most` over e."""
    return ' '.join(rng.choice(WORDS, size=max(1, int(rng.lognormal(np.log(most), 0.5)))))


def points(rng: np.random.Generator) -> list[list[float]]:
    """As many points as people set, mostly few."""
    return rng.uniform(0, 100, size=(min(40, rng.geometric(0.2)), 2)).tolist()


KINDS: dict[str, tuple[float, int, Kind]] = {
    'captions, prompt drawn': (0.25, 1, lambda rng: [{'style': 'long_caption', 'text': words(rng, 150)}]),
    'trees of questions': (
        0.30,
        1,
        lambda rng: [
            {'style': 'vqa2', 'question': f'What is {words(rng, 4)}?', 'answer': words(rng, 1)}
            for _ in range(rng.geometric(0.25))
        ],
    ),
    'trees of points and counts, prompts drawn': (
        0.20,
        1,
        lambda rng: [
            {'style': style, 'label': words(rng, 2), 'points': points(rng), 'point_scale': 100}
            for style in rng.choice(['pointing', 'point_count'], size=rng.integers(1, 5))
        ],
    ),
    'text alone': (0.15, 0, lambda rng: [{'messages': [words(rng, 60), words(rng, 300)]}]),
    'several images': (0.10, 3, lambda rng: [{'messages': [words(rng, 12), words(rng, 90)]}]),
}
"""Share, images, and how the annotations are made."""


def measure(preprocessor: Preprocessor, count: int) -> tuple[np.ndarray, float]:
    """Kind, bound, crops and length as drawn of each record, (count, 4); and seconds to bound them all."""
    rng = np.random.default_rng(0)
    shares = [share for share, _, _ in KINDS.values()]
    rows, elapsed = [], 0.0
    for number in range(count):
        kind = rng.choice(len(KINDS), p=shares)
        _, num_images, make = list(KINDS.values())[kind]
        sizes = [tuple(size) for size in np.exp(rng.normal(np.log(700), 0.5, (num_images, 2))).astype(int).tolist()]
        example = Example(str(number), [], make(rng))
        begin = time.process_time()
        bound, crops = preprocessor.length_bound(example, sizes)
        elapsed += time.process_time() - begin
        drawn, _ = preprocessor.formatter(example, choices=RandomChoice(example_rng(0, 0, example.id)))
        text = len(preprocessor.assemble(drawn, [], record=example.id))
        images = sum(preprocessor.image_preprocessor.layout(height, width).num_tokens for width, height in sizes)
        rows.append((kind, bound, crops, text + images))
    return np.array(rows), elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--records', type=int, default=20_000)
    parser.add_argument('--tokenizer', default='tiny', help='a directory or hub id, such as that of Qwen2')
    parser.add_argument('--vocab-size', type=int, default=1024, help="the model's")
    arguments = parser.parse_args()
    tokenizer = MolmoTokenizer(arguments.tokenizer, vocab_size=arguments.vocab_size)
    config = MolmoConfig(vocab_size=arguments.vocab_size, image_token_start=tokenizer.image_token_ids['<im_start>'])
    preprocessor = Preprocessor.from_config(config, tokenizer, max_seq_len=BUDGETS.max_tokens)
    measured, elapsed = measure(preprocessor, arguments.records)
    kind, bound, crops, length = measured.T
    members, starts = best_fit(bound, crops, BUDGETS)
    room = BUDGETS.max_tokens * (len(starts) - 1)
    print(
        f'{date.today()}, {platform.machine()}, Python {platform.python_version()}, one core. {len(members):,} records '
        f'in {len(starts) - 1:,} packs of {BUDGETS.max_tokens} tokens and {BUDGETS.max_crops} crops, tokenizer '
        f'{Path(tokenizer.name_or_path).name}; {elapsed / len(members) * 1e3:.2f} ms a record to bound.\n\n'
        '| records | share | tokens on average | planned above drawn, tokens | of them |\n'
        '| --- | ---: | ---: | ---: | ---: |'
    )
    slack = bound - length
    for number, (name, (share, *_)) in enumerate(KINDS.items()):
        own = kind == number
        above = f'{slack[own].mean():.1f} | {slack[own].sum() / bound[own].sum():.2%}'
        print(f'| {name} | {share:.0%} | {length[own].mean():.0f} | {above} |')
    print(f'| all | | {length.mean():.0f} | {slack.mean():.1f} | {slack.sum() / bound.sum():.2%} |')
    print(f'\nToken utilization: planned {bound.sum() / room:.2%}, **as drawn {length.sum() / room:.2%}**.')
    assert slack.min() >= 0


if __name__ == '__main__':
    main()
