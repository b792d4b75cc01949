# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded batches of the public Molmo as a data set of rows, and a step of training written out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from composer.core import DataSpec
from composer.utils import dist
from torch.utils.data import DataLoader

from molmo_foundry.convert import load_native
from molmo_foundry.data import collator
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.processing.types import ModelInputs
from molmo_foundry.train import learning_rate
from molmo_foundry.train.components import component_of
from molmo_foundry.train.freezing import apply_freezing

FOLDER = Path(__file__).parents[1] / 'golden' / 'qwen2_clip'
STEPS = 3
Z_LOSS = 1e-2
RECIPE: dict[str, Any] = {
    'betas': [0.9, 0.95],
    'eps': 1e-6,
    'weight_decay': 0.0,
    'connector': {'lr': 2e-4, 'warmup': 2, 'max_grad_norm': 0.3},
    'vit': {'lr': 6e-5, 'warmup': 1, 'max_grad_norm': 0.01},
    'llm': {'lr': 2e-5, 'warmup': 2, 'max_grad_norm': 0.5},
}


STREAMS = ('captions', 'questions', 'captions', 'points')
"""Of the four rows; of two ranks, each has streams that the other lacks."""


def golden_rows(folder: Path = FOLDER) -> list[ModelInputs]:
    """The four rows of both recorded batches, without their padding, with uneven loss weights and of three streams."""
    rows = []
    for kind in ('single', 'multi'):
        batch = dict(np.load(folder / f'batch_{kind}.npz'))
        for i in range(len(batch['input_ids'])):
            real = batch['input_ids'][i] >= 0
            crops = (batch['images'][i] != -1).any((1, 2))
            length = int(real.sum())
            segments = batch['subsegment_ids'][i] if 'subsegment_ids' in batch else np.ones_like(real, dtype=np.int64)
            weights = batch['loss_masks'][i].clip(min=0) * (1 + 0.5 * len(rows))
            rows.append(
                ModelInputs(
                    input_ids=batch['input_ids'][i][:length],
                    labels=batch['labels'][i][:length],
                    loss_weights=weights[:length].astype(np.float32),
                    position_ids=batch['position_ids'][i][:length],
                    segment_ids=segments[:length],
                    images=batch['images'][i][crops].astype(np.float32),
                    image_masks=batch['image_masks'][i][crops].astype(np.float32),
                    image_input_idx=batch['image_input_idx'][i][crops],
                    metadata={'id': f'{kind}-{i}', 'stream': STREAMS[len(rows)]},
                )
            )
    return rows


def golden_loader() -> DataSpec:
    """The rows once a step, divided among the ranks."""
    rows = golden_rows() * STEPS
    device_batch = len(rows) // STEPS // dist.get_world_size()
    loader = DataLoader(
        rows,
        batch_size=device_batch,
        sampler=dist.get_sampler(rows) if dist.get_world_size() > 1 else None,
        collate_fn=collator.collate,
    )
    return DataSpec(
        loader,
        split_batch=collator.split_batch,
        get_num_samples_in_batch=collator.get_num_samples_in_batch,
        get_num_tokens_in_batch=collator.get_num_tokens_in_batch,
    )


def train_by_hand() -> tuple[MolmoForCausalLM, list[float]]:
    """Plain torch: full logits a row, one loss over all, clipping by component, torch's AdamW.

    Returns:
        tuple[MolmoForCausalLM, list[float]]: The trained model and the loss of each step.
    """
    model = load_native(FOLDER).train()
    apply_freezing(model)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    components = {c: [p for name, p in trained.items() if component_of(name) == c] for c in ('connector', 'vit', 'llm')}
    optimizer = torch.optim.AdamW(
        [{'params': params} for params in components.values()], betas=(0.9, 0.95), eps=1e-6, weight_decay=0.0
    )
    losses = []
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        total, weight = torch.zeros(()), torch.zeros(())
        for row in golden_rows():
            batch = collator.collate([row])
            labels, weights = batch.pop('labels')[0], batch.pop('loss_weights')[0]
            logits = model(**{k: v for k, v in batch.items() if k not in ('metadata', 'token_counts', 'loss_counts')})
            logits = logits.logits[0][weights > 0]
            log_z = logits.logsumexp(-1)
            ce = log_z - logits.gather(1, labels[weights > 0][:, None]).squeeze(1)
            total = total + ((ce + Z_LOSS * log_z**2) * weights[weights > 0]).sum()
            weight = weight + weights.sum()
        (total / weight).backward()
        losses.append((total / weight).item())
        for group, (component, params) in zip(optimizer.param_groups, components.items()):
            own = RECIPE[component]
            norm = sum(p.grad.square().sum() for p in params) ** 0.5
            assert norm > own['max_grad_norm'] or component == 'llm', f'{component} is not clipped'
            for p in params:
                p.grad *= min(1.0, own['max_grad_norm'] / (norm.item() + 1e-6))
            group['lr'] = learning_rate(
                step,
                schedule='cosine',
                peak=own['lr'],
                warmup=own['warmup'],
                max_steps=STEPS,
                alpha_f=0.1,
                warmup_min_lr=0.0,
            )
        optimizer.step()
    return model, losses
