# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Learning rates, clipping and decay as Composer trainers apply them: from the first step to the last of a run as long
as Molmo's warm-ups, over checkpoints and changes.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from composer import Trainer
from composer.loggers import InMemoryLogger
from tiny_tree import Rows, TinyTree, make_trainer, values
from torch.utils.data import DataLoader

from molmo_foundry.train import learning_rate
from molmo_foundry.train.clipping import MolmoGradientClipping
from molmo_foundry.train.components import COMPONENTS
from molmo_foundry.train.optimizer import MolmoAdamW
from molmo_foundry.train.scheduler import MolmoLR

STEPS, SAVED = 2010, 1999
GOLDEN_STEPS = 10000
"""Length of the runs in `golden/lr.json`."""

RECIPE: dict[str, Any] = {
    'betas': [0.9, 0.95],
    'max_grad_norm': 1.0,
    'connector': {'lr': 2e-4, 'warmup': 200},
    'vit': {'lr': 6e-6, 'warmup': 2000, 'weight_decay': 0.1},
    'llm': {'lr': 2e-5, 'warmup': 2000, 'schedule': 'linear', 'max_grad_norm': 0.5, 'weight_decay': 0.2},
}
DECAY = {'connector': 0.0, 'vit': 0.1, 'llm': 0.2}
CLIP = {'connector': 1.0, 'vit': 1.0, 'llm': 0.5}
CHANGED = {
    **RECIPE,
    'betas': [0.8, 0.9],
    'vit': {'lr': 1e-3, 'warmup': 200, 'alpha_f': 0.5, 'weight_decay': 0.3, 'max_grad_norm': 0.1},
}
LOGGED = ('lr', 'weight_decay', 'max_grad_norm', 'clip_coefficient', 'grad_norm')
Logs = dict[str, dict[str, list[float]]]
"""What was logged of each of `LOGGED`, by component, a value a step."""


def loader() -> DataLoader:
    """50 batches of 8 rows: the run crosses epochs, and the checkpoint lies within one."""
    return DataLoader(Rows(400), batch_size=8)


def expected(recipe: dict[str, Any], component: str, max_steps: int = STEPS) -> list[float]:
    own = recipe[component]
    settings = {'schedule': own.get('schedule', 'cosine'), 'peak': own['lr'], 'warmup': own['warmup']}
    settings.update(max_steps=max_steps, alpha_f=own.get('alpha_f', 0.1), warmup_min_lr=0.0)
    return [learning_rate(step, **settings) for step in range(1, max_steps + 1)]


def logs_of(log: InMemoryLogger) -> Logs:
    return {key: {component: values(log, f'{key}/{component}') for component in COMPONENTS} for key in LOGGED}


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Logs, str]:
    """An uninterrupted run: its trainer, what it logged and the path of a checkpoint on the way."""
    folder = tmp_path_factory.mktemp('checkpoints')
    trainer, log = make_trainer(
        loader(), recipe=RECIPE, max_duration=f'{STEPS}ba', save_folder=str(folder), save_interval=f'{SAVED}ba'
    )
    trainer.fit()
    return trainer, logs_of(log), str(folder / f'ep{SAVED // 50}-ba{SAVED}-rank0.pt')


def resume(checkpoint: str, recipe: dict[str, Any], **kwargs: Any) -> tuple[Trainer, Logs]:
    trainer, log = make_trainer(
        loader(), recipe=recipe, load_path=checkpoint, **{'max_duration': f'{STEPS}ba', **kwargs}
    )
    trainer.fit()
    return trainer, logs_of(log)


