# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Points as the model writes and reads them: percent of the image, one decimal, in an XML-like tag.

``<point x="10.5" y="20.0" alt="cup">cup</point>`` for one point, ``<points x1="…" y1="…" x2="…" … alt="…">…</points>``
for several, from left to right.
"""

import re
from typing import Any, Optional, Sequence, Union

import numpy as np

NO_POINTS = 'There are none.'
"""The response where nothing can be pointed at."""

INLINE_POINT = '<|POINT|>'
"""Marks in an annotated answer where the next point tag goes."""

_NUMBER = r'(\d+(?:\.\d+)?)'
_DECIMAL = r'(\d+\.\d+)'
_POINT = re.compile(
    '|'.join(
        (
            rf'Click\(\s*{_DECIMAL}\s*,\s*{_DECIMAL}\s*\)',
            rf'\(\s*{_DECIMAL}(?:\s*,\s*|\s+){_DECIMAL}\s*\)',
            rf'x\d*\s*=\s*"\s*{_NUMBER}\s*"\s+y\d*\s*=\s*"\s*{_NUMBER}\s*"',
            r'[p\d]\s*=\s*(\d{3})\s*,\s*(\d{3})',
        )
    ),
    re.ASCII,
)
_TENTHS_GROUP = 7
"""Group of the last format's x, which is in tenths of a percent."""

Points = Union[np.ndarray, Sequence[Sequence[float]]]


def points_to_text(points_px: Points, width: int, height: int, label: str, alt: Optional[str] = None) -> str:
    """Writes what was pointed at as the model does.

    Args:
        points_px (array): (n, 2) x and y in pixels; may be empty.
        width (int): Width of the image in pixels.
        height (int): Height of the image in pixels.
        label (str): What the points show; written in lower case, as all pointing labels are.
        alt (str, optional): Text of the tag's ``alt``. Default: the label.

    Returns:
        str: The tag, or `NO_POINTS`.

    Raises:
        ValueError: If the points are not finite pairs or the size is not positive.
    """
    label = label.lower()
    if len(points_px) == 0:
        return NO_POINTS
    return point_tag(to_percent(points_px, width, height), label, label if alt is None else alt)


def counting_sentence(tag: str, count: int) -> str:
    """The response to a counting question: the point tag within a sentence."""
    return f'Counting the {tag} shows a total of {count}.'


def annotate_inline(text: str, annotations: Sequence[dict[str, Any]]) -> str:
    """Replaces each `INLINE_POINT` of a text, in order, by the tag of the annotation at its place.

    Args:
        text (str): The answer.
        annotations (sequence): Mappings of ``points`` ((n, 2) in percent), ``inline_text`` and ``alt_text``.

    Raises:
        ValueError: If there are not as many annotations as marks.
    """
    first, *rest = text.split(INLINE_POINT)
    if len(rest) != len(annotations):
        raise ValueError(f'the answer has {len(rest)} marks {INLINE_POINT}, but {len(annotations)} annotations.')
    tags = [point_tag(item['points'], item['inline_text'], item['alt_text']) for item in annotations]
    return first + ''.join(tag + tail for tag, tail in zip(tags, rest))


def point_tag(points: Points, text: str, alt: str) -> str:
    """Writes the tag of (n, 2) points in percent, n at least 1."""
    pairs = np.round(_as_pairs(points), 1)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))] + 0.0  # no "-0.0"
    if len(pairs) == 0:
        raise ValueError(f'a point tag needs at least one point (alt text: {alt!r}).')
    if len(pairs) == 1:
        x, y = pairs[0]
        return f'<point x="{x:.1f}" y="{y:.1f}" alt="{alt}">{text}</point>'
    coordinates = ' '.join(f'x{i}="{x:.1f}" y{i}="{y:.1f}"' for i, (x, y) in enumerate(pairs, start=1))
    return f'<points {coordinates} alt="{alt}">{text}</points>'


def to_percent(points_px: Points, width: int, height: int) -> np.ndarray:
    """Converts (n, 2) points from pixels to percent of the image; a new float64 array."""
    if width <= 0 or height <= 0:
        raise ValueError(f'points need the size of their image, not {width} x {height} pixels.')
    return _as_pairs(points_px) / (np.array([width, height]) / 100)


def parse_points(text: str, width: int, height: int) -> np.ndarray:
    """Finds all points in a text, in the four ways that Molmo models write them.

    These are point tags, ``Click(12.5, 50.0)``, ``(12.5, 50.0)`` and ``p=125,500`` (tenths of a percent). Anything
    else, malformed tags included, is passed over; so are points beyond 100 percent.

    Args:
        text (str): A response of the model.
        width (int): Width of the image in pixels.
        height (int): Height of the image in pixels.

    Returns:
        np.ndarray: (n, 2) float64 x and y in pixels, in the order of the text; n may be 0.
    """
    percent = []
    for match in _POINT.finditer(text):
        x, y = (float(group) for group in match.groups() if group is not None)
        scale = 1 if match.group(_TENTHS_GROUP) is None else 10
        percent.append((x / scale, y / scale))
    points = np.array(percent, dtype=np.float64).reshape(-1, 2)
    points = points[(points <= 100).all(axis=1)]
    return points * np.array([width, height]) / 100


def _as_pairs(points: Points) -> np.ndarray:
    try:
        pairs = np.array(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(_refusal(points)) from error
    if pairs.size == 0:
        return pairs.reshape(0, 2)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isfinite(pairs).all():
        raise ValueError(_refusal(points))
    return pairs


def _refusal(points: Points) -> str:
    return f'points must be finite [x, y] pairs, not {points!r:.200}.'
