# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""From what is known of an example to the fields that a metric scores with.

`facts` of an example are its annotation, what formatting tells about it (`option_names`, points in pixels), and its
record's metadata; see `data.sources` for which data set has what. A row of `FIELDS` gives a metric's fields, or None
where the answer is not public: such examples are asked, written down and not scored.
"""

import math
from typing import Any, Callable, Mapping, Optional

import numpy as np

from molmo_foundry.data.sources.masks import decode_mask
from molmo_foundry.eval.metrics import Judge, Score, judge_of, score_response

Facts = Mapping[str, Any]
Fields = Optional[dict[str, Any]]

_UNKNOWN_ANSWER = '?'
"""What MMMU has for the answers of its test split."""


def _answers(facts: Facts) -> list[str]:
    """All that count as right, empty if that is not known."""
    value = facts.get('answers') or facts.get('answer') or []
    answers = [value] if isinstance(value, str) else list(value)
    return [] if answers == [_UNKNOWN_ANSWER] else answers


def _all_answers(facts: Facts) -> Fields:
    answers = _answers(facts)
    return {'answers': answers} if answers else None


def _one_of(facts: Facts) -> Fields:
    answers = _answers(facts)
    return {'answer': answers} if answers else None


def _choice(facts: Facts) -> Fields:
    if facts.get('answer_idx') is None:
        return None
    return {'options': facts['option_names'], 'answer_idx': facts['answer_idx']}


def _ai2d(facts: Facts) -> Fields:
    choice = _choice(facts)
    return choice and {**choice, **_pick(facts, 'abc_label', 'has_transparent_box')}


def _mmmu(facts: Facts) -> Fields:
    answers = _all_answers(facts)
    return answers and {**answers, 'options': facts.get('options', ()), **_pick(facts, 'question_type', 'example_id')}


def _real_world_qa(facts: Facts) -> Fields:
    return _pick(facts, 'answer', 'question_type') if facts.get('answer') else None


def _math_vista(facts: Facts) -> Fields:
    if not facts.get('answer'):
        return None
    return _pick(facts, 'answer', 'question_type', 'answer_type', 'choices', 'precision', 'question')


def _pointing(facts: Facts) -> Fields:
    if 'points' not in facts:
        return None
    return {**_pick(facts, 'points', 'image_size'), 'masks': _masks(facts)}


def _count(facts: Facts) -> Fields:
    if 'count' in facts:
        return {'count': int(facts['count'])}
    return {'count': len(facts['points'])} if 'points' in facts else None


def _android_control(facts: Facts) -> Fields:
    return _pick(facts, 'target', 'target_box')


def _clock(facts: Facts) -> Fields:
    return _pick(facts, 'hour', 'minute', 'second')


def _caption(facts: Facts) -> Fields:
    return {'references': [facts['text']]} if facts.get('text') else None


FIELDS: dict[str, Callable[[Facts], Fields]] = {
    'vqa_score': _all_answers,
    'a_okvqa_score': _all_answers,
    'em': _one_of,
    'anls': _one_of,
    'relaxed_correctness': _one_of,
    'mc': _choice,
    'mc_ai2d': _ai2d,
    'mmmu': _mmmu,
    'real_world_qa': _real_world_qa,
    'math_vista': _math_vista,
    'pointing': _pointing,
    'count': _count,
    'android_control': _android_control,
    'clock': _clock,
    'clock_bench': _clock,
    'clock_quarter': _clock,
    'caption': _caption,
    'cap_f1': _caption,
}
"""The fields of each metric that a task may have."""


def score_example(
    metrics: tuple[str, ...], response: str, facts: Facts, record: str, judge: Optional[Judge] = None
) -> dict[str, Score]:
    """Scores a response by every metric whose answer is known.

    Args:
        metrics (tuple[str, ...]): Keys of `FIELDS`.
        response (str): What the model wrote.
        facts (Mapping): See the module.
        record (str): Id of the example, for errors.
        judge (Judge, optional): For metrics that take one.

    Returns:
        dict[str, Score]: By metric; without those that cannot be known.

    Raises:
        ValueError: If a metric has no row, or the record lacks something it needs; names both.
    """
    scores = {}
    for metric in metrics:
        if metric not in FIELDS:
            raise ValueError(f'Metric {metric!r} cannot be used in a task; choose from: {", ".join(FIELDS)}.')
        try:
            fields = FIELDS[metric](facts)
        except KeyError as error:
            raise ValueError(f'record {record!r} has no {error}, which metric {metric!r} needs.') from error
        if fields is not None:
            if judge is not None and judge_of(metric):
                fields['judge'] = judge
            try:
                scores[metric] = score_response(metric, response=response, **fields)
            except ValueError as error:
                raise ValueError(f'record {record!r}: {error}') from error
    return scores


def references(facts: Facts) -> Any:
    """What a person should compare a response with; None if it is not public."""
    if facts.get('answer_idx') is not None:
        return facts['option_names'][facts['answer_idx']]
    for key in ('count', 'target', 'text'):
        if facts.get(key) is not None:
            return facts[key]
    if 'hour' in facts:
        return _pick(facts, 'hour', 'minute', 'second')
    if answers := _answers(facts):
        return answers
    return f'points: {len(facts["points"])}' if 'points' in facts else None


def _masks(facts: Facts) -> list[np.ndarray]:
    """A mask (H, W) for each point: the record's own, or the box of the rendered shape around it."""
    if 'masks' in facts:
        return [decode_mask(mask) for mask in facts['masks']]
    width, height = facts['image_size']
    masks = [np.zeros((height, width), dtype=bool) for _ in facts['points']]
    for mask, (x, y) in zip(masks, facts['points']):
        for shape in facts['shapes']:
            left, top, right, bottom = shape['box']
            if left <= x <= right and top <= y <= bottom:
                rows = slice(math.floor(top), math.ceil(bottom) + 1)
                mask[rows, math.floor(left) : math.ceil(right) + 1] = True
    return masks


def _pick(facts: Facts, *keys: str) -> dict[str, Any]:
    return {key: facts[key] for key in keys}
