# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A signal in the middle of a step, on one process; two ranks and a bucket are in `recipes/test_interruptions.py`."""

import gc
import os
import signal
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
import torch
from composer import Trainer
from composer.core import Callback, Evaluator, State
from composer.loggers import Logger
from tiny_tree import Rows, TinyTree, make_trainer
from torch.utils.data import DataLoader

from molmo_foundry.train.checkpointing import NotEnoughSpaceError, checkpoint_bytes, remove_unfinished
from molmo_foundry.train.preemption import EXIT_CODE, SIGNALS, MolmoPreemption, Preempted

STEPS, BATCH = 5, 8
GRACE = 30
"""Seconds that Composer's launcher, and a cluster, leave between a signal and the end of a process."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Gives this process its signal handlers and its garbage collection back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    gc.unfreeze()
    for number, handler in before.items():
        signal.signal(number, handler)


class SignalInStep(Callback):
    """Sends a signal to this process between the forward and the backward pass of a step."""

    def __init__(self, step: int, number: int):
        self.step, self.number = step, number
        self.sent = 0.0

    def after_forward(self, state: State, logger: Logger) -> None:
        if state.timestamp.batch.value + 1 == self.step:
            self.sent = time.monotonic()
            os.kill(os.getpid(), self.number)


def trainer(folder: Path, *callbacks: Callback, workers: int = 0, **kwargs: Any) -> Trainer:
    rows = Rows(BATCH * STEPS)
    built, _ = make_trainer(
        DataLoader(rows, batch_size=BATCH, num_workers=workers),
        model=TinyTree(),
        max_duration=f'{STEPS}ba',
        callbacks=callbacks,
        save_folder=str(folder),
        save_interval='2ba',
        run_name='told',
        autoresume=True,
        **kwargs,
    )
    return built


def parameters(built: Trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in built.state.model.named_parameters()}


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_signal_saves_the_step_and_the_run_goes_on_from_it(number: int, tmp_path: Path) -> None:
    whole = trainer(tmp_path / 'whole', MolmoPreemption())
    before = signal.getsignal(number)
    whole.fit()
    assert signal.getsignal(number) == before, 'the handler outlived the run'

    sender = SignalInStep(3, number)
    told = trainer(tmp_path / 'told', MolmoPreemption(), sender)
    with pytest.raises(Preempted) as exit_info:
        told.fit()
    assert 0 < time.monotonic() - sender.sent < GRACE
    assert exit_info.value.code == EXIT_CODE == 75
    assert os.readlink(tmp_path / 'told' / 'latest-rank0.pt') == 'ep0-ba3-rank0.pt'

    resumed = trainer(tmp_path / 'told', MolmoPreemption())
    assert resumed.state.timestamp.batch == 3
    resumed.fit()
    for name, p in parameters(whole).items():
        assert torch.equal(p, parameters(resumed)[name]), name


class Evaluations(Callback):
    """Notes the steps after which held-out data was evaluated."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def eval_start(self, state: State, logger: Logger) -> None:
        self.steps.append(state.timestamp.batch.value)


def test_a_run_that_was_told_to_end_skips_evaluation(tmp_path: Path) -> None:
    seen = Evaluations()
    held_out = Evaluator(label='eval/rows', dataloader=DataLoader(Rows(BATCH), batch_size=BATCH), eval_interval='1ba')
    told = trainer(tmp_path, MolmoPreemption(), SignalInStep(3, signal.SIGTERM), seen, eval_dataloader=held_out)
    with pytest.raises(Preempted):
        told.fit()
    assert seen.steps == [1, 2]


def test_half_written_checkpoint_is_cleared_and_retention_goes_on(tmp_path: Path) -> None:
    """As after a kill during the save of step 4, with three finished checkpoints on disk."""
    told = trainer(tmp_path, MolmoPreemption(), SignalInStep(3, signal.SIGTERM))
    with pytest.raises(Preempted):
        told.fit()
    whole = (tmp_path / 'ep0-ba3-rank0.pt').read_bytes()
    (tmp_path / 'ep0-ba4-rank0.pt').write_bytes(whole[: len(whole) // 2])

    resumed = trainer(tmp_path, MolmoPreemption(), save_num_checkpoints_to_keep=2)
    assert resumed.state.timestamp.batch == 3
    resumed.fit()
    assert sorted(path.name for path in tmp_path.glob('ep*')) == ['ep0-ba4-rank0.pt', 'ep0-ba5-rank0.pt']
    assert os.readlink(tmp_path / 'latest-rank0.pt') == 'ep0-ba5-rank0.pt'


def test_unfinished_shards_are_removed_and_finished_ones_stay(tmp_path: Path) -> None:
    for name, files in {'ep0-ba2': ('__0_0.distcp', '.metadata'), 'ep0-ba4': ('__0_0.distcp',), 'other': ()}.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_bytes(b'x')
    assert remove_unfinished(tmp_path) == [tmp_path / 'ep0-ba4']
    assert sorted(path.name for path in tmp_path.iterdir()) == ['ep0-ba2', 'other']
    assert remove_unfinished(tmp_path / 'nowhere') == []


def test_full_disk_is_noticed_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = trainer(tmp_path, MolmoPreemption())
    usage = type('usage', (), {'free': 100})
    monkeypatch.setattr('molmo_foundry.train.checkpointing.shutil.disk_usage', lambda _: usage)
    with pytest.raises(NotEnoughSpaceError, match=r'step 2 takes about .* GB .*Nothing was written'):
        built.fit()
    assert not list(tmp_path.glob('ep*'))


def test_size_of_a_checkpoint_is_that_of_weights_and_moments(tmp_path: Path) -> None:
    built = trainer(tmp_path, MolmoPreemption())
    built.fit()
    model = built.state.model
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    counters = sum(p.requires_grad for p in model.parameters())
    assert checkpoint_bytes(built.state) == 4 * (sum(p.numel() for p in model.parameters()) + 2 * trained + counters)
    assert checkpoint_bytes(built.state) < (tmp_path / 'ep0-ba5-rank0.pt').stat().st_size


def test_a_run_without_save_folder_is_refused() -> None:
    loader = DataLoader(Rows(BATCH), batch_size=BATCH)
    built, _ = make_trainer(loader, callbacks=[MolmoPreemption()])
    with pytest.raises(ValueError, match='save_folder'):
        built.fit()
