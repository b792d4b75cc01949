# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""From the results of arms and seeds to the table of `ablations.py`.

A difference counts as one if Student's t-test of the two arms' means (seeds as samples, equal variances) finds it at a
level of 5 %; with three seeds an arm, it must be 2.8 times its standard error.
"""

import math
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Iterator, Mapping, Sequence

from ablation_arms import Comparison, Finding
from scipy.stats import t

LEVEL = 0.05

COLUMNS = (
    'finding',
    "paper's choice and alternative",
    'paper',
    'measure',
    'choice',
    'alternative',
    'gain',
    'direction',
)


@dataclass(frozen=True)
class Result:
    """What an arm with one seed reached on validation data.

    Attributes:
        score: Of its task, in percent.
        loss: Cross-entropy of its responses, nats a token.
    """

    score: float
    loss: float


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its standard error; infinite with one seed."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Estimate':
        """The estimate of values."""
        return cls(mean(values), stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf)

    def __sub__(self, other: 'Estimate') -> 'Estimate':
        return Estimate(self.value - other.value, math.hypot(self.error, other.error))

    def text(self, digits: int, sign: str = '') -> str:
        """As in the table."""
        return f'{self.value:{sign}.{digits}f} ± {self.error:.{digits}f}'


def direction(gain: Estimate, freedom: int) -> str:
    """Whether a gain has the paper's direction.

    Args:
        gain (Estimate): By how much the paper's choice is better.
        freedom (int): Degrees of freedom: values of both arms less two.
    """
    if abs(gain.value) > t.ppf(1 - LEVEL / 2, freedom) * gain.error:
        return '**same**' if gain.value > 0 else '**opposite**'
    return 'not distinguishable'


def table(findings: Mapping[str, Finding], results: Mapping[str, Sequence[Result]]) -> str:
    """The findings in Markdown: for each comparison a row of scores and, where they compare, one of losses.

    Args:
        findings (Mapping[str, Finding]): What was tried.
        results (Mapping[str, Sequence[Result]]): By arm, one a seed.
    """
    rows = [COLUMNS, *(row for finding in findings.values() for row in _rows(finding, results))]
    lines = [f'| {" | ".join(row)} |' for row in rows]
    return '\n'.join([lines[0], '| --- | --- | --- | --- | ---: | ---: | ---: | --- |', *lines[1:]])


def _rows(finding: Finding, results: Mapping[str, Sequence[Result]]) -> Iterator[tuple[str, ...]]:
    for pair in finding.comparisons:
        arms = results[pair.better], results[pair.worse]
        score = [[result.score for result in arm] for arm in arms]
        yield _row(finding, pair, f'{finding.measure}, %', score, better=1, digits=1)
        if finding.compares_loss:
            loss = [[result.loss for result in arm] for arm in arms]
            yield _row(finding, pair, 'validation loss', loss, better=-1, digits=3)


def _row(
    finding: Finding, pair: Comparison, measure: str, values: Sequence[Sequence[float]], better: int, digits: int
) -> tuple[str, ...]:
    """A row; ``better`` is 1 if more is better and -1 if less is."""
    choice, alternative = (Estimate.of(arm) for arm in values)
    difference = choice - alternative
    gain = Estimate(better * difference.value, difference.error)
    return (
        finding.title,
        f'{pair.better}, {pair.worse}',
        pair.paper,
        measure,
        choice.text(digits),
        alternative.text(digits),
        gain.text(digits, sign='+'),
        direction(gain, sum(map(len, values)) - 2),
    )
