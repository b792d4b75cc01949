# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of each stream, in training and on held-out data; two ranks are in `test_golden_step.py`.

To 1e-5: float32 forward passes of differently padded batches.
"""

from typing import Any

import pytest
import torch
from composer.core import DataSpec, Evaluator
from golden_training import FOLDER, RECIPE, STEPS, STREAMS, Z_LOSS, golden_rows
from tiny_tree import make_trainer, values
from torch.utils.data import DataLoader

from molmo_foundry.convert import load_native
from molmo_foundry.data import collator
from molmo_foundry.data.packing.rows import join
from molmo_foundry.model.composer_model import ComposerMolmo
from molmo_foundry.processing.types import ModelInputs
from molmo_foundry.train.monitor import MolmoMonitor
from molmo_foundry.train.stream_loss import StreamLoss, streams_of


def loader(rows: list[ModelInputs], batch_size: int) -> DataSpec:
    return DataSpec(
        DataLoader(rows, batch_size=batch_size, collate_fn=collator.collate),
        split_batch=collator.split_batch,
        get_num_samples_in_batch=collator.get_num_samples_in_batch,
        get_num_tokens_in_batch=collator.get_num_tokens_in_batch,
    )


def packed_rows() -> list[ModelInputs]:
    """The same examples in two rows, of three streams and of one."""
    rows = golden_rows()
    packs = [join([rows[1], rows[3], rows[0]]), join([rows[2]])]
    for pack, examples in zip(packs, ((1, 3, 0), (2,))):
        pack.metadata['streams'] = [STREAMS[i] for i in examples]
    return packs


@torch.no_grad()
def by_hand() -> dict[str, tuple[float, float]]:
    """Cross-entropy and loss weight of each stream before training, from the full logits of one row at a time."""
    model = ComposerMolmo(load_native(FOLDER)).eval()
    sums = dict.fromkeys(STREAMS, (0.0, 0.0))
    for row, name in zip(golden_rows(), STREAMS):
        batch = collator.collate([row])
        labels, weights = batch.pop('labels')[0], batch.pop('loss_weights')[0]
        found = weights > 0
        logits = model(batch).logits[0][found].double()
        ce = (torch.nn.functional.cross_entropy(logits, labels[found], reduction='none') * weights[found]).sum().item()
        sums[name] = sums[name][0] + ce, sums[name][1] + weights.sum().item()
    return {name: (ce / weight, weight) for name, (ce, weight) in sums.items()}


def run(rows: list[ModelInputs], microbatch: int, **kwargs: Any) -> Any:
    """Log of training on the rows, all of them a step."""
    trainer, log = make_trainer(
        loader(rows * STEPS, len(rows)),
        model=ComposerMolmo(load_native(FOLDER), z_loss_weight=Z_LOSS),
        recipe=RECIPE,
        max_duration=f'{STEPS}ba',
        callbacks=[MolmoMonitor()],
        device_train_microbatch_size=microbatch,
        accumulate_train_batch_on_tokens=True,
        **kwargs,
    )
    trainer.fit()
    return log


@pytest.mark.parametrize('packed, microbatch', [(False, 4), (False, 1), (False, 3), (True, 2), (True, 1)])
def test_streams_of_a_step(packed: bool, microbatch: int) -> None:
    log = run(packed_rows() if packed else golden_rows(), microbatch)
    assert {key for key in log.data if key.startswith('streams/')} == {
        f'streams/{name}/{what}' for name in STREAMS for what in ('ce', 'loss_weight')
    }
    for name, (ce, weight) in by_hand().items():
        assert values(log, f'streams/{name}/ce')[0] == pytest.approx(ce, rel=1e-5)
        assert values(log, f'streams/{name}/loss_weight') == pytest.approx([weight] * STEPS)
    for step in range(STEPS):
        parts = {name: [values(log, f'streams/{name}/{k}')[step] for k in ('ce', 'loss_weight')] for name in STREAMS}
        mean = sum(ce * weight for ce, weight in parts.values()) / sum(weight for _, weight in parts.values())
        assert mean == pytest.approx(values(log, 'loss/train/ce')[step], rel=1e-5)


def test_streams_of_held_out_data() -> None:
    evaluators = [
        Evaluator(label=label, dataloader=loader(rows, 3), eval_interval='1dur', device_eval_microbatch_size=1)
        for label, rows in (
            ('eval/all', golden_rows()),
            ('eval/packed', packed_rows()),
            ('eval/some', golden_rows()[:1]),
        )
    ]
    model = ComposerMolmo(load_native(FOLDER))
    for evaluator in evaluators:
        evaluator.metric_names = list(model.get_metrics(is_train=False))
    trainer, log = make_trainer(loader(golden_rows(), 4), model=model, callbacks=[MolmoMonitor()])
    trainer.eval(evaluators)
    for label in ('all', 'packed'):
        for name, (ce, _) in by_hand().items():
            assert values(log, f'metrics/eval/{label}/streams/{name}/ce') == pytest.approx([ce], rel=1e-5)
    some = {key for key in log.data if key.startswith('metrics/eval/some/streams')}
    assert some == {'metrics/eval/some/streams/captions/ce'}
    assert values(log, 'metrics/eval/some/streams/captions/ce') == pytest.approx(
        [value.item() for value in values(log, 'metrics/eval/some/ce')]
    )


def test_rows_of_no_stream_are_left_out() -> None:
    rows = golden_rows()
    del rows[1].metadata['stream'], rows[3].metadata['stream']
    assert {key for key in run(rows, 4).data if key.startswith('streams/')} == {
        'streams/captions/ce',
        'streams/captions/loss_weight',
    }
    assert [streams_of(row.metadata) for row in rows] == [['captions'], [], ['captions'], []]
    assert StreamLoss().reduce(torch.device('cpu')) == {}
