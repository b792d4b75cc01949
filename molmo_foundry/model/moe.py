# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Dropless top-k mixture of experts (OLMoE, MolmoE), in the parameter layout of the native checkpoints.

Each token goes to K experts: its copies are sorted by expert, multiplied with their experts' matrices (in
`grouped_matmul`, which has two implementations), sorted back and summed by the router's weights. No sum depends on the
order in which threads happen to finish.

Shapes: N tokens, L layers, E experts, K experts a token, F inner width of an expert, D hidden size.
"""

from dataclasses import dataclass, field
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.grouped_matmul import IMPLEMENTATIONS, GroupedMatmul, load_kernels


@dataclass
class RouterLosses:
    """What the routers of a forward pass add to the loss, and how evenly they send tokens.

    Attributes:
        load_balance: Weighted load-balancing loss, differentiable.
        z_loss: Weighted mean over layers of the mean over tokens of ``logsumexp(logits) ** 2``, differentiable.
        load: (L, E) share of the layer's tokens that each expert got, times E: 1 is even. Detached.
    """

    load_balance: Tensor
    z_loss: Tensor
    load: Tensor


@dataclass
class RouterRecord:
    """Collects what the routers of one forward pass do, from layer to layer.

    Attributes:
        real: (N,) True at tokens that count; padding does not.
        counts: For each layer, (E,) tokens sent to each expert.
        probs: For each layer, (E,) mean probability of each expert, differentiable.
        z: For each layer, the mean of ``logsumexp(logits) ** 2``, differentiable.
    """

    real: Tensor
    counts: list[Tensor] = field(default_factory=list)
    probs: list[Tensor] = field(default_factory=list)
    z: list[Tensor] = field(default_factory=list)

    def add(self, logits: Tensor, probs: Tensor, chosen: Tensor) -> None:
        """Notes a layer: its (N, E) logits and probabilities, and the (N, K) chosen experts."""
        real = self.real.to(probs.dtype)
        share = real / real.sum().clamp(min=1)
        sent = real[:, None].expand(chosen.shape).flatten()
        self.counts.append(probs.new_zeros(probs.shape[-1]).index_add(0, chosen.flatten(), sent))
        self.probs.append(share @ probs)
        self.z.append(share @ logits.logsumexp(-1).square())

    def losses(self, config: MolmoConfig) -> RouterLosses:
        """The losses of all layers recorded.

        With f the share of the N K assignments of a layer that go to an expert, and p the expert's mean probability,
        the load-balancing loss is ``weight * mean over layers of E * sum over experts of f p``: the weight itself where
        routing is even (Switch Transformers, eq. 4, as MegaBlocks scales it for several layers).
        """
        counts, probs = torch.stack(self.counts), torch.stack(self.probs)
        experts = counts.shape[-1]
        assigned = (counts / counts.sum(-1, keepdim=True).clamp(min=1)).detach()
        balance = config.moe_loss_weight * experts * (assigned * probs).sum(-1).mean()
        return RouterLosses(balance, config.moe_zloss_weight * torch.stack(self.z).mean(), assigned * experts)


class Router(nn.Module):
    """Scores every expert for every token: a bias-free projection and a float32 softmax."""

    def __init__(self, config: MolmoConfig):
        super().__init__()
        self.layer = nn.Linear(config.hidden_size, config.moe_num_experts, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the (N, E) float32 logits and their softmax."""
        logits = self.layer(x).float()
        return logits, logits.softmax(dim=-1)


class ExpertMLP(nn.Module):
    """SwiGLU experts; all experts of a matrix are stacked on dimension 0.

    ``w1`` is the gate, ``v1`` the up and ``w2`` the transposed down projection, each (E * F, D).
    """

    def __init__(self, config: MolmoConfig):
        super().__init__()
        self.num_experts = config.moe_num_experts
        rows = self.num_experts * (config.intermediate_size // 2)
        self.w1 = nn.Parameter(torch.empty(rows, config.hidden_size))
        self.v1 = nn.Parameter(torch.empty(rows, config.hidden_size))
        self.w2 = nn.Parameter(torch.empty(rows, config.hidden_size))

    def forward(self, rows: Tensor, multiply: GroupedMatmul) -> Tensor:
        """Applies to each row its expert: (N K, D) sorted by expert → (N K, D)."""
        w1, v1, w2 = (w.view(self.num_experts, -1, rows.shape[-1]) for w in (self.w1, self.v1, self.w2))
        hidden = F.silu(multiply(rows, w1, transpose=True)) * multiply(rows, v1, transpose=True)
        return multiply(hidden, w2)


class Experts(nn.Module):
    """Holds the experts' weights under the name that checkpoints use."""

    def __init__(self, config: MolmoConfig):
        super().__init__()
        self.mlp = ExpertMLP(config)


class MixtureOfExperts(nn.Module):
    """The feed-forward part of a mixture-of-experts block.

    Attributes:
        implementation: How experts are multiplied: a name in `grouped_matmul.IMPLEMENTATIONS`.
    """

    def __init__(self, config: MolmoConfig):
        super().__init__()
        self.top_k = config.moe_top_k
        self.implementation = 'torch'
        self.router = Router(config)
        self.experts = Experts(config)

    def forward(self, x: Tensor, record: Optional[RouterRecord] = None) -> Tensor:
        """Sends each token to its top experts; none is dropped, and weights are not renormalised.

        Args:
            x (Tensor): (B, T, D).
            record (RouterRecord, optional): Where the router notes what it does.

        Returns:
            Tensor: (B, T, D).
        """
        tokens = x.reshape(-1, x.shape[-1])
        logits, probs = self.router(tokens)
        weights, chosen = probs.topk(self.top_k, dim=-1)
        if record is not None:
            record.add(logits, probs, chosen)
        outputs = self.apply_experts(tokens, chosen)
        return torch.bmm(weights[:, None].to(outputs.dtype), outputs).view_as(x)

    @torch.compiler.disable  # how many rows an expert has is known at run time only
    def apply_experts(self, tokens: Tensor, chosen: Tensor) -> Tensor:
        """What the chosen experts make of each token.

        Args:
            tokens (Tensor): (N, D).
            chosen (Tensor): (N, K) numbers of experts.

        Returns:
            Tensor: (N, K, D).
        """
        num_experts = self.experts.mlp.num_experts
        order = chosen.flatten().argsort(stable=True)
        counts = order.new_zeros(num_experts).index_add(0, chosen.flatten(), torch.ones_like(order))
        copies = tokens[:, None].expand(-1, self.top_k, -1).flatten(0, 1)
        outputs = self.experts.mlp(copies.index_select(0, order), IMPLEMENTATIONS[self.implementation](counts))
        return outputs.index_select(0, order.argsort()).view(*chosen.shape, -1)


def choose_implementation(model: nn.Module, implementation: str) -> None:
    """Chooses how the experts of a model are multiplied; parameters stay what they are.

    Args:
        model (nn.Module): Any model; one without experts is left as it is.
        implementation (str): ``torch``, or ``megablocks`` (CUDA and bfloat16 only).

    Raises:
        ValueError: If there is no such implementation.
        ImportError: If it needs packages that are not installed.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f'moe_implementation={implementation!r} does not exist; choose one of: {", ".join(IMPLEMENTATIONS)}.'
        )
    if implementation == 'megablocks':
        load_kernels()
    for module in model.modules():
        if isinstance(module, MixtureOfExperts):
            module.implementation = implementation
