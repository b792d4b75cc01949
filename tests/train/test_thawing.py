# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Components that are frozen or thawed when a run is resumed; two ranks are in `test_clipping.py`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from clipping_worker import BATCH, SAVED, STEPS
from composer import Trainer
from tiny_tree import Rows, TinyTree, make_trainer
from torch.utils.data import DataLoader

from molmo_foundry.train.components import component_of


def trainer(**kwargs: Any) -> Trainer:
    loader = DataLoader(Rows(BATCH * STEPS), batch_size=BATCH)
    return make_trainer(loader, max_duration=f'{STEPS}ba', device_train_microbatch_size=2, **kwargs)[0]


def checkpoint_of(folder: Path, *frozen: str) -> str:
    """A checkpoint on the way of a run that holds components fixed."""
    model = TinyTree(freeze=frozen)
    trainer(model=model, save_folder=str(folder), save_interval=f'{SAVED}ba').fit()
    return str(folder / f'ep0-ba{SAVED}-rank0.pt')


def thawed(folder: Path, *frozen: str) -> Trainer:
    """A run that was resumed from a frozen vision tower and is at its end."""
    resumed = trainer(model=TinyTree(freeze=frozen), load_path=checkpoint_of(folder, 'vit'))
    resumed.fit()
    return resumed


def steps_of(run: Trainer) -> dict[str, set[int]]:
    """How many steps the moments of each component have seen."""
    optimizer, steps = run.state.optimizers[0], {}
    for group in optimizer.param_groups:
        for p in group['params']:
            steps.setdefault(group['component'], set()).add(int(optimizer.state[p]['step']))
    return steps


def test_a_thawed_component_starts_with_fresh_moments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = thawed(tmp_path)
    assert steps_of(run) == {'connector': {STEPS}, 'vit': {STEPS - SAVED}, 'llm': {STEPS}}
    assert 'no optimizer state for 2 parameters of vit' in capsys.readouterr().out
    original = dict(TinyTree().named_parameters())
    moved = {name: not torch.equal(p, original[name]) for name, p in run.state.model.named_parameters()}
    assert all(moved[name] for name in moved if component_of(name) == 'vit')


def test_moments_that_were_saved_are_kept(tmp_path: Path) -> None:
    """What a frozen component's thawing leaves alone goes on as if nothing had been thawed."""
    still_frozen = thawed(tmp_path / 'frozen', 'vit')
    saved = torch.load(checkpoint_of(tmp_path / 'again', 'vit'), weights_only=False)['state']['optimizers']
    run = trainer(load_path=str(tmp_path / 'again' / f'ep0-ba{SAVED}-rank0.pt'))
    names = {p: name for name, p in run.state.model.named_parameters()}
    state = {names[p]: slots for p, slots in run.state.optimizers[0].state.items()}
    for name, slots in saved['MolmoAdamW']['state'].items():
        torch.testing.assert_close(state[name], slots, rtol=0, atol=0)
    fresh = [slots for name, slots in state.items() if component_of(name) == 'vit']
    assert len(fresh) == 2 and not any(value.any() for slots in fresh for value in slots.values())
    assert steps_of(still_frozen) == {'connector': {STEPS}, 'llm': {STEPS}}


def test_a_component_can_be_frozen_on_resume(tmp_path: Path) -> None:
    run = trainer(model=TinyTree(freeze=('vit',)), load_path=checkpoint_of(tmp_path))
    before = {name: p.detach().clone() for name, p in run.state.model.named_parameters()}
    run.fit()
    assert steps_of(run) == {'connector': {STEPS}, 'llm': {STEPS}}
    for name, p in run.state.model.named_parameters():
        assert torch.equal(p, before[name]) == (not p.requires_grad), name
