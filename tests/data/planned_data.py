# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Planned data sets of the tiny model."""

import atexit
import gc
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest
from streaming.base.shared.memory import SharedMemory

from molmo_foundry.data.packing.dataset import PlannedDataset
from molmo_foundry.data.packing.mixture import parse_mixture
from molmo_foundry.data.packing.node_files import FOLDER_VARIABLE
from molmo_foundry.data.packing.planner import PlanSettings
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer

SETTINGS = {'seed': 3, 'max_seq_len': 600, 'max_crops_per_pack': 24}
"""Of the plan, unless a test changes them."""

OPTIONS = ('allow_changed_plan', 'max_bad_fraction', 'index_workers', 'cache_limit', 'predownload')
"""Of the data set itself; all other keys are settings of the plan."""


def tiny_preprocessor(max_seq_len: int = SETTINGS['max_seq_len'], **overrides: Any) -> Preprocessor:
    """The preprocessor of the tiny model; `overrides` change its configuration."""
    config, tokenizer = build_config('tiny', 'tiny', **overrides), MolmoTokenizer('tiny', vocab_size=1024)
    return Preprocessor.from_config(config, tokenizer, max_seq_len=max_seq_len, pixels='fast')


def planned_dataset(streams: Mapping[str, Any], batch_size: int = 4, **changed: Any) -> PlannedDataset:
    """A planned data set of these streams; `changed` are settings or options."""
    options = {name: changed.pop(name) for name in OPTIONS if name in changed}
    settings = PlanSettings(**{**SETTINGS, **changed})
    return PlannedDataset(
        mixture=parse_mixture({'streams': streams}),
        preprocessor=tiny_preprocessor(settings.max_seq_len),
        settings=settings,
        batch_size=batch_size,
        **options,
    )


def leave_no_traces(folder: Path) -> Iterator[None]:
    """The body of a fixture: what a node shares goes to a folder of the tests, and shared memory is given back.

    Streaming closes shared memory only when the process ends, and opens all that there is for every new data set.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        yield
    for memory in [thing for thing in gc.get_objects() if type(thing) is SharedMemory]:
        atexit.unregister(memory.cleanup)
        memory.cleanup()


def forget_resource_tracker() -> None:
    """For a fork that is going to be killed: its memory is not given back, as if its whole group had been.

    The tracker that it shares with the tests would do so when they end, by names that are others' by then.
    """
    resource_tracker.register = lambda name, rtype: None
