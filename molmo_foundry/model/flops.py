# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Model FLOPs of a batch, counted from what it really holds.

Padding counts nothing: neither padding tokens nor crops, nor pooled tokens that no position shows, nor head positions
without loss. A multiply-add is two FLOPs; a training step is three forward passes' worth (one forward, two backward),
recomputation not included, which is the convention behind "MFU".
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from molmo_foundry.model.config import MolmoConfig


@dataclass(frozen=True)
class FlopCount:
    """Forward FLOPs by part of the model."""

    vit: float
    connector: float
    llm: float
    head: float

    @property
    def forward(self) -> float:
        """All parts together."""
        return self.vit + self.connector + self.llm + self.head

    @property
    def training_step(self) -> float:
        """Forward and backward."""
        return 3 * self.forward


def attended_pairs(segment_ids: Tensor) -> int:
    """Number of (query, key) pairs that the attention mask lets through, padding left out.

    Args:
        segment_ids (Tensor): (B, T), see `model.attention`; within a row, every segment is one contiguous run, and
            runs descend only from a prefix to its branches.

    Returns:
        int: The pairs of all rows.
    """
    pairs = 0
    for row in segment_ids:
        ids, lengths = torch.unique_consecutive(row, return_counts=True)
        for i, (segment, length) in enumerate(zip(ids.tolist(), lengths.tolist())):
            if segment > 0:
                earlier = int(lengths[:i][ids[:i] >= segment].sum())
                pairs += length * earlier + length * (length + 1) // 2
    return pairs


def count_flops(
    config: MolmoConfig, *, tokens: int, pairs: int, loss_tokens: int, crops: int, pooled_tokens: int
) -> FlopCount:
    """Counts the matrix products of one forward pass.

    Args:
        config (MolmoConfig): The architecture.
        tokens (int): Real tokens.
        pairs (int): From `attended_pairs`.
        loss_tokens (int): Positions that the head is applied to.
        crops (int): Crops that the vision tower encodes.
        pooled_tokens (int): Pooled tokens that are projected.

    Returns:
        FlopCount: FLOPs by part.
    """
    vision, connector = config.vision, config.connector
    rows, cols = vision.patch_grid
    sequence = rows * cols + vision.num_prefix_tokens
    q_width = vision.num_attention_heads * vision.head_dim
    kv_width = vision.num_key_value_heads * vision.head_dim
    vit_block = 2 * vision.hidden_size * (2 * q_width + 2 * kv_width + 2 * vision.intermediate_size)
    vit_layers = max(layer % vision.num_hidden_layers for layer in connector.vit_layers) + 1
    vit = vit_layers * (sequence * vit_block + 4 * sequence**2 * q_width)
    vit += 2 * rows * cols * vision.patch_pixels * vision.hidden_size

    features = vision.hidden_size * len(connector.vit_layers)
    window = connector.pooling_size[0] * connector.pooling_size[1]
    pooled, pooling = features * window, 0
    if connector.pooling.startswith('attention'):
        pooling = 2 * features * (q_width + 2 * window * kv_width) + 4 * window * q_width
        pooling += 2 * q_width * vision.hidden_size
        pooled = vision.hidden_size
    inner = config.intermediate_size // 2
    mlp = 2 * inner * (2 * pooled + config.hidden_size)
    projector = mlp if connector.projector == 'mlp' else 2 * pooled * config.hidden_size

    llm_q = config.num_attention_heads * config.head_dim
    llm_kv = config.num_key_value_heads * config.head_dim
    active_experts = config.moe_top_k if config.moe_num_experts else 1
    routing = (config.moe_num_experts + config.moe_top_k) * config.hidden_size if config.moe_num_experts else 0
    feed_forward = active_experts * 3 * inner * config.hidden_size + routing
    block = 2 * (config.hidden_size * (2 * llm_q + 2 * llm_kv) + feed_forward)
    return FlopCount(
        vit=float(crops * vit),
        connector=float(pooled_tokens * (pooling + projector)),
        llm=float(config.num_hidden_layers * (tokens * block + 4 * pairs * llm_q)),
        head=float(2 * loss_tokens * config.hidden_size * config.embedding_size),
    )
