# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Weighted cross-entropy and z-loss on loss positions only, in chunks.

At Molmo's 152k vocabulary the float32 logits of one 2304-token row take 1.4 GB, and their gradient as much again. Here
the head is applied to the positions that carry weight, a chunk at a time, and again in the backward pass, so that
only one chunk of logits is ever alive, beside one gradient of the head.
"""

from dataclasses import dataclass
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CHUNK_POSITIONS = 256
"""Positions whose logits are alive at a time, of few; of more than `MAX_CHUNKS` times as many, a share of them."""

MAX_CHUNKS = 9
"""Most chunks: each of them rounds the gradient of the head once, to bfloat16 under mixed precision."""


class LossWeights:
    """Loss weights in a box, which keeps them float32 under FSDP.

    FSDP casts every float tensor among the arguments of a forward pass to its compute type. Weights rounded to bfloat16
    no longer add up to what the dataloader counted.

    Args:
        values (Tensor): (B, T) weights.
    """

    def __init__(self, values: Tensor):
        self.values = values


@dataclass
class LossSums:
    """Sums over the loss positions of a batch; divide by ``weight`` for means.

    Attributes:
        ce: Weighted cross-entropy, differentiable.
        z_loss: Weighted ``scale * logsumexp(logits) ** 2``, differentiable.
        correct: Weighted number of positions whose most likely token is the label.
        weight: Sum of the weights.
        token_ce: (N,) unweighted cross-entropy of each loss position, detached.
        positions: (N,) where these are in the flattened batch: row * T + position in the row.
    """

    ce: Tensor
    z_loss: Tensor
    correct: Tensor
    weight: Tensor
    token_ce: Tensor
    positions: Tensor


class _ChunkedLoss(torch.autograd.Function):
    """The sums from the head's inputs on, with a backward pass that adds to one gradient of the head in place.

    Left to autograd, each chunk would make a gradient as large as the head itself.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        table: Tensor,
        bias: Optional[Tensor],
        labels: Tensor,
        weights: Tensor,
        z_scale: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sums of cross-entropy, z-loss and correct positions, and the cross-entropy of each of the N positions."""
        log_z, token_ce = torch.empty_like(weights), torch.empty_like(weights)
        correct = weights.new_zeros(())
        for at in _chunks(len(hidden), chunk):
            logits = F.linear(hidden[at], table, bias).float()
            log_z[at] = logits.logsumexp(-1)
            token_ce[at] = log_z[at] - logits.gather(1, labels[at, None]).squeeze(1)
            correct += ((logits.argmax(-1) == labels[at]) * weights[at]).sum()
        ctx.save_for_backward(hidden, table, bias, labels, weights, log_z)
        ctx.z_scale, ctx.chunk = z_scale, chunk
        ctx.mark_non_differentiable(correct, token_ce)
        return (token_ce * weights).sum(), (z_scale * log_z.square() * weights).sum(), correct, token_ce

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, ce_gradient: Tensor, z_gradient: Tensor, *_: Any) -> tuple[Optional[Tensor], ...]:
        """Gradients of hidden states, table and bias."""
        hidden, table, bias, labels, weights, log_z = ctx.saved_tensors
        of_hidden = torch.empty_like(hidden)
        of_table = torch.zeros_like(table) if ctx.needs_input_grad[1] else None
        of_bias = torch.zeros_like(bias) if ctx.needs_input_grad[2] else None
        of_label = (ce_gradient * weights)[:, None]
        of_all = of_label + (2 * ctx.z_scale * z_gradient * log_z * weights)[:, None]
        for at in _chunks(len(hidden), ctx.chunk):
            softmax = F.linear(hidden[at], table, bias).float().sub_(log_z[at, None]).exp_()
            gradient = softmax.mul_(of_all[at]).scatter_add_(1, labels[at, None], -of_label[at]).to(hidden.dtype)
            torch.mm(gradient, table, out=of_hidden[at])
            if of_table is not None:
                of_table.addmm_(gradient.T, hidden[at])
            if of_bias is not None:
                of_bias += gradient.sum(0)
        return of_hidden, of_table, of_bias, None, None, None, None


def _chunks(length: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, length, size)]


def _compute_type(tensor: Tensor) -> torch.dtype:
    """The type that a linear layer computes in here: autocast's, if it is on."""
    kind = tensor.device.type
    casts = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if casts else tensor.dtype


def weighted_loss(
    hidden: Tensor,
    head: nn.Module,
    labels: Tensor,
    weights: Tensor,
    *,
    z_scale: float,
    chunk_positions: Optional[int] = None,
) -> LossSums:
    """Sums the loss of the positions whose weight is above zero.

    Args:
        hidden (Tensor): (B, T, D) normed hidden states.
        head (nn.Module): A linear layer, or whatever else has its ``weight`` (V, D) and, if any, its ``bias`` (V).
        labels (Tensor): (B, T) token that each position predicts; read only where the weight is above zero.
        weights (Tensor): (B, T) weights; values at or below zero mean "no loss".
        z_scale (float): Factor of the z-loss.
        chunk_positions (int, optional): Positions whose logits are alive at a time. Default: see `CHUNK_POSITIONS`.

    Returns:
        LossSums: Float32 sums. Without any loss position they are zero, and still differentiable.
    """
    positions = (weights > 0).flatten().nonzero().squeeze(1)
    found = len(positions)
    if not found:  # keep the graph whole: every rank must run the same backward pass
        positions = positions.new_zeros(1)
        labels, weights = torch.zeros_like(labels), torch.zeros_like(weights)
    hidden = hidden.flatten(0, 1)[positions]
    labels = labels.flatten()[positions]
    weights = weights.flatten()[positions].float()
    table: Any = head.weight
    bias: Any = getattr(head, 'bias', None)
    kind = _compute_type(table)
    table, bias = table.to(kind), None if bias is None else bias.to(kind)
    chunk = chunk_positions or max(CHUNK_POSITIONS, -(-len(positions) // MAX_CHUNKS))
    sums: Any = _ChunkedLoss.apply(hidden.to(kind), table, bias, labels, weights, z_scale, chunk)
    ce, z_loss, correct, token_ce = sums
    return LossSums(ce, z_loss, correct, weights.sum(), token_ce=token_ce[:found], positions=positions[:found])
