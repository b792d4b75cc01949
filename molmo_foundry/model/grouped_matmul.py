# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Rows sorted by expert times the matrices of their experts, none dropped: in plain torch, or by MegaBlocks' kernels.

In plain torch, experts with about as many rows as each other share a batched product, whose rows are padded to the
fullest of them: about a third more rows than there are at most, and usually a tenth, however uneven the router is.
(Padding all experts to the fullest one would multiply them when it is.) How many rows an expert has is all that the
host waits for.

Shapes: R rows, E experts, I and O the widths of a matrix.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Callable, Optional, Protocol, Sequence

import torch
from torch import Tensor

CLOSE = 0.75
"""Experts share a product if the emptiest has at least this share of the rows of the fullest."""


class GroupedMatmul(Protocol):
    """Multiplies rows that are sorted by expert."""

    def __call__(self, rows: Tensor, weights: Tensor, *, transpose: bool = False) -> Tensor:
        """Multiplies each row with its expert's matrix.

        Args:
            rows (Tensor): (R, I).
            weights (Tensor): (E, I, O), or (E, O, I) with ``transpose``.
            transpose (bool): Whether the matrices are transposed first.

        Returns:
            Tensor: (R, O).
        """
        ...


@dataclass(frozen=True)
class Group:
    """Experts that share a product.

    Attributes:
        experts: Their place among the experts by falling number of rows.
        rows: Rows that each of them is padded to.
    """

    experts: slice
    rows: int


def plan_groups(counts: Sequence[int]) -> list[Group]:
    """Deals experts to groups.

    Args:
        counts (Sequence[int]): Rows of every expert, falling.

    Returns:
        list[Group]: All experts that have rows, in their order. Experts with less than a sixteenth of the mean count as
        having that, so there are at most ``log(16 E) / log(4 / 3)`` groups.
    """
    floor = sum(counts) / (16 * len(counts))
    starts = [0]
    for expert, count in enumerate(counts):
        if max(count, floor) < CLOSE * max(counts[starts[-1]], floor):
            starts.append(expert)
    used = sum(count > 0 for count in counts)
    ends = [*starts[1:], used]
    return [Group(slice(start, min(end, used)), counts[start]) for start, end in zip(starts, ends) if start < used]


class PaddedGroups:
    """The product in plain torch, on any device and in any precision.

    Args:
        counts (Tensor): (E,) rows of every expert.
    """

    def __init__(self, counts: Tensor):
        falling, self.order = counts.sort(descending=True, stable=True)
        host = falling.tolist()
        self.groups = plan_groups(host)
        rows_of = [group.rows for group in self.groups for _ in range(group.experts.start, group.experts.stop)]
        padded = torch.tensor(rows_of + [0] * (len(host) - len(rows_of)), device=counts.device)
        self.size = sum(rows_of)
        first = torch.empty_like(counts)
        first[self.order] = padded.cumsum(0) - padded
        moved = first - (counts.cumsum(0) - counts)  # every row moves by as much as the first one of its expert
        rows = sum(host)
        self.places = torch.arange(rows, device=counts.device) + moved.repeat_interleave(counts, output_size=rows)

    def __call__(self, rows: Tensor, weights: Tensor, *, transpose: bool = False) -> Tensor:
        """See `GroupedMatmul`."""
        if torch.is_autocast_enabled(rows.device.type):
            dtype = torch.get_autocast_dtype(rows.device.type)
            rows, weights = rows.to(dtype), weights.to(dtype)
        product: Any = _Product.apply(rows, weights.transpose(1, 2) if transpose else weights, self)
        return product

    def pad(self, rows: Tensor) -> Tensor:
        """(R, I) → (padded rows, I), with zeros between."""
        return rows.new_zeros(self.size, rows.shape[1]).index_copy_(0, self.places, rows)

    def parts(self, padded: Tensor) -> list[Tensor]:
        """(padded rows, I) → for each group (its experts, its rows, I)."""
        shapes = [(group.experts.stop - group.experts.start, group.rows) for group in self.groups]
        split = padded.split([experts * rows for experts, rows in shapes])
        return [part.view(*shape, -1) for part, shape in zip(split, shapes)]

    def numbers(self, group: Group) -> Tensor:
        """Which experts are in a group."""
        return self.order[group.experts]


class _Product(torch.autograd.Function):
    """The product and its gradients; padded rows and the matrices of a group are copied for a moment, never kept."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor, plan: PaddedGroups) -> Tensor:
        ctx.save_for_backward(rows, weights)
        ctx.plan = plan
        out = rows.new_empty(plan.size, weights.shape[2])
        for group, x, y in zip(plan.groups, plan.parts(plan.pad(rows)), plan.parts(out)):
            torch.bmm(x, weights[plan.numbers(group)], out=y)
        return out[plan.places]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Optional[Tensor], None]:
        rows, weights = ctx.saved_tensors
        plan: PaddedGroups = ctx.plan
        of_rows, of_weights = rows.new_empty(plan.size, rows.shape[1]), None
        parts = (plan.parts(tensor) for tensor in (plan.pad(rows), plan.pad(gradients[0]), of_rows))
        if ctx.needs_input_grad[1]:
            of_weights = torch.zeros_like(weights)
        for group, x, dy, dx in zip(plan.groups, *parts):
            experts = plan.numbers(group)
            torch.bmm(dy, weights[experts].transpose(1, 2), out=dx)
            if of_weights is not None:
                of_weights[experts] = torch.bmm(x.transpose(1, 2), dy)
        return of_rows[plan.places], of_weights, None


class MegablocksGroups:
    """The product by the grouped kernels that MegaBlocks uses: CUDA and bfloat16 only, without any padding.

    Args:
        counts (Tensor): (E,) rows of every expert.

    Raises:
        ImportError: If MegaBlocks or its kernels are not installed; says how to.
    """

    def __init__(self, counts: Tensor):
        self.multiply = load_kernels()
        self.counts = counts.to('cpu', torch.int64)

    def __call__(self, rows: Tensor, weights: Tensor, *, transpose: bool = False) -> Tensor:
        """See `GroupedMatmul`.

        Raises:
            ValueError: If the numbers are not bfloat16, and autocast does not make them so.
        """
        dtype = rows.dtype
        if torch.is_autocast_enabled(rows.device.type):
            dtype = torch.get_autocast_dtype(rows.device.type)
        if dtype != torch.bfloat16:
            raise ValueError(
                f'The MegaBlocks kernels take bfloat16, not {dtype}; use the torch implementation of experts.'
            )
        return self.multiply(
            rows.to(dtype).contiguous(), weights.to(dtype).contiguous(), self.counts, trans_b=transpose
        )


def load_kernels() -> Any:
    """``gmm(rows, weights, rows of every expert on the CPU, trans_b)`` of the package grouped_gemm.

    Raises:
        ImportError: If MegaBlocks or grouped_gemm is not installed.
    """
    try:
        grouped = import_module('megablocks.grouped_gemm_util')
    except ImportError as error:
        raise ImportError(MISSING) from error
    if not grouped.grouped_gemm_is_available():
        raise ImportError(MISSING)
    return grouped.ops.gmm


MISSING = (
    'This implementation of experts needs megablocks and grouped_gemm, which are built for a CUDA device: '
    'pip install "molmo-foundry[megablocks]". The torch implementation needs nothing.'
)

IMPLEMENTATIONS: dict[str, Callable[[Tensor], GroupedMatmul]] = {'torch': PaddedGroups, 'megablocks': MegablocksGroups}
"""Ways to multiply, by name; each is made of the rows of every expert."""
