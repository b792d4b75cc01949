# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics: pure functions that score one example each, by name, and the averaging of their scores.

`METRICS` is the table, one family a file. `score` scores a text as it is, `score_response` what a model wrote, and
`aggregate` averages. Where a score is our own, differs from the reference or from a benchmark's script, it is in
`docs/differences.md`.
"""

from molmo_foundry.eval.metrics.aggregate import aggregate
from molmo_foundry.eval.metrics.judge import Judge, find_judge
from molmo_foundry.eval.metrics.registry import METRICS, Metric, Score, judge_of, score, score_response

__all__ = [
    'METRICS',
    'Judge',
    'Metric',
    'Score',
    'aggregate',
    'find_judge',
    'judge_of',
    'score',
    'score_response',
]
