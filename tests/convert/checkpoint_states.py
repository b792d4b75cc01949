# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""State dicts of the runs of `checkpoint_worker`, and their comparison."""

from pathlib import Path

import torch
from torch import Tensor

State = dict[str, Tensor]


def expected_of(run: Path) -> State:
    """The weights that a run ended with."""
    return torch.load(run / 'expected.pt', weights_only=True)


def whole(one_process: Path) -> Path:
    """The checkpoint of a run on one process."""
    return next((one_process / 'checkpoints').glob('ep*.pt'))


def sharded(two_processes: Path) -> Path:
    """The checkpoint of a run on two processes."""
    return (two_processes / 'checkpoints' / 'latest-rank0.pt').resolve()


def assert_equal(actual: State, expected: State, dtype: torch.dtype = torch.float32) -> None:
    """The same keys, and tensors equal to the last bit once they are of ``dtype``."""
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        assert actual[key].dtype == dtype and torch.equal(actual[key], value.to(dtype)), key
