# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks, a row each: what is asked, how long an answer may get, how it is scored, what Molmo scored.

A task is named in a recipe by its row (`chart_qa`), with another split (`chart_qa:test`), or by a group (`paper-11`).
Source of the settings: allenai/molmo's evaluation; of the scores: Deitke et al., "Molmo and PixMo" (arXiv 2409.17146),
table 1 and the text on AI2D and pointing. To add a benchmark, add a row, or `custom_tasks` to a recipe.
"""

import difflib
from dataclasses import dataclass, fields, replace
from typing import Any, Iterable, Mapping, Optional

from molmo_foundry.eval.metrics import METRICS

LOW_RES: dict[str, Any] = {'max_seq_len': 1536}
HIGH_RES: dict[str, Any] = {'max_seq_len': 4096, 'max_crops': 36}
POINTS = 192
"""Tokens for pointing, and for counts of up to ten things."""
COUNTED_POINTS = 384
"""Tokens for PixMo-Count: a counted thing takes some 16, and what is cut off has no total to score."""


@dataclass(frozen=True)
class Task:
    """One row.

    Attributes:
        name: What recipes call it.
        label: The same for files and logs, with the split if a recipe chose another.
        dataset: Data set, by its name in `data.sources.registry`; fills `{dataset}` of the recipe's paths.
        split: Split that is evaluated unless a recipe says otherwise; fills `{split}`.
        metrics: Names in `eval.metrics.METRICS`; empty to only write predictions.
        headline: Of the values its metrics give, the one that stands for it in a report. Default: the first metric's.
        max_new_tokens: Longest response.
        style: Ask only annotations of this style. Default: all, each on its own.
        max_crops: Most tiles of an image. Default: as the model was trained.
        max_seq_len: Longest prompt in tokens, images included.
        paper_split: Split that the paper's scores are on.
    """

    name: str
    label: str
    dataset: str
    split: str
    metrics: tuple[str, ...]
    headline: Optional[str]
    max_new_tokens: int = 12
    style: Optional[str] = None
    max_crops: Optional[int] = None
    max_seq_len: int = 4096
    paper_split: Optional[str] = None

    def paper_scores(self, value: Optional[str] = None) -> dict[str, float]:
        """The paper's scores in percent by model, empty where it has none for this split.

        Args:
            value (str, optional): Which of the task's values. Default: the headline.
        """
        return PAPER.get((self.name, value or self.headline or ''), {}) if self.split == self.paper_split else {}


def _row(name: str, split: str, metrics: str, headline: Optional[str] = None, **settings: Any) -> Task:
    """A row whose data set has its name and whose headline is its first metric, unless said otherwise."""
    names = tuple(metrics.split())
    chosen = headline or (names[0] if names else None)
    return Task(name, name, settings.pop('dataset', name), split, names, chosen, **settings)


# fmt: off
_ROWS = (
    # Natural images
    _row('coco_2014_vqa', 'validation', 'vqa_score', paper_split='test', **HIGH_RES),
    _row('okvqa', 'validation', 'vqa_score', **HIGH_RES),
    _row('a_okvqa_da', 'validation', 'a_okvqa_score', **HIGH_RES),
    _row('a_okvqa_mc', 'validation', 'mc', **HIGH_RES),
    _row('tally_qa', 'test', 'em', **HIGH_RES),
    _row('real_world_qa_no_instruction', 'test', 'real_world_qa', paper_split='test', **HIGH_RES),
    # Text, documents, charts and diagrams
    _row('text_vqa', 'validation', 'vqa_score', paper_split='validation', **HIGH_RES),
    _row('st_qa', 'validation', 'anls em', **HIGH_RES),
    _row('doc_qa', 'validation', 'anls em', paper_split='test', **HIGH_RES),
    _row('info_qa', 'validation', 'anls em', paper_split='test', **HIGH_RES),
    _row('chart_qa', 'validation', 'relaxed_correctness em', paper_split='test', **HIGH_RES),
    _row('ai2_diagram_v2_mix_transparent', 'validation', 'mc_ai2d', 'mc_ai2d_transparent', paper_split='test',
         **HIGH_RES),
    # School and college
    _row('science_qa_img', 'validation', 'mc', **HIGH_RES),
    _row('mmmu', 'validation', 'mmmu', paper_split='validation', **HIGH_RES),
    _row('math_vista_v2', 'validation', 'math_vista', paper_split='validation', **HIGH_RES),
    # Counting, pointing and clocks
    _row('countbench_qa', 'huggingface', 'count', 'correct', max_new_tokens=POINTS, paper_split='huggingface',
         **LOW_RES),
    _row('pixmo_count_counting', 'validation', 'count', 'correct', max_new_tokens=COUNTED_POINTS, paper_split='test',
         **LOW_RES),
    _row('pointing_eval', 'test', 'pointing', 'f1', max_new_tokens=POINTS, paper_split='test', **LOW_RES),
    _row('pixmo_clocks', 'validation', 'clock', 'overall_close', max_new_tokens=64, **LOW_RES),
    _row('clock_bench', 'coco', 'clock_bench', 'overall_close', max_new_tokens=64, **LOW_RES),
    # Screens
    _row('android_control_ll', 'validation', 'android_control', max_new_tokens=16, **LOW_RES),
    _row('android_control_hl_ll', 'test', 'android_control', max_new_tokens=16, **LOW_RES),
    _row('android_control_hl', 'test', 'android_control', max_new_tokens=16, **LOW_RES),
    _row('android_control_hl_cot', 'test', 'android_control', max_new_tokens=64, **LOW_RES),
    # Captions; the paper's cap-F1 needs a judge, see docs/evaluation.md
    _row('pixmo_cap', 'validation', 'caption', 'word_f1', max_new_tokens=448, style='long_caption', **LOW_RES),
    # The built-in pictures of `molmo-foundry data render`
    _row('shapes_caption', 'validation', 'caption', 'word_f1', dataset='shapes', style='long_caption',
         max_new_tokens=160),
    _row('shapes_pointing', 'validation', 'pointing', 'f1', dataset='shapes', style='pointing', max_new_tokens=176),
    _row('shapes_count', 'validation', 'count', 'correct', dataset='shapes', style='point_count', max_new_tokens=192),
    _row('shapes_vqa', 'validation', 'vqa_score em', dataset='shapes', style='vqa2'),
    _row('shapes_mc', 'validation', 'mc', dataset='shapes', style='a_okvqa_mc'),
    _row('words', 'validation', 'vqa_score em', style='text_vqa', max_new_tokens=16),
    _row('charts', 'validation', 'relaxed_correctness em', style='chart_qa', max_new_tokens=16),
    _row('clocks', 'validation', 'clock_quarter', 'overall_close', style='clocks', max_new_tokens=24),
    _row('documents', 'validation', 'anls em', style='doc_qa', max_new_tokens=16),
)
# fmt: on

TASKS: dict[str, Task] = {row.name: row for row in _ROWS}
"""The rows by name."""

GROUPS: dict[str, str] = {
    'low-res': 'android_control_ll countbench_qa pixmo_count_counting',
    'high-res': (
        'coco_2014_vqa text_vqa okvqa chart_qa doc_qa info_qa science_qa_img ai2_diagram_v2_mix_transparent '
        'a_okvqa_mc a_okvqa_da mmmu real_world_qa_no_instruction math_vista_v2'
    ),
    'test-low-res': (
        'countbench_qa pixmo_count_counting:test android_control_hl_ll android_control_hl coco_2014_vqa:test'
    ),
    'test-high-res': (
        'info_qa:test doc_qa:test chart_qa:test text_vqa ai2_diagram_v2_mix_transparent:test math_vista_v2 '
        'real_world_qa_no_instruction a_okvqa_mc a_okvqa_da mmmu a_okvqa_mc:test a_okvqa_da:test'
    ),
    'paper-11': (
        'ai2_diagram_v2_mix_transparent:test chart_qa:test coco_2014_vqa:test doc_qa:test info_qa:test text_vqa '
        'real_world_qa_no_instruction mmmu math_vista_v2 countbench_qa pixmo_count_counting:test'
    ),
    'quick': 'real_world_qa_no_instruction countbench_qa chart_qa pixmo_count_counting',
    'shapes': 'shapes_caption shapes_pointing shapes_count shapes_vqa shapes_mc',
    'tour': 'shapes_caption shapes_pointing shapes_count shapes_vqa shapes_mc words charts clocks documents',
    'tour-test': (
        'shapes_caption:test shapes_pointing:test shapes_count:test shapes_vqa:test shapes_mc:test words:test '
        'charts:test clocks:test documents:test'
    ),
}
"""Groups of tasks; `quick` has those that need nothing but the hub and images by URL, some 3,700 questions in all."""

MOLMOS = ('MolmoE-1B', 'Molmo-7B-O', 'Molmo-7B-D', 'Molmo-72B')

_SCORES = {
    ('ai2_diagram_v2_mix_transparent', 'mc_ai2d_transparent'): (86.4, 90.7, 93.2, 96.3),
    ('ai2_diagram_v2_mix_transparent', 'mc_ai2d_opaque'): (75.7, 79.8, 82.4, 86.4),
    ('chart_qa', 'relaxed_correctness'): (78.0, 80.4, 84.1, 87.3),
    ('coco_2014_vqa', 'vqa_score'): (83.9, 85.3, 85.6, 86.5),
    ('doc_qa', 'anls'): (77.7, 90.8, 92.2, 93.5),
    ('info_qa', 'anls'): (53.9, 70.0, 72.6, 81.9),
    ('text_vqa', 'vqa_score'): (78.8, 80.4, 81.7, 83.1),
    ('real_world_qa_no_instruction', 'real_world_qa'): (60.4, 67.5, 70.7, 75.2),
    ('mmmu', 'mmmu'): (34.9, 39.3, 45.3, 54.1),
    ('math_vista_v2', 'math_vista'): (34.0, 44.5, 51.6, 58.6),
    ('countbench_qa', 'correct'): (87.2, 89.0, 88.5, 91.2),
    ('pixmo_count_counting', 'correct'): (79.6, 83.3, 84.8, 85.2),
    ('pointing_eval', 'f1'): (72.2, 75.1, 74.3, 75.2),
}
PAPER: dict[tuple[str, str], dict[str, float]] = {key: dict(zip(MOLMOS, scores)) for key, scores in _SCORES.items()}
"""The paper's scores in percent, by task and value, then by model."""


