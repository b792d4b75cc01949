# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The data sets of `ablations.py`: the built-in scenes, few of them, and the same scenes asked for counts in two ways.

`points` and `counts` have the pictures of `scenes` and ask of each for the same three labels. In `points` the answer
lists the points and then says how many there are; in `counts` it is the number alone, as in TallyQA.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from molmo_foundry.cli.data_render import render
from molmo_foundry.data.mds import MDSRecords, write_mds
from molmo_foundry.processing.types import Example

TRAIN = {'scenes': 4800, 'few-scenes': 256}
"""Records for training: so many that none comes twice, and so few that each comes sixteen times."""

VALIDATION = 256

STYLES = {'points': 'point_count', 'counts': 'tally_qa'}
"""How counts are asked for."""


def make_data(out: Path) -> None:
    """Makes what is not there yet: ``<out>/<data set>/<split>``.

    Raises:
        FileExistsError: If something else is there.
    """
    for name, train in TRAIN.items():
        render(out / name, 'shapes', train=train, validation=VALIDATION, test=0, seed=0)
    for split in ('train', 'validation'):
        scenes = MDSRecords(out / 'scenes' / split)
        for name, style in STYLES.items():
            target = out / name / split
            if not ((target / 'index.json').is_file() and len(MDSRecords(target)) == len(scenes)):
                write_mds((as_counting(scene, style) for scene in scenes), target)


def as_counting(scene: Example, style: str) -> Example:
    """A scene with nothing but its labels to count, in a style of `STYLES`."""
    labelled = [annotation for annotation in scene.annotations if 'points' in annotation]
    return replace(scene, annotations=[_ask_count(annotation, style) for annotation in labelled])


def _ask_count(annotation: dict[str, Any], style: str) -> dict[str, Any]:
    if style == STYLES['points']:
        return {**annotation, 'style': style}
    return {'style': style, 'question': annotation['label'], 'answers': [str(len(annotation['points']))]}