def test_step_k_uses_f_of_k(finished: tuple[Trainer, Logs, str]) -> None:
    trainer, logs, _ = finished
    for component, rates in logs['lr'].items():
        assert rates == expected(RECIPE, component)
    vit, connector = logs['lr']['vit'], logs['lr']['connector']
    assert [vit[step - 1] for step in (1, 2, 199, 200)] == pytest.approx([6e-6 * n / 2000 for n in (1, 2, 199, 200)])
    assert vit[1999 - 1] == pytest.approx(6e-6 * 1999 / 2000)
    assert vit[2000 - 1] == 6e-6 > vit[2001 - 1]
    assert connector[199 - 1] == pytest.approx(2e-4 * 199 / 200)
    assert connector[200 - 1] == 2e-4 > connector[201 - 1]
    assert [rates[-1] for rates in logs['lr'].values()] == pytest.approx([2e-5, 6e-7, 2e-6])
    # What is logged is what the optimizer used: the groups still hold the rates of the last step.
    for group in trainer.state.optimizers[0].param_groups:
        assert group['lr'] == logs['lr'][group['component']][-1]


@pytest.mark.parametrize('step', [1, 199, 200, 1999, 2000, STEPS])
def test_decay_and_clipping_of_a_step(step: int, finished: tuple[Trainer, Logs, str]) -> None:
    _, logs, _ = finished
    for component in COMPONENTS:
        at = {key: by_component[component][step - 1] for key, by_component in logs.items()}
        assert at['weight_decay'] == DECAY[component]
        assert at['max_grad_norm'] == CLIP[component]
        assert at['clip_coefficient'] == min(1, CLIP[component] / (at['grad_norm'] + 1e-6))
    assert len({value < 1 for value in logs['clip_coefficient']['connector']}) == 2, 'all or nothing was clipped'


def test_a_resumed_run_is_the_uninterrupted_one(finished: tuple[Trainer, Logs, str]) -> None:
    whole, logs, checkpoint = finished
    resumed, resumed_logs = resume(checkpoint, RECIPE)
    for key in LOGGED:
        for component in COMPONENTS:
            assert resumed_logs[key][component] == logs[key][component][SAVED:], (key, component)
    for mine, theirs in zip(resumed.state.model.parameters(), whole.state.model.parameters()):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_a_recipe_changed_on_resume_is_honoured(finished: tuple[Trainer, Logs, str]) -> None:
    _, logs, checkpoint = finished
    trainer, changed = resume(checkpoint, CHANGED)
    assert changed['lr']['vit'] == expected(CHANGED, 'vit')[SAVED:]
    assert set(changed['weight_decay']['vit']) == {0.3} and set(changed['max_grad_norm']['vit']) == {0.1}
    assert changed['lr']['llm'] == logs['lr']['llm'][SAVED:]
    assert {group['betas'] for group in trainer.state.optimizers[0].param_groups} == {(0.8, 0.9)}


@pytest.mark.proof
def test_a_run_of_the_recorded_length_has_the_recorded_rates(tmp_path: Path) -> None:
    """Steps 1 to 10000 of a run that is resumed at 2000, to rel 1e-13 as in `test_schedules.py`."""
    golden = json.loads((Path(__file__).parents[1] / 'golden' / 'lr.json').read_text())
    rows = {component: golden[f'pretrain_{component}'] for component in COMPONENTS}
    own = {component: {'lr': row['peak'], 'warmup': row['warmup']} for component, row in rows.items()}
    common: dict[str, Any] = {
        'recipe': {'max_steps': GOLDEN_STEPS, 'max_grad_norm': 1.0, **own},
        'max_duration': f'{GOLDEN_STEPS}ba',
    }
    first, log = make_trainer(loader(), save_folder=str(tmp_path), save_interval='2000ba', **common)
    first.fit(duration='2000ba')
    before = logs_of(log)['lr']
    _, after = resume(str(tmp_path / 'latest-rank0.pt'), **common)
    for component in COMPONENTS:
        reference, rates = rows[component], [*before[component], *after['lr'][component]]
        assert reference['max_steps'] == len(rates) == GOLDEN_STEPS == reference['steps'][-1]
        assert [rates[step - 1] for step in reference['steps'] if step] == pytest.approx(
            [rate for step, rate in zip(reference['steps'], reference['cosine']) if step], rel=1e-13, abs=0
        )