def custom_task(name: str, row: Mapping[str, Any]) -> Task:
    """A row of a recipe's `custom_tasks`: the keys of `Task` but for its name.

    Raises:
        ValueError: If a key is unknown or missing, or a metric does not exist; names it.
    """
    where, allowed = f'custom_tasks.{name}', [f.name for f in fields(Task) if f.name not in ('name', 'label')]
    for key in row:
        if key not in allowed:
            raise ValueError(f'{where}.{key} is not a key of a task; choose from: {", ".join(allowed)}.')
    for key in ('dataset', 'split', 'metrics'):
        if key not in row:
            raise ValueError(f'{where}.{key} is missing.')
    metrics = tuple(row['metrics'])
    for metric in metrics:
        if metric not in METRICS:
            raise ValueError(f'{where}.metrics: there is no metric {metric!r}; known are: {", ".join(METRICS)}.')
    headline = row.get('headline', metrics[0] if metrics else None)
    return Task(name=name, label=name, **{**row, 'metrics': metrics, 'headline': headline})


def select_tasks(names: Iterable[str], custom: Optional[Mapping[str, Task]] = None) -> list[Task]:
    """The rows that a recipe names, each once, in order.

    Args:
        names (Iterable[str]): Tasks, groups, or `task:split`; each may be a list of such, with commas.
        custom (Mapping[str, Task], optional): Rows beside those of the table.

    Raises:
        ValueError: If there is no such task; suggests similar ones.
    """
    rows = {**TASKS, **(custom or {})}
    flat = [part.strip() for name in names for part in name.split(',')]
    expanded = [part for name in flat for part in GROUPS.get(name, name).split()]
    return list(dict.fromkeys(_find(name, rows) for name in expanded))


def _find(name: str, rows: Mapping[str, Task]) -> Task:
    base, _, split = name.partition(':')
    if base in rows:
        row = rows[base]
        return replace(row, split=split, label=f'{base}_{split}') if split not in ('', row.split) else row
    similar = difflib.get_close_matches(base, [*rows, *GROUPS], n=3)
    hint = f'did you mean {" or ".join(similar)}?' if similar else f'there are {", ".join([*GROUPS, *rows])}.'
    raise ValueError(f'There is no task {base!r}: {hint}')
