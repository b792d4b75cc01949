# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Clocks: the time that a response states, against the one on the dial.

Differences are taken around the dial: 11:59 and 0:01 are two minutes apart, seconds 59 and 1 two seconds.
"""

import re
from dataclasses import dataclass
from typing import Optional

UNKNOWN = -1
"""Hour, minute or second that a clock does not show. A clock with none of them cannot be read."""

_TIME = re.compile(
    r'(?<!\d)([01]?\d|2[0-4]):([0-5]?\d|60)(?!\d)(?::([0-5]?\d|60)(?!\d))?(?:\s*([ap])\.?m\b)?', re.IGNORECASE
)


@dataclass(frozen=True)
class ClockTime:
    """A time; `UNKNOWN` where it does not say."""

    hour: int
    minute: int
    second: int = UNKNOWN


def parse_time(response: str, hours: int = 24) -> Optional[ClockTime]:
    """Reads the first h:m or h:m:s of a response, with AM or PM after it, or returns None.

    Args:
        response (str): The response.
        hours (int): 24, or 12 to read hours as positions on a dial, where AM and PM make no difference.
    """
    match = _TIME.search(response)
    if match is None:
        return None
    hour, minute = int(match.group(1)), int(match.group(2))
    second = UNKNOWN if match.group(3) is None else int(match.group(3)) % 60
    if match.group(4):
        hour = hour % 12 + (12 if match.group(4).lower() == 'p' else 0)
    return ClockTime(hour % hours, minute % 60, second)


def clock(prediction: str, hour: int, minute: int, second: int = UNKNOWN) -> dict[str, float]:
    """Scores a reading of a clock within three minutes, over 24 hours.

    Args:
        prediction (str): The response.
        hour (int): 0 to 23. All three are `UNKNOWN` (−1) if the clock cannot be read: the response should give no time.
        minute (int): 0 to 59.
        second (int): 0 to 59, or −1 if the clock has no second hand.

    Returns:
        dict[str, float]: 0 or 1 each. Always `overall_exact` and `overall_close`; for an unreadable clock also
            `correctly_declines_to_answer`; for a readable one `all_correct`, `all_close`, `hour_correct`,
            `minute_correct`, `minute_close`, and with a second hand `second_correct` and `second_close`.
    """
    return _score(prediction, ClockTime(hour, minute, second), tolerance=3, hours=24)


def clock_bench(prediction: str, hour: int, minute: int, second: int = UNKNOWN) -> dict[str, float]:
    """Scores a reading of a dial within one minute, over 12 hours; otherwise like `clock`.

    Source: Yang et al., "It's About Time" (CVPR 2022), whose test sets these are.

    Args:
        prediction (str): The response.
        hour (int): 0 to 11.
        minute (int): 0 to 59.
        second (int): 0 to 59, or −1 if the clock has no second hand.

    Returns:
        dict[str, float]: See `clock`.
    """
    return _score(prediction, ClockTime(hour, minute, second), tolerance=1, hours=12)


def clock_quarter(prediction: str, hour: int, minute: int, second: int = UNKNOWN) -> dict[str, float]:
    """Scores a reading of a dial within a quarter of an hour, over 12 hours; otherwise like `clock`.

    Args:
        prediction (str): The response.
        hour (int): 0 to 11.
        minute (int): 0 to 59.
        second (int): 0 to 59, or −1 if the clock has no second hand.

    Returns:
        dict[str, float]: See `clock`.
    """
    return _score(prediction, ClockTime(hour, minute, second), tolerance=15, hours=12)


def _score(prediction: str, truth: ClockTime, tolerance: int, hours: int) -> dict[str, float]:
    stated = parse_time(prediction, hours)
    if truth == ClockTime(UNKNOWN, UNKNOWN, UNKNOWN):
        declined = float(stated is None)
        return {'correctly_declines_to_answer': declined, 'overall_exact': declined, 'overall_close': declined}
    scores = {
        'hour_correct': stated is not None and stated.hour == truth.hour % hours,
        'minute_correct': stated is not None and stated.minute == truth.minute,
        'minute_close': stated is not None and _apart(stated.minute, truth.minute, 60) <= tolerance,
    }
    if truth.second != UNKNOWN:
        scores['second_correct'] = stated is not None and stated.second == truth.second
        scores['second_close'] = (
            stated is not None and stated.second != UNKNOWN and _apart(stated.second, truth.second, 60) <= tolerance
        )
    scores['all_correct'] = all(correct for name, correct in scores.items() if name.endswith('_correct'))
    scores['all_close'] = (
        stated is not None and _apart(_minute_of_day(stated), _minute_of_day(truth), 60 * hours) <= tolerance
    )
    scores |= {'overall_exact': scores['all_correct'], 'overall_close': scores['all_close']}
    return {name: float(value) for name, value in scores.items()}


def _minute_of_day(time: ClockTime) -> int:
    return 60 * time.hour + time.minute


def _apart(first: int, second: int, period: int) -> int:
    difference = abs(first - second) % period
    return min(difference, period - difference)
