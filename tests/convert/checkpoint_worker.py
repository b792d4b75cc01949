# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Tiny Molmos trained by Composer: one step, saved and exported by the callback; one step of a mixture of experts; and
one that starts from published weights.

Run by `conftest.py` as ``composer -n 2 checkpoint_worker.py FOLDER``; on one process it needs no launcher.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from composer import DataSpec, Trainer
from composer.utils import dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.utils.data import DataLoader

from molmo_foundry.data.collator import collate, get_num_samples_in_batch, get_num_tokens_in_batch, split_batch
from molmo_foundry.model.composer_model import ComposerMolmo
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import ModelInputs
from molmo_foundry.train.gloo import average_gradients
from molmo_foundry.train.hf_checkpointer import MolmoHFCheckpointer

DECODER = {'hidden_size': 32, 'intermediate_size': 48, 'num_hidden_layers': 2}
VISION = {'image_size': (16, 16), 'patch_size': 4, 'hidden_size': 16, 'intermediate_size': 24, 'num_positions': 17}
OVERRIDES = {**DECODER, 'vision': {**VISION, 'overlap_margins': (0, 0)}}


MOE = {'moe_num_experts': 4, 'moe_top_k': 2, 'moe_loss_weight': 0.1, 'moe_zloss_weight': 0.01}
LR = 0.1


def text_row(length: int = 8, start: int = 0, weight: float = 1.0) -> ModelInputs:
    """A few tokens, all with loss."""
    ids = start + np.arange(length)
    return ModelInputs(
        input_ids=ids,
        labels=ids + 1,
        loss_weights=np.full(length, weight, np.float32),
        position_ids=np.arange(length),
        segment_ids=np.ones(length, np.int64),
        images=np.zeros((0, 16, 48), np.float32),
        image_masks=np.zeros((0, 16), np.float32),
        image_input_idx=np.zeros((0, 4), np.int64),
    )


def uneven_rows() -> list[ModelInputs]:
    """Four rows of different lengths and weights."""
    return [text_row(5), text_row(9, 30, 0.5), text_row(7, 60, 2.0), text_row(3, 90)]


def make_trainer(model: ComposerMolmo, rows: Any, fsdp: Optional[dict[str, Any]], **options: Any) -> Trainer:
    """A trainer for one step over all rows."""
    loader = DataLoader(rows, batch_size=4 // dist.get_world_size(), sampler=dist.get_sampler(rows), collate_fn=collate)
    return Trainer(
        model=model,
        train_dataloader=DataSpec(
            loader,
            split_batch=split_batch,
            get_num_samples_in_batch=get_num_samples_in_batch,
            get_num_tokens_in_batch=get_num_tokens_in_batch,
        ),
        optimizers=torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=LR),
        max_duration='1ba',
        device='cpu',
        parallelism_config=None if fsdp is None else {'fsdp': fsdp},
        accumulate_train_batch_on_tokens=True,
        dist_timeout=300,
        progress_bar=False,
        **options,
    )


def gathered(trainer: Trainer) -> dict[str, torch.Tensor]:
    """The model's tensors, whole, on rank 0."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(trainer.state.model, options=options)
    return {key.removeprefix('model.'): value for key, value in state.items()}


def run(
    folder: Path,
    *,
    fsdp: Optional[dict[str, Any]] = None,
    save_folder: Optional[str] = None,
    exports: Optional[str] = None,
) -> None:
    """Trains one step; leaves Composer's checkpoint, the callback's export and `expected.pt`, the trained weights."""
    torch.manual_seed(0)
    tokenizer = MolmoTokenizer('tiny', vocab_size=1024)
    model = ComposerMolmo(llm='tiny', vit='tiny', overrides=OVERRIDES, tokenizer=tokenizer)
    trainer = make_trainer(
        model,
        [text_row()] * 4,
        fsdp,
        callbacks=[MolmoHFCheckpointer(save_folder=exports or str(folder / 'exports'), save_interval='1ba')],
        save_folder=save_folder or str(folder / 'checkpoints'),
        save_interval='1ba',
    )
    trainer.fit()
    write(gathered(trainer), folder / 'expected.pt')
    trainer.close()


def experts_model() -> ComposerMolmo:
    """A mixture of experts with both of its router's losses."""
    torch.manual_seed(0)
    return ComposerMolmo(llm='tiny', vit='tiny', overrides={**OVERRIDES, **MOE, 'initializer_range': 0.2})


def train_experts(fsdp: Optional[dict[str, Any]] = None) -> dict[str, Any]:
    """One step on uneven rows, one a microbatch: the trained weights, and the losses that were logged."""
    trainer = make_trainer(experts_model(), uneven_rows(), fsdp, device_train_microbatch_size=1)
    if fsdp is not None:
        average_gradients(trainer.state.model)
    trainer.fit()
    return {'weights': gathered(trainer), 'losses': dict(trainer.state.total_loss_dict)}


def load_parts(folder: Path, fsdp: dict[str, Any]) -> dict[str, Any]:
    """A recipe's model from published weights that only rank 0 can find, and how much of it each rank holds."""
    source = folder if dist.get_global_rank() == 0 else folder / 'nowhere'
    overrides = json.loads((folder / 'overrides.json').read_text())
    weights = {'llm_weights': str(source / 'llm'), 'vit_weights': str(source / 'vit')}
    model = ComposerMolmo(llm='tiny', vit='tiny', overrides=overrides, init_device='mixed', **weights)
    on_meta = dist.all_gather_object(next(model.parameters()).is_meta)
    trainer = make_trainer(model, uneven_rows(), fsdp)
    parameters: Any = list(trainer.state.model.parameters())
    held = dist.all_gather_object(sum(p.to_local().numel() for p in parameters))
    return {'weights': gathered(trainer), 'on_meta': on_meta, 'held': held, 'all': sum(p.numel() for p in parameters)}


def write(content: Any, path: Path) -> None:
    """Saves on rank 0."""
    if dist.get_global_rank() == 0:
        torch.save(content, path)
    dist.barrier()


if __name__ == '__main__':
    os.environ['FSDP_VERSION'] = '2'
    dist.initialize_dist('cpu')
    target = Path(sys.argv[1])
    fsdp2 = {'state_dict_type': 'sharded', 'mixed_precision': 'FULL'}
    run(target, fsdp=fsdp2)
    write(train_experts(fsdp2), target / 'experts.pt')
    write(load_parts(target, fsdp2), target / 'parts.pt')
