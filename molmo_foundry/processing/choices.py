# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""How formatting decides where there is more than one way to write an example.

Training draws at random, evaluation takes the first, and the length index goes through all that may be the longest.
All randomness of an example comes from one generator, seeded by the run's seed, the epoch and the example's id: it is
the same for any number of workers or ranks.
"""

import hashlib
from functools import lru_cache
from typing import Callable, Iterator, Optional, Protocol, Sequence, TypeVar

import numpy as np

from molmo_foundry.processing.prompts import LABEL


def example_rng(seed: int, epoch: int, example_id: str) -> np.random.Generator:
    """The generator of one example in one epoch.

    Args:
        seed (int): Seed of the run.
        epoch (int): How often the example's data set was gone through before.
        example_id (str): The example's id.
    """
    key = f'{seed} {epoch} {example_id}'.encode('utf-8', 'surrogatepass')
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), 'little'))


class Choices(Protocol):
    """Decides between ways of writing an example."""

    def pick(self, options: Sequence[str], weights: Optional[Sequence[float]] = None) -> str:
        """One of the options; `weights` are their probabilities, equal by default."""
        ...

    def noise(self, std: float) -> int:
        """A whole number near zero, normally distributed."""
        ...


class FirstChoice:
    """Always the first option and no noise."""

    def pick(self, options: Sequence[str], weights: Optional[Sequence[float]] = None) -> str:
        """The first option."""
        return options[0]

    def noise(self, std: float) -> int:
        """Zero."""
        return 0


class RandomChoice:
    """A random option.

    Args:
        rng (np.random.Generator): Source of the randomness; see `example_rng`.
    """

    def __init__(self, rng: np.random.Generator):
        self._rng = rng

    def pick(self, options: Sequence[str], weights: Optional[Sequence[float]] = None) -> str:
        """An option drawn with its weight."""
        return options[int(self._rng.choice(len(options), p=weights))]

    def noise(self, std: float) -> int:
        """A normal draw, cut off towards zero."""
        return int(self._rng.normal(0, std))


Written = TypeVar('Written')
Way = TypeVar('Way', str, int)


def long_ways(write: Callable[[Choices], Written], length: Callable[[str], int]) -> Iterator[Written]:
    """Everything that `write` may write at its longest: all combinations of what may win a decision.

    Where words are split at spaces before they become tokens, as byte-level tokenizers do, the longest is among them.

    Args:
        write (callable): Writes by the decisions of a `Choices`.
        length (callable): Tokens of a string.
    """
    scripts: list[list[int]] = [[]]
    while scripts:
        choices = _LongChoice(scripts.pop(), length)
        yield write(choices)
        scripts += choices.others


class _LongChoice:
    """Decides by a script of indices, and by the first way where it ends; `others` are scripts that fork there."""

    def __init__(self, script: Sequence[int], length: Callable[[str], int]):
        self._script = script
        self._length = length
        self._taken: list[int] = []
        self.others: list[list[int]] = []

    def pick(self, options: Sequence[str], weights: Optional[Sequence[float]] = None) -> str:
        """An option that no other is sure to exceed in length."""
        return self._decide(_contenders(tuple(options), self._length))

    def noise(self, std: float) -> int:
        """A draw within eight standard deviations, beyond which lies one in 10^15, in steps below a hint's unit."""
        most, step = int(8 * std), int(std / 2)
        return self._decide(range(-most, most + step, step))

    def _decide(self, ways: Sequence[Way]) -> Way:
        at = len(self._taken)
        if at == len(self._script):
            self.others += [[*self._taken, other] for other in range(1, len(ways))]
            self._script = [*self._script, 0]
        self._taken.append(self._script[at])
        return ways[self._taken[-1]]


@lru_cache(maxsize=1024)
def _contenders(options: tuple[str, ...], length: Callable[[str], int]) -> tuple[str, ...]:
    """The options that may turn out longest, whether behind a space or not.

    Of two sentences in which `LABEL` stands between the same characters, one is the longer whatever the label is.
    """
    by_context: dict[Optional[tuple[str, str]], list[str]] = {}
    for option in options:
        before, label, after = option.partition(LABEL)
        context = (before.rpartition(' ')[2], after.partition(' ')[0]) if label else None
        by_context.setdefault(context, []).append(option)
    longest = []
    for alike in by_context.values():
        bare = {option: (length(option), length(f' {option}')) for option in alike}
        spaced = {option: own[::-1] for option, own in bare.items()}
        longest += [max(alike, key=own.__getitem__) for own in (bare, spaced)]
    return tuple(dict.fromkeys(longest))
