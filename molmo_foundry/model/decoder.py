# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The language model: embedding, decoder blocks, head.

Parameter names are those of Molmo's checkpoints: `wte.embedding`, `blocks.0.att_proj.weight`, `ff_out.weight`, …
Shapes: B rows, T tokens, D hidden size, H query heads, G key-value heads, V rows of the embedding table.
"""

from dataclasses import dataclass
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.cache_utils import Cache

from molmo_foundry.model.attention import AttentionMask, apply_rotary, attend
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.moe import MixtureOfExperts, RouterRecord
from molmo_foundry.model.norms import ResidualDropout, build_norm


@dataclass
class LayerContext:
    """What all blocks of one forward pass share.

    Attributes:
        cos: (B, 1, T, head width) cosines of the positions.
        sin: Their sines.
        mask: From `build_attention_mask`.
        response_mask: (B, T) True where a response token is emitted, for dropout; None at inference.
        cache: Keys and values of earlier tokens, extended in place; None without caching.
        cache_position: (T,) index of these tokens in the cache.
        routing: Where mixtures of experts note what their routers do; None where nobody asks.
    """

    cos: Tensor
    sin: Tensor
    mask: AttentionMask
    response_mask: Optional[Tensor] = None
    cache: Optional[Cache] = None
    cache_position: Optional[Tensor] = None
    routing: Optional[RouterRecord] = None


class Embedding(nn.Module):
    """An input table with separately trained rows for new tokens.

    Ids below V come from ``embedding``, which Molmo freezes; the image tokens' rows are ``new_embedding``.
    """

    def __init__(self, num_embeddings: int, num_new: int, width: int):
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(num_embeddings, width))
        self.new_embedding = nn.Parameter(torch.zeros(num_new, width))

    def forward(self, ids: Tensor) -> Tensor:
        """Embeds ids (B, T) → (B, T, D), without concatenating the tables."""
        size = self.embedding.shape[0]
        old = F.embedding(ids.clamp(max=size - 1), self.embedding)
        new = F.embedding((ids - size).clamp(min=0), self.new_embedding)
        return torch.where((ids >= size)[..., None], new, old)


class DecoderBlock(nn.Module):
    """Attention and MLP with residuals; norms before them, or after them in OLMo-2 style."""

    def __init__(self, config: MolmoConfig, layer_idx: int):
        super().__init__()
        self.layer_idx = layer_idx
        self.norm_after = config.norm_after
        self.clip_qkv = config.clip_qkv
        self.head_dim = config.head_dim
        self.attention_dropout = config.attention_dropout
        self.q_width = config.num_attention_heads * config.head_dim
        self.kv_width = config.num_key_value_heads * config.head_dim
        width, bias = config.hidden_size, config.include_bias
        self.att_proj = nn.Linear(width, self.q_width + 2 * self.kv_width, bias=bias or config.qkv_bias)
        self.attn_out = nn.Linear(self.q_width, width, bias=bias)
        self.norm_heads = config.attention_layer_norm == 'heads'
        if config.attention_layer_norm:
            self.q_norm = build_norm(config, self.head_dim if self.norm_heads else self.q_width)
            self.k_norm = build_norm(config, self.head_dim if self.norm_heads else self.kv_width)
        else:
            self.q_norm, self.k_norm = nn.Identity(), nn.Identity()  # FSDP2 wants no module to be there twice
        self.attn_norm = build_norm(config)
        self.ff_norm = build_norm(config)
        if config.moe_num_experts:
            self.ffn = MixtureOfExperts(config)
        else:
            self.ff_proj = nn.Linear(width, config.intermediate_size, bias=bias)
            self.ff_out = nn.Linear(config.intermediate_size // 2, width, bias=bias)
        self.dropout = ResidualDropout(config.residual_dropout, config.response_residual_dropout)

    def attention(self, x: Tensor, context: LayerContext) -> Tensor:
        """Self-attention of (B, T, D); reads and extends the cache."""
        qkv = self.att_proj(x)
        if self.clip_qkv is not None:
            qkv = qkv.clamp(-self.clip_qkv, self.clip_qkv)
        q, k, v = qkv.split((self.q_width, self.kv_width, self.kv_width), dim=-1)
        if self.norm_heads:
            q, k = (t.unflatten(-1, (-1, self.head_dim)) for t in (q, k))
        q, k = self.q_norm(q).to(v.dtype).flatten(2), self.k_norm(k).to(v.dtype).flatten(2)
        q, k, v = (t.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for t in (q, k, v))
        q, k = apply_rotary(q, context.cos, context.sin), apply_rotary(k, context.cos, context.sin)
        if context.cache is not None:
            k, v = context.cache.update(k, v, self.layer_idx, {'cache_position': context.cache_position})
        out = attend(q, k, v, context.mask, self.attention_dropout if self.training else 0.0)
        return self.attn_out(out.transpose(1, 2).flatten(2))

    def feed_forward(self, x: Tensor, routing: Optional[RouterRecord] = None) -> Tensor:
        """SwiGLU over the fused [up; gate] projection, or the experts, whose router notes what it does."""
        if hasattr(self, 'ffn'):
            return self.ffn(x, routing)
        up, gate = self.ff_proj(x).chunk(2, dim=-1)
        return self.ff_out(F.silu(gate) * up)

    def forward(self, x: Tensor, context: LayerContext) -> Tensor:
        """(B, T, D) → (B, T, D)."""
        if self.norm_after:
            x = x + self.dropout(self.attn_norm(self.attention(x, context)), context.response_mask)
            return x + self.dropout(self.ff_norm(self.feed_forward(x, context.routing)), context.response_mask)
        x = x + self.dropout(self.attention(self.attn_norm(x), context), context.response_mask)
        return x + self.dropout(self.feed_forward(self.ff_norm(x), context.routing), context.response_mask)


class Decoder(nn.Module):
    """Embedding, blocks, final norm and head (which has no rows for the image tokens)."""

    def __init__(self, config: MolmoConfig):
        super().__init__()
        self.logit_scale = config.hidden_size**-0.5 if config.scale_logits else 1.0
        self.embed_scale = config.hidden_size**0.5 if config.normalize_input_embeds else 1.0
        if config.additional_vocab_size:
            self.wte: nn.Module = Embedding(config.embedding_size, config.additional_vocab_size, config.hidden_size)
        else:
            self.wte = nn.Embedding(config.embedding_size, config.hidden_size)
        self.emb_drop = nn.Dropout(config.embedding_dropout)
        self.blocks = nn.ModuleList(DecoderBlock(config, i) for i in range(config.num_hidden_layers))
        self.ln_f = build_norm(config)
        if not config.weight_tying:
            self.ff_out = nn.Linear(config.hidden_size, config.embedding_size, bias=config.include_bias)

    def forward(self, x: Tensor, context: LayerContext) -> Tensor:
        """Runs embeddings (B, T, D) through the blocks; returns the normed hidden states (B, T, D)."""
        x = self.emb_drop(x) * self.embed_scale
        for block in self.blocks:
            x = block(x, context)
        return self.ln_f(x)

    @property
    def head(self) -> nn.Module:
        """Whose ``weight`` (V, D) gives logits: the output layer, or the input table where they are tied."""
        return self.ff_out if hasattr(self, 'ff_out') else self.wte

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, D) → (…, V)."""
        head: Any = self.head
        return F.linear(hidden, head.weight, getattr(head, 'bias', None)) * self.logit_scale
