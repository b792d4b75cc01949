# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The table of metrics and the one way to score with them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

from molmo_foundry.eval.metrics.android_control import android_control
from molmo_foundry.eval.metrics.caption import cap_f1, caption_overlap
from molmo_foundry.eval.metrics.clock import clock, clock_bench, clock_quarter
from molmo_foundry.eval.metrics.counting import count_score
from molmo_foundry.eval.metrics.math_vista import math_vista
from molmo_foundry.eval.metrics.mmmu import mmmu
from molmo_foundry.eval.metrics.multiple_choice import ai2d, multiple_choice, real_world_qa, select_mc_option
from molmo_foundry.eval.metrics.pointing import pointing
from molmo_foundry.eval.metrics.text import short_answer
from molmo_foundry.eval.metrics.text_match import anls, exact_match, relaxed_correctness
from molmo_foundry.eval.metrics.vqa import a_okvqa_score, vqa_score

Score = bool | int | float | dict[str, float]
"""What a metric returns for one example: one value, or several by name."""


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Attributes:
        function: Scores one example: `prediction` and the fields of the metric → `Score`. Pure.
        description: What it measures, in a line.
        short_answer: Whether a task that uses it scores the short answer picked out of the response
            (`text.short_answer`) and not the response as it is.
        average_by: Prefix of the names whose means are averaged once more, every category counting the same.
        averageable: Whether a mean over examples has a meaning.
    """

    function: Callable[..., Score]
    description: str
    short_answer: bool = False
    average_by: Optional[str] = None
    averageable: bool = True


METRICS: dict[str, Metric] = {
    'vqa_score': Metric(vqa_score, 'VQA accuracy: min(people who agree / 3, 1), normalised', short_answer=True),
    'a_okvqa_score': Metric(a_okvqa_score, 'A-OKVQA direct answer: min(people who agree / 3, 1)', short_answer=True),
    'em': Metric(exact_match, 'exact match, case ignored', short_answer=True),
    'anls': Metric(anls, 'normalised Levenshtein similarity, cut off at 0.5', short_answer=True),
    'relaxed_correctness': Metric(relaxed_correctness, 'ChartQA: numbers within 5 %', short_answer=True),
    'select_mc_option': Metric(
        select_mc_option, 'index of the option that an answer selects', short_answer=True, averageable=False
    ),
    'mc': Metric(multiple_choice, 'multiple choice accuracy', short_answer=True),
    'mc_ai2d': Metric(ai2d, 'AI2D accuracy, with opaque and with transparent boxes', short_answer=True),
    'mmmu': Metric(mmmu, 'MMMU accuracy, multiple choice and open', short_answer=True),
    'real_world_qa': Metric(real_world_qa, 'RealWorldQA accuracy', short_answer=True),
    'math_vista': Metric(math_vista, 'MathVista accuracy, extracted by rules and by a judge if given'),
    'pointing': Metric(pointing, 'precision, recall and F1 of points against masks'),
    'count': Metric(count_score, 'counts: right, within one, valid, and by true count', average_by='correct_'),
    'android_control': Metric(android_control, 'AndroidControl step accuracy'),
    'clock': Metric(clock, 'time on a clock, within 3 minutes'),
    'clock_bench': Metric(clock_bench, 'time on a 12-hour dial, within 1 minute'),
    'clock_quarter': Metric(clock_quarter, 'time on a 12-hour dial, within 15 minutes'),
    'caption': Metric(caption_overlap, 'caption length and word overlap with references'),
    'cap_f1': Metric(cap_f1, 'F1 of the statements in a dense caption, by a judge'),
}


def get_metric(name: str) -> Metric:
    """Returns a row of the table.

    Raises:
        ValueError: If there is no metric of that name.
    """
    if name not in METRICS:
        raise ValueError(f'There is no metric {name!r}; known are: {", ".join(METRICS)}.')
    return METRICS[name]


def judge_of(name: str) -> Optional[inspect.Parameter]:
    """The parameter of a metric that takes a judge; without a default if it needs one; None if it knows of none."""
    return inspect.signature(get_metric(name).function).parameters.get('judge')


def score(metric: str, *, prediction: str, **fields: Any) -> Score:
    """Scores one prediction.

    Args:
        metric (str): A name in `METRICS`.
        prediction (str): The text to score, taken as it is.
        **fields (Any): What the metric's function takes besides.

    Returns:
        Score: What the metric's function returns.

    Raises:
        ValueError: If the metric or a field is unknown, or one that it needs is missing.
    """
    function = get_metric(metric).function
    parameters = inspect.signature(function).parameters
    allowed = [name for name in parameters if name != 'prediction']
    missing = [name for name in allowed if parameters[name].default is inspect.Parameter.empty and name not in fields]
    unknown = [name for name in fields if name not in allowed]
    if missing or unknown:
        raise ValueError(
            f'Metric {metric!r} takes the fields {allowed}: missing are {missing}, unknown are {unknown}. '
            f'It got {list(fields)}.'
        )
    return function(prediction, **fields)


def score_response(metric: str, *, response: str, **fields: Any) -> Score:
    """Scores a model's whole response: the short answer in it where the metric is one of short answers.

    Args:
        metric (str): A name in `METRICS`.
        response (str): What the model wrote.
        **fields (Any): What the metric's function takes besides.

    Returns:
        Score: See `score`.

    Raises:
        ValueError: See `score`.
    """
    prediction = short_answer(response) if get_metric(metric).short_answer else response
    return score(metric, prediction=prediction, **fields)
