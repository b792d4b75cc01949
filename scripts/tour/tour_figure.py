# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Accuracy against steps, a line a skill with its name at the end: what is seen in scenes, and what is read.

The background is transparent and all colours are of medium lightness, so that the figure can be read on white and on
dark pages. Text stays text. The same numbers give the same file.
"""

from pathlib import Path
from statistics import mean
from typing import Any, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tour_results import READING, SCENES, Scores, Skill

GREY = '#808080'
COLORS = ('#1f88e5', '#e0662a', '#2a9d60', '#b05cc8', '#c4891b')
LABEL_GAP = 5.5
"""Least distance between the middles of two labels, in percent of the axis."""

STYLE: Any = {
    'svg.fonttype': 'none',
    'svg.hashsalt': 'tour',
    'font.family': 'sans-serif',
    'font.size': 10,
    **dict.fromkeys(('text.color', 'axes.labelcolor', 'axes.edgecolor', 'xtick.color', 'ytick.color'), GREY),
    'axes.spines.top': False,
    'axes.spines.right': False,
}


def draw(runs: Sequence[dict[int, Scores]], out: Path) -> None:
    """Draws means over the runs, and the range between them as a band.

    Args:
        runs (Sequence[dict]): Of each run, scores in percent by step. Steps that not all runs have are left out.
        out (Path): SVG file to write.

    Raises:
        ValueError: If no step is in all runs.
    """
    steps = sorted(set.intersection(*(set(run) for run in runs)))
    if not steps:
        raise ValueError('The runs were evaluated at no common step, so there is no mean to draw.')
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.8), layout='constrained')
        left, right = figure.subplots(1, 2, sharey=True)
        _panel(left, 'scenes', SCENES, runs, steps)
        _panel(right, 'reading', READING, runs, steps)
        left.set_ylabel('held-out score (%)')
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, format='svg', transparent=True, metadata={'Date': None})


def _panel(
    axes: Axes, title: str, skills: Sequence[Skill], runs: Sequence[dict[int, Scores]], steps: Sequence[int]
) -> None:
    axes.set_title(title, loc='left')
    axes.set_xlabel('step of stage 2')
    axes.set_xlim(0, steps[-1])
    axes.set_ylim(0, 100)
    axes.grid(axis='y', color=GREY, alpha=0.25, linewidth=0.6)
    ends = []
    for skill, color in zip(skills, COLORS):
        values = [[run[step][skill.task] for run in runs] for step in steps]
        means = [mean(at) for at in values]
        axes.plot(steps, means, color=color, linewidth=1.8, marker='o', markersize=3, clip_on=False)
        axes.fill_between(steps, [min(at) for at in values], [max(at) for at in values], color=color, alpha=0.2, lw=0)
        ends.append(means[-1])
    for skill, color, height in zip(skills, COLORS, apart(ends)):
        place = (1.03, height)
        axes.annotate(skill.name, place, xycoords=axes.get_yaxis_transform(), color=color, va='center')


def apart(heights: Sequence[float]) -> list[float]:
    """Heights from 0 to 100, moved down, and at the bottom up, until neighbours are `LABEL_GAP` apart."""
    placed, ceiling, floor = list(heights), 100.0, 0.0
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    for index in reversed(order):
        placed[index] = min(heights[index], ceiling)
        ceiling = placed[index] - LABEL_GAP
    for index in order:
        placed[index] = max(placed[index], floor)
        floor = placed[index] + LABEL_GAP
    return placed
