# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the tiny tree under DDP and FSDP2 on every rank of a launch; rank 0 writes what came out.

Run by `test_clipping.py` as ``composer -n 2 clipping_worker.py FOLDER``.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from composer.utils import dist
from tiny_tree import Rows, TinyTree, make_trainer, values
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader

BATCH, STEPS, SAVED = 8, 4, 2
SHARDED = {'fsdp': {'state_dict_type': 'sharded'}}
FULL = {'fsdp': {'state_dict_type': 'full'}}


def train(**kwargs: Any) -> dict[str, Any]:
    """Parameters after the run and the norms that it logged."""
    rows = Rows(BATCH * STEPS)
    loader = DataLoader(rows, batch_size=BATCH // dist.get_world_size(), sampler=dist.get_sampler(rows))
    trainer, log = make_trainer(loader, max_duration=f'{STEPS}ba', device_train_microbatch_size=2, **kwargs)
    trainer.fit()
    model = trainer.state.model
    parameters = dict((model.module if trainer.state.is_model_ddp else model).named_parameters())
    for group in trainer.state.optimizers[0].param_groups:
        assert all(isinstance(p, DTensor) == trainer.state.fsdp_enabled for p in group['params'])
    full = {name: p.full_tensor() if isinstance(p, DTensor) else p for name, p in parameters.items()}
    norms = {key: values(log, key) for key in log.data if key.startswith('grad_norm/')}
    return {'parameters': {name: p.detach() for name, p in full.items()}, 'norms': norms}


def main(folder: Path) -> None:
    dist.initialize_dist('cpu')
    runs = {'ddp': train()}
    os.environ['FSDP_VERSION'] = '2'
    save = {'save_interval': f'{SAVED}ba', 'save_folder': str(folder / 'full')}
    runs['fsdp2'] = train(parallelism_config=FULL, **save)
    runs['fsdp2 resumed, full'] = train(
        parallelism_config=FULL, load_path=str(folder / 'full' / f'ep0-ba{SAVED}-rank0.pt')
    )
    train(parallelism_config=SHARDED, **{**save, 'save_folder': str(folder / 'sharded')})
    runs['fsdp2 resumed, sharded'] = train(
        parallelism_config=SHARDED, load_path=str(folder / 'sharded' / f'ep0-ba{SAVED}')
    )
    for kind, config in {'full': FULL, 'sharded': SHARDED}.items():
        frozen = folder / f'frozen-{kind}'
        options = {**save, 'save_folder': str(frozen), 'model': TinyTree(freeze=('vit',))}
        train(parallelism_config=config, **options)
        checkpoint = frozen / f'ep0-ba{SAVED}{"-rank0.pt" if kind == "full" else ""}'
        runs[f'fsdp2 thawed, {kind}'] = train(parallelism_config=config, load_path=str(checkpoint))
    if dist.get_global_rank() == 0:
        torch.save(runs, folder / 'runs.pt')
    dist.barrier()


if __name__ == '__main__':
    main(Path(sys.argv[1]))
