# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Rotary positions, the one attention mask rule, and its backends.

A key k is visible to a query q iff ``k <= q`` and ``segment[q] <= segment[k]``. Padding is segment 0, the branches of a
message tree are 1, 2, …, the prefix they share is 10000, and every further example of a packed row adds 100000: so a
branch sees the prefix and itself, an example never sees another, and no real token ever sees padding. Padding sees
whatever stands before it, which nothing reads, so that no row of the mask is empty.

Shapes: B rows, Q queries, K keys (cached ones included), H query heads, G key-value heads, D head width.
"""

from functools import cache, partial
from typing import Any, Callable, Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

AttentionMask = Union[Tensor, BlockMask, None]
"""A boolean (B, 1, Q, K) tensor, a block mask, or None for plain causal attention."""

BACKENDS = ('sdpa', 'flex')


def rotary_cos_sin(position_ids: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary embeddings in the half-split layout.

    Args:
        position_ids (Tensor): (B, T) positions.
        head_dim (int): Width D of a head.
        theta (float): Base of the frequencies ``theta ** (-2i / D)``.

    Returns:
        tuple[Tensor, Tensor]: Two (B, 1, T, D) float32 tensors.
    """
    exponents = torch.arange(0, head_dim, 2, device=position_ids.device, dtype=torch.float32) / head_dim
    angles = position_ids[:, None, :, None].float() * theta**-exponents
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates (B, H, T, D) queries or keys in float32; returns them in their own type."""
    full = x.float()
    first, second = full.chunk(2, dim=-1)
    return (full * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


def _dense_mask(query_segments: Tensor, key_segments: Tensor, query_positions: Tensor) -> Tensor:
    key_positions = torch.arange(key_segments.shape[1], device=key_segments.device)
    causal = key_positions[None, :] <= query_positions[:, None]
    return (causal[None] & (query_segments[:, :, None] <= key_segments[:, None, :]))[:, None]


@cache
def _compiled(fn: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(fn)


def _flex_mask(query_segments: Tensor, key_segments: Tensor, query_positions: Tensor) -> BlockMask:
    def visible(b: Tensor, _h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (k <= query_positions[q]) & (query_segments[b, q] <= key_segments[b, k])

    device = key_segments.device
    build = _compiled(create_block_mask) if device.type == 'cuda' else create_block_mask
    rows, queries = query_segments.shape
    return build(visible, rows, None, queries, key_segments.shape[1], device=str(device))


def build_attention_mask(
    segment_ids: Optional[Tensor],
    *,
    backend: str = 'sdpa',
    query_positions: Optional[Tensor] = None,
    num_keys: Optional[int] = None,
) -> AttentionMask:
    """Builds the mask of a forward pass, once for all layers.

    Args:
        segment_ids (Tensor, optional): (B, S) segment of every key so far; 0 is padding. None: nothing to mask.
        backend (str): ``sdpa`` or ``flex``. Flex is compiled on CUDA only.
        query_positions (Tensor, optional): (Q,) index of each query among the keys. Default: all S keys are queries.
        num_keys (int, optional): Length K of the key buffer when it is longer than S (a static cache).

    Returns:
        AttentionMask: What `attend` takes.
    """
    if backend not in BACKENDS:
        raise ValueError(f'attention backend {backend!r} does not exist; choose one of: {", ".join(BACKENDS)}.')
    if segment_ids is None:
        return None
    if query_positions is None:
        query_positions = torch.arange(segment_ids.shape[1], device=segment_ids.device)
    query_segments = segment_ids[:, query_positions]
    if num_keys is not None and num_keys > segment_ids.shape[1]:
        segment_ids = F.pad(segment_ids, (0, num_keys - segment_ids.shape[1]))
    build = _flex_mask if backend == 'flex' else _dense_mask
    return build(query_segments, segment_ids, query_positions)


def segment_positions(segment_ids: Tensor) -> Tensor:
    """Positions that follow from segments: each branch counts on from the prefix it sees, each example from 0.

    Args:
        segment_ids (Tensor): (B, T).

    Returns:
        Tensor: (B, T) number of earlier tokens that each token sees.
    """
    every = torch.arange(segment_ids.shape[1], device=segment_ids.device)
    return _dense_mask(segment_ids, segment_ids, every)[:, 0].sum(-1) - 1


def attend(q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, dropout_p: float = 0.0) -> Tensor:
    """Masked attention with grouped key-value heads.

    Args:
        q (Tensor): (B, H, Q, D).
        k (Tensor): (B, G, K, D), G dividing H.
        v (Tensor): (B, G, K, D).
        mask (AttentionMask): From `build_attention_mask`; its type selects the backend.
        dropout_p (float): Dropout on attention weights; not available with a block mask.

    Returns:
        Tensor: (B, H, Q, D).
    """
    if isinstance(mask, BlockMask):
        if dropout_p:
            raise ValueError('the flex backend has no attention dropout; use sdpa or attention_dropout=0.')
        run = _compiled(flex_attention) if q.is_cuda else flex_attention
        out = run(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])
        assert isinstance(out, Tensor)
        return out
    groups, queries = k.shape[1], q.shape[2]
    if q.shape[1] != groups and queries == 1:  # a decoding step: the heads of a group ask as queries of one head
        grouped = q.unflatten(1, (groups, -1)).squeeze(3)
        return F.scaled_dot_product_attention(grouped, k, v, attn_mask=mask, dropout_p=dropout_p).view_as(q)
    if q.shape[1] != groups:
        expand = partial(torch.repeat_interleave, repeats=q.shape[1] // groups, dim=1)
        k, v = expand(k), expand(v)
    causal = mask is None and queries > 1
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p, is_causal=causal)
