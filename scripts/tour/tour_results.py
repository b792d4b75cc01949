# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What runs of the tour reached: read from their folders, and as a table in Markdown.

The folder of a run holds `multitask/eval` (validation, at intervals of training), `eval` and `eval-blank` (test, with
pictures and with blank ones), and `majority.json`. Scores are the tasks' headlines in percent.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Optional, Sequence

from molmo_foundry.eval.predictions import METRICS_FILE, read_summary
from molmo_foundry.eval.tasks import TASKS

Scores = dict[str, float]
"""Percent by name of the task."""


@dataclass(frozen=True)
class Skill:
    """A row of the table and a line of the figure.

    Attributes:
        name: What people call it.
        task: Its task.
        metric: The task's headline in words.
        target: Percent to reach, if that is the aim.
        times_text_only: Multiple of the score on blank pictures to reach, if that is the aim.
    """

    name: str
    task: str
    metric: str
    target: Optional[float] = None
    times_text_only: Optional[float] = None


SCENES = (
    Skill('describing', 'shapes_caption', 'word F1'),
    Skill('pointing', 'shapes_pointing', 'F1', target=75),
    Skill('counting', 'shapes_count', 'exact', target=75),
    Skill('short answers', 'shapes_vqa', 'VQA score', target=80),
    Skill('multiple choice', 'shapes_mc', 'accuracy', target=80),
)
READING = (
    Skill('words', 'words', 'VQA score', times_text_only=3),
    Skill('charts', 'charts', 'relaxed correctness', times_text_only=3),
    Skill('clocks', 'clocks', 'within 15 minutes', times_text_only=3),
    Skill('documents', 'documents', 'ANLS'),
)
SKILLS = SCENES + READING


@dataclass(frozen=True)
class Run:
    """Test scores of one run: of the model, of the model on blank pictures, and of the majority baseline."""

    model: Scores
    text_only: Scores
    majority: Scores


def read_run(folder: Path) -> Run:
    """The test scores of a run.

    Raises:
        FileNotFoundError: If the run is not finished; names what is missing.
    """
    path = folder / 'majority.json'
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing; make it with `python scripts/tour majority --out {path}`.')
    metrics = json.loads(path.read_text(encoding='utf-8'))
    majority = {skill.task: _headline(skill.task, metrics[f'{skill.task}_test']) for skill in SKILLS}
    return Run(_all_scores(folder / 'eval'), _all_scores(folder / 'eval-blank'), majority)


def read_curves(folder: Path) -> dict[int, Scores]:
    """The validation scores of a run by step, for steps at which every task was done.

    Raises:
        FileNotFoundError: If there is none.
    """
    results = folder / 'multitask' / 'eval'
    steps = {int(path.name.rpartition('-ba')[2]): _scores(path) for path in results.glob('*-ba*')}
    curves = {step: scores for step, scores in sorted(steps.items()) if not _missing(scores)}
    if not curves:
        raise FileNotFoundError(f'{results} has no results of all tasks; the callback molmo_evaluator writes them.')
    return curves


def table(runs: Sequence[Run]) -> str:
    """Skills in Markdown, a row each: means over the runs ± half the range from the worst run to the best."""
    rows = ['| skill | metric | target | reached | text only | majority |', '| --- | --- | --- | --- | --- | --- |']
    for skill in SKILLS:
        columns = [[getattr(run, name)[skill.task] for run in runs] for name in ('model', 'text_only', 'majority')]
        target = _target(skill, reached=mean(columns[0]), text_only=mean(columns[1]))
        rows.append(f'| {" | ".join([skill.name, skill.metric, target, *map(_cell, columns)])} |')
    return '\n'.join(rows)


def _target(skill: Skill, reached: float, text_only: float) -> str:
    """The target, and whether the mean reaches it; nothing right is not thrice nothing."""
    if skill.target is not None:
        goal, text = skill.target, f'≥ {skill.target:g}'
    elif skill.times_text_only is not None:
        goal, text = skill.times_text_only * text_only, f'≥ {skill.times_text_only:g} × text only'
    else:
        return '–'
    return f'{text} {"✓" if reached >= goal and reached > 0 else "✗"}'


def _cell(values: Sequence[float]) -> str:
    spread = f' ± {(max(values) - min(values)) / 2:.1f}' if len(values) > 1 else ''
    return f'{mean(values):.1f}{spread}'


def _scores(folder: Path) -> Scores:
    """Headlines of the tasks in a folder, at any depth; of a task that was done twice, the later one."""
    summaries: list[Any] = [read_summary(path.parent) for path in folder.rglob(METRICS_FILE)]
    summaries.sort(key=lambda summary: summary['date'])
    return {summary['task']['name']: _headline(summary['task']['name'], summary['metrics']) for summary in summaries}


def _all_scores(folder: Path) -> Scores:
    """The same of all skills.

    Raises:
        FileNotFoundError: If a task is not done; names the folder and the tasks.
    """
    scores = _scores(folder)
    if missing := _missing(scores):
        raise FileNotFoundError(f'{folder} has no results of {", ".join(missing)}; `make tour` goes on where it was.')
    return scores


def _missing(scores: Scores) -> list[str]:
    return [skill.task for skill in SKILLS if skill.task not in scores]


def _headline(task: str, metrics: dict[str, float]) -> float:
    return 100 * metrics[TASKS[task].headline or '']
