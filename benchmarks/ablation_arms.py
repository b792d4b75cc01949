# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Findings of the Molmo paper that `ablations.py` tries on the tiny model: what is compared, and the paper's numbers.

An arm is the recipe `yamls/tiny/pretrain.yaml` with some `key=value` overrides, on one data set of `ablation_data.py`.
The arms of a finding differ in one setting. All arms train on captions, but those that count, which start from the
captioner `base` as the paper's second stage starts from its first. Source of the numbers: Deitke et al., "Molmo and
PixMo" (arXiv 2409.17146), ablations of Molmo-7B-D.
"""

from dataclasses import dataclass
from typing import Mapping, Optional

RECIPE = 'yamls/tiny/pretrain.yaml'

SHARED = (
    'variables.vit=tiny_siglip',  # patches of 16 pixels: a pooled token sees a cell of a scene
    'variables.overrides.vision={crop_mode: resize}',
    'variables.overrides.system_prompt_kind=style',  # a hint at the length would give away how many shapes there are
    'variables.overrides.response_residual_dropout=0.0',
    'optimizer.warmup=50',
    'optimizer.connector.lr=1e-3',
    'optimizer.llm.lr=1e-3',
    'eval_interval=1dur',
    'save_num_checkpoints_to_keep=1',
    'callbacks.molmo_monitor.samples=null',
)
"""Overrides of all arms."""

SMALL_CROPS = (
    '{image_size: [48, 48], patch_size: 6, num_positions: 64, crop_mode: %s, max_crops: 4, overlap_margins: %s}'
)
"""Crops of a half of the smallest picture's side, so that four tiles show what one crop cannot. With margins, windows
are half a tile, and four tiles cover three quarters of the side that they cover without, as the paper's twelve do."""

COUNT_TASK = '{dataset: shapes, split: validation, metrics: [em]}'


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        overrides: Of the recipe, beside those that all arms share.
        data: Folder of its data set, below that of all.
        task: What it is asked after training, a task of `eval.tasks` or of its own overrides.
        score: Which of the task's values counts; 0 to 1, the more the better.
        start: Arm whose last checkpoint it starts from.
    """

    overrides: tuple[str, ...] = ()
    data: str = 'scenes'
    task: str = 'shapes_caption'
    score: str = 'word_f1'
    start: Optional[str] = None


@dataclass(frozen=True)
class Comparison:
    """Two arms, of which the paper found the first better.

    Attributes:
        better: The paper's choice.
        worse: The alternative.
        paper: The paper's numbers of both, in this order.
    """

    better: str
    worse: str
    paper: str


@dataclass(frozen=True)
class Finding:
    """One claim.

    Attributes:
        title: In words.
        measure: What `Arm.score` is here.
        comparisons: The pairs that bear on it.
        compares_loss: Whether the arms learn the same responses, so that their validation losses compare too.
    """

    title: str
    measure: str
    comparisons: tuple[Comparison, ...]
    compares_loss: bool = True


ARMS: Mapping[str, Arm] = {
    'base': Arm(),
    'one-crop': Arm((f'variables.overrides.vision={SMALL_CROPS % ("resize", [2, 2])}',)),
    'tiles': Arm((f'variables.overrides.vision={SMALL_CROPS % ("overlap-and-resize-c2", [0, 0])}',)),
    'overlapping-tiles': Arm((f'variables.overrides.vision={SMALL_CROPS % ("overlap-and-resize-c2", [2, 2])}',)),
    'global-clip': Arm(
        ('optimizer.max_grad_norm=null', 'algorithms.gradient_clipping={clipping_type: norm, clipping_threshold: 1.0}')
    ),
    'last-layer': Arm(('variables.overrides.connector={vit_layers: [-1]}',)),
    'no-dropout': Arm(data='few-scenes'),
    'dropout': Arm(('variables.overrides.residual_dropout=0.1',), data='few-scenes'),
    'text-dropout': Arm(('variables.overrides.response_residual_dropout=0.1',), data='few-scenes'),
    'point-then-count': Arm(
        (
            'train_loader.dataset.streams.captions.styles=[point_count]',
            'eval_loader.0.dataset.streams.captions.styles=[point_count]',
        ),
        data='points',
        task='shapes_count',
        score='correct',
        start='base',
    ),
    'count-only': Arm(
        (
            'train_loader.dataset.streams.captions.styles=[tally_qa]',
            'eval_loader.0.dataset.streams.captions.styles=[tally_qa]',
            f'callbacks.molmo_evaluator.custom_tasks.count={COUNT_TASK}',
        ),
        data='counts',
        task='count',
        score='em',
        start='base',
    ),
}
"""All arms by name."""

FINDINGS: Mapping[str, Finding] = {
    'crops': Finding(
        'overlapping crops beat one small picture, and crops without overlap',
        'caption word F1',
        (
            Comparison('overlapping-tiles', 'one-crop', '54.1 / 76.9 and 46.7 / 62.8'),
            Comparison('overlapping-tiles', 'tiles', '54.1 / 76.9 and 53.4 / 75.7'),
        ),
    ),
    'clip': Finding(
        'clipping each component by its own norm beats one global norm',
        'caption word F1',
        (Comparison('base', 'global-clip', '54.1 / 76.9 and 53.6 / 76.9'),),
    ),
    'layers': Finding(
        'features of two ViT layers beat those of one',
        'caption word F1',
        (Comparison('base', 'last-layer', '54.1 / 76.9 and 53.7 / 76.6'),),
    ),
    'dropout': Finding(
        'dropout at response tokens alone beats dropout everywhere, and none',
        'caption word F1',
        (
            Comparison('text-dropout', 'no-dropout', '54.1 / 76.9 and 53.1 / 76.6'),
            Comparison('text-dropout', 'dropout', '54.1 / 76.9 and 53.7 / 77.0'),
        ),
    ),
    'count': Finding(
        'pointing before counting beats counting at once',
        'exact counts',
        (Comparison('point-then-count', 'count-only', '89.4 / 86.3 and 87.9 / 80.2'),),
        compares_loss=False,
    ),
}
"""All findings by name. The paper's numbers are cap-F1 / mean of 11 benchmarks; those of `count` are CountBenchQA /
PixMo-Count. Of dropout, fine-tuning had it everywhere."""


def arms_of(findings: Mapping[str, Finding]) -> list[str]:
    """Names of the arms that findings need, those that others start from included, in the order of `ARMS`."""
    named = {arm for finding in findings.values() for pair in finding.comparisons for arm in (pair.better, pair.worse)}
    needed = named | {start for name in named if (start := ARMS[name].start)}
    return [name for name in ARMS if name in needed]
