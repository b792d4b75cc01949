# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the golden model under DDP and FSDP2 on every rank of a launch; rank 0 writes what came out.

Run by `test_golden_step.py` as ``composer -n 2 golden_worker.py FOLDER``.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from composer.utils import dist
from golden_training import FOLDER, RECIPE, STEPS, Z_LOSS, golden_loader
from tiny_tree import make_trainer, values
from torch.distributed.tensor import DTensor

from molmo_foundry.convert import load_native
from molmo_foundry.model.composer_model import ComposerMolmo
from molmo_foundry.train.monitor import MolmoMonitor

RUNS: dict[str, dict[str, Any]] = {
    'plain': {},
    'recomputed': {'activation_checkpointing': {'blocks': 'all'}},
}


def train(model_options: dict[str, Any], **trainer: Any) -> dict[str, Any]:
    """Parameters after the run, its losses, and those of its streams."""
    model = ComposerMolmo(load_native(FOLDER), z_loss_weight=Z_LOSS, **model_options)
    built, log = make_trainer(
        golden_loader(),
        model=model,
        recipe=RECIPE,
        max_duration=f'{STEPS}ba',
        device_train_microbatch_size=1,
        accumulate_train_batch_on_tokens=True,
        callbacks=[MolmoMonitor()],
        **trainer,
    )
    built.fit()
    module = built.state.model.module if built.state.is_model_ddp else built.state.model
    full = {name: p.full_tensor() if isinstance(p, DTensor) else p for name, p in module.named_parameters()}
    parameters = {name.removeprefix('model.'): p.detach() for name, p in full.items()}
    streams = {key: values(log, key) for key in log.data if key.startswith('streams/')}
    return {'parameters': parameters, 'losses': values(log, 'loss/train/total'), 'streams': streams}


def main(folder: Path) -> None:
    dist.initialize_dist('cpu')
    runs = {'ddp': train(RUNS['plain'])}
    os.environ['FSDP_VERSION'] = '2'
    for name, options in RUNS.items():
        runs[f'fsdp2, {name}'] = train(options, parallelism_config={'fsdp': {'state_dict_type': 'full'}})
    if dist.get_global_rank() == 0:
        torch.save(runs, folder / 'runs.pt')
    dist.barrier()


if __name__ == '__main__':
    main(Path(sys.argv[1]))
