# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The cross-entropy of each stream of a mixture, over all ranks and microbatches.

Which stream a loss position belongs to is told by the row's metadata: ``stream``, or of a packed row ``streams``, one
name an example. Ranks need not have met the same streams. What they know of each other's names grows when a new one
turns up; but for that step, sums are reduced as one vector, together with whatever else the caller reduces.

Shapes: B rows of T tokens, E examples in a row, N loss positions, K streams.
"""

from typing import Any, Mapping, Sequence

import torch
from composer.utils import dist
from torch import Tensor

from molmo_foundry.model.loss import LossSums
from molmo_foundry.processing.types import EXAMPLE_SEGMENT_INCREMENT


class StreamLoss:
    """Sums by stream. Every rank goes through `vector` and `metrics` at the same time, after any number of `add`."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self.sums: dict[str, Tensor] = {}

    def add(self, batch: Mapping[str, Any], loss: LossSums) -> None:
        """Adds a microbatch, without waiting for the device; rows whose metadata names no stream are left out.

        Args:
            batch (Mapping): ``loss_weights`` and ``segment_ids`` (B, T) on the device, and ``metadata`` of B rows.
            loss (LossSums): Of this microbatch.
        """
        by_row = [streams_of(row) for row in batch['metadata']]
        names = sorted({name for row in by_row for name in row})
        if not names:
            return
        table = torch.full((len(by_row), max(map(len, by_row))), len(names))
        for row, own in enumerate(by_row):
            table[row, : len(own)] = torch.tensor([names.index(name) for name in own], dtype=torch.int64)
        positions, length = loss.positions, batch['segment_ids'].shape[1]
        example = batch['segment_ids'].flatten()[positions] // EXAMPLE_SEGMENT_INCREMENT
        stream = table.to(positions.device)[positions // length, example]
        weights = batch['loss_weights'].flatten()[positions].double()
        member = (stream[:, None] == torch.arange(len(names), device=positions.device)).double()
        sums = member.T @ torch.stack([loss.token_ce.double() * weights, weights], dim=1)
        for name, own in zip(names, sums):
            self.sums[name] = self.sums[name] + own if name in self.sums else own

    def vector(self, device: torch.device) -> Tensor:
        """What to sum over the ranks, (1 + 2 K,) float64: number of new streams here, then the sums of known ones."""
        new = torch.tensor([float(len(self._new()))], dtype=torch.float64, device=device)
        nothing = torch.zeros(2, dtype=torch.float64, device=device)
        return torch.cat([new, *(self.sums.get(name, nothing) for name in self.known)])

    def metrics(self, reduced: Sequence[float]) -> dict[str, float]:
        """What `vector` says once it is summed over the ranks; starts anew.

        Args:
            reduced (Sequence[float]): The sums.

        Returns:
            dict[str, float]: ``streams/<name>/ce``, the mean by loss weight, and ``streams/<name>/loss_weight`` of
            every stream that had a loss position on some rank.
        """
        pairs = list(zip(reduced[1::2], reduced[2::2]))
        if reduced[0]:
            gathered = dist.all_gather_object({name: self.sums[name].tolist() for name in self._new()})
            names = sorted({name for rank in gathered for name in rank})
            pairs += [
                (
                    sum(rank[name][0] for rank in gathered if name in rank),
                    sum(r[name][1] for r in gathered if name in r),
                )
                for name in names
            ]
            self.known += names
        self.clear()
        metrics = {}
        for name, (ce, weight) in zip(self.known, pairs):
            if weight:
                metrics[f'streams/{name}/ce'] = ce / weight
                metrics[f'streams/{name}/loss_weight'] = weight
        return metrics

    def reduce(self, device: torch.device) -> dict[str, float]:
        """`metrics` of all ranks, by a reduction of its own."""
        sums = self.vector(device)
        dist.all_reduce(sums)
        return self.metrics(sums.tolist())

    def clear(self) -> None:
        """Forgets what was added."""
        self.sums = {}

    def _new(self) -> list[str]:
        return sorted(set(self.sums) - set(self.known))


def streams_of(row: Mapping[str, Any]) -> list[str]:
    """Names of the streams of a row's examples; empty if its metadata does not say.

    Args:
        row (Mapping): ``metadata`` of the row.
    """
    return row['streams'] if 'streams' in row else [row['stream']] if 'stream' in row else []
