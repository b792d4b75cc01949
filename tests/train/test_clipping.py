# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Clipped training against a plain torch loop, on one process and on two under DDP and FSDP2."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from clipping_worker import BATCH, STEPS
from test_thawing import thawed
from tiny_tree import RECIPE, Rows, TinyTree, make_trainer, values
from torch.utils.data import DataLoader

from molmo_foundry.train import learning_rate
from molmo_foundry.train.clipping import MolmoGradientClipping
from molmo_foundry.train.components import component_of, decays

MAX_NORM = {'connector': 0.05, 'vit': 0.01, 'llm': float('inf')}


@pytest.fixture(scope='module')
def plain() -> dict[str, Any]:
    """The same training, written out: whole batches, one AdamW call a parameter, norms by hand."""
    model, norms = TinyTree(), {'connector': [], 'vit': [], 'llm': [], 'total': []}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizers = {
        name: torch.optim.AdamW([p], betas=(0.9, 0.95), eps=1e-6, weight_decay=0.1 if decays(name) else 0.0)
        for name, p in trained.items()
    }
    for step in range(1, STEPS + 1):
        rows = Rows(BATCH * STEPS)[slice(BATCH * (step - 1), BATCH * step)]
        model.zero_grad()
        model.loss(model(rows), rows).backward()
        squares = dict.fromkeys(MAX_NORM, 0.0)
        for name, p in trained.items():
            squares[component_of(name)] += p.grad.double().square().sum().item()
        for component, square in squares.items():
            norms[component].append(square**0.5)
        norms['total'].append(sum(squares.values()) ** 0.5)
        for name, p in trained.items():
            component = component_of(name)
            p.grad *= min(1.0, MAX_NORM[component] / (norms[component][-1] + 1e-6))
            own = RECIPE[component]
            optimizers[name].param_groups[0]['lr'] = learning_rate(
                step,
                schedule='cosine',
                peak=own['lr'],
                warmup=own['warmup'],
                max_steps=STEPS,
                alpha_f=0.1,
                warmup_min_lr=0.0,
            )
            optimizers[name].step()
    assert all(norms['connector'][i] > 0.05 and norms['vit'][i] > 0.01 for i in range(STEPS)), 'nothing was clipped'
    return {'parameters': dict(model.named_parameters()), 'norms': norms}


@pytest.fixture(scope='module')
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The runs of `clipping_worker.py` on two processes."""
    folder = tmp_path_factory.mktemp('two_ranks')
    worker = Path(__file__).with_name('clipping_worker.py')
    command = [sys.executable, '-m', 'composer.cli.launcher', '-n', '2', str(worker), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return torch.load(folder / 'runs.pt', weights_only=True)


def check(run: dict[str, Any], plain: dict[str, Any], first: int = 0) -> None:
    # fp32 sums over rows in another order; weights are of order one and move by 1e-4 a step.
    for name, p in plain['parameters'].items():
        torch.testing.assert_close(run['parameters'][name], p.detach(), rtol=0, atol=1e-6, msg=name)
    for component, norms in plain['norms'].items():
        assert run['norms'][f'grad_norm/{component}'] == pytest.approx(norms[first:], rel=1e-5)


def test_one_process(plain: dict[str, Any]) -> None:
    loader = DataLoader(Rows(BATCH * STEPS), batch_size=BATCH)
    trainer, log = make_trainer(loader, max_duration=f'{STEPS}ba', device_train_microbatch_size=2)
    trainer.fit()
    norms = {key: values(log, key) for key in log.data if key.startswith('grad_norm/')}
    check({'parameters': dict(trainer.state.model.named_parameters()), 'norms': norms}, plain)


@pytest.mark.parametrize('run, first', [('ddp', 0), ('fsdp2', 0), ('fsdp2 resumed, full', 2)])
def test_two_processes(run: str, first: int, two_ranks: dict[str, Any], plain: dict[str, Any]) -> None:
    check(two_ranks[run], plain, first)


def test_two_processes_resume_from_shards(two_ranks: dict[str, Any], plain: dict[str, Any]) -> None:
    check(two_ranks['fsdp2 resumed, sharded'], plain, first=2)


@pytest.mark.parametrize('kind', ['full', 'sharded'])
def test_two_processes_thaw(kind: str, two_ranks: dict[str, Any], tmp_path: Path) -> None:
    """The same as on one process, which `test_thawing.py` looks into. fp32 sums over rows in another order."""
    expected = thawed(tmp_path)
    for name, p in expected.state.model.named_parameters():
        actual = two_ranks[f'fsdp2 thawed, {kind}']['parameters'][name]
        torch.testing.assert_close(actual, p.detach(), rtol=0, atol=1e-6, msg=name)


def test_warmup_widens_the_norm_at_first() -> None:
    def moved(clipping: MolmoGradientClipping) -> list[torch.Tensor]:
        """The connector's gradients as the optimizer saw them at the first step, from its first moment."""
        loader = DataLoader(Rows(BATCH), batch_size=BATCH)
        trainer, _ = make_trainer(loader, max_duration='1ba', clipping=clipping)
        trainer.fit()
        optimizer = trainer.state.optimizers[0]
        return [optimizer.state[p]['exp_avg'] for p in optimizer.param_groups[0]['params']]

    for narrow, wide in zip(moved(MolmoGradientClipping()), moved(MolmoGradientClipping(1, 2.0))):
        torch.testing.assert_close(wide, 2 * narrow, rtol=1e-6, atol=0)