def test_a_longer_run_stretches_the_schedule(finished: tuple[Trainer, Logs, str]) -> None:
    _, _, checkpoint = finished
    _, longer = resume(checkpoint, RECIPE, max_duration='2050ba')
    assert longer['lr']['llm'] == expected(RECIPE, 'llm', max_steps=2050)[SAVED:]


def test_a_warm_restart_bends_the_rates_from_its_step(finished: tuple[Trainer, Logs, str]) -> None:
    _, logs, checkpoint = finished
    trainer, restarted = resume(
        checkpoint,
        RECIPE,
        load_ignore_keys=['state/optimizers/*'],
        lr_callback=MolmoLR(restart_step=SAVED, restart_warmup=4),
    )
    rates = logs['lr']['connector']
    top = rates[SAVED + 4 - 1]
    assert restarted['lr']['connector'] == [top * 1 / 4, top * 2 / 4, top * 3 / 4, *rates[SAVED + 3 :]]
    # The optimizer state began anew: as many steps as since the restart.
    assert {int(state['step']) for state in trainer.state.optimizers[0].state.values()} == {STEPS - SAVED}


def test_a_duration_in_epochs_is_counted_in_steps() -> None:
    recipe = {'llm': {'lr': 1e-3, 'warmup': 0}, 'connector': {'lr': 1e-3, 'warmup': 7, 'max_steps': 20}}
    trainer, log = make_trainer(DataLoader(Rows(48), batch_size=8), recipe=recipe, max_duration='2ep')
    trainer.fit()
    assert values(log, 'lr/llm') == expected(recipe, 'llm', max_steps=12)
    assert values(log, 'lr/connector') == expected(recipe, 'connector', max_steps=20)[:12]


def test_a_frozen_component_logs_no_rate_and_resumes(tmp_path: Path) -> None:
    model = TinyTree(freeze=('vit',))
    before = {name: p.detach().clone() for name, p in model.named_parameters() if 'image_vit' in name}
    trainer, log = make_trainer(loader(), model=model, save_folder=str(tmp_path), save_interval='2ba')
    trainer.fit()
    assert {key for key in log.data if key.startswith('lr/')} == {'lr/connector', 'lr/llm'}
    for name, value in before.items():
        torch.testing.assert_close(dict(model.named_parameters())[name], value, rtol=0, atol=0)
    resumed, _ = make_trainer(loader(), model=TinyTree(freeze=('vit',)), load_path=str(tmp_path / 'ep0-ba2-rank0.pt'))
    resumed.fit()
    for mine, theirs in zip(resumed.state.model.parameters(), model.parameters()):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_a_duration_without_steps_says_what_to_do() -> None:
    trainer, _ = make_trainer(loader(), max_duration='1000tok')
    with pytest.raises(ValueError, match='max_duration=.*1000.*set optimizer.max_steps'):
        trainer.fit()


def test_halves_of_the_mechanism_are_refused() -> None:
    model = TinyTree()
    common: dict[str, Any] = {'model': model, 'train_dataloader': loader(), 'max_duration': '1ba', 'device': 'cpu'}
    optimizer = MolmoAdamW(model.parameters(), max_grad_norm=1.0)
    with pytest.raises(ValueError, match='max_grad_norm is set for connector, vit, llm, but nothing clips'):
        Trainer(optimizers=optimizer, callbacks=[MolmoLR()], **common)
    stock = torch.optim.lr_scheduler.ConstantLR(optimizer)
    trainer = Trainer(optimizers=optimizer, schedulers=stock, algorithms=[MolmoGradientClipping()], **common)
    with pytest.raises(ValueError, match='driven by ConstantLR.*add `molmo_lr'):
        trainer.fit()
    with pytest.raises(TypeError, match='SGD, which knows no components'):
        Trainer(optimizers=torch.optim.SGD(model.parameters()), callbacks=[MolmoLR()], **common)


def test_a_restart_without_a_warmup_is_refused() -> None:
    with pytest.raises(ValueError, match='restart_step=1999 needs restart_warmup'):
        MolmoLR(restart_step=SAVED)
