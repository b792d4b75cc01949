# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics of held-out data that are exact for any batch size and number of ranks.

Each is a ratio of two sums over all loss positions of the data set, kept in float64 and reduced over ranks as sums.
Composer logs them as `metrics/eval/<label of the loader>/<name>`; `molmo_monitor` adds the cross-entropy by stream.
"""

from typing import Any, Mapping

import torch
from torchmetrics import Metric

from molmo_foundry.model.loss import LossSums
from molmo_foundry.train.stream_loss import StreamLoss


class WeightedMean(Metric):
    """Mean over loss positions, by their weights, of a field of `LossSums`.

    Args:
        name (str): ``ce``, ``z_loss`` or ``correct``.
    """

    full_state_update = False
    total: torch.Tensor
    weight: torch.Tensor

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        for state in ('total', 'weight'):
            self.add_state(state, torch.zeros((), dtype=torch.float64), dist_reduce_fx='sum')

    def update(self, batch: Mapping[str, Any], sums: LossSums) -> None:
        """Adds a batch and the loss on it."""
        del batch
        self.total += getattr(sums, self.name).double()
        self.weight += sums.weight.double()

    def compute(self) -> torch.Tensor:
        """The mean; not a number if there was no loss position."""
        return self.total / self.weight


class CrossEntropy(WeightedMean):
    """The mean cross-entropy, which can be told by stream too."""

    def __init__(self) -> None:
        super().__init__('ce')
        self.streams = StreamLoss()

    def update(self, batch: Mapping[str, Any], sums: LossSums) -> None:
        """Adds a batch and the loss on it."""
        super().update(batch, sums)
        self.streams.add(batch, sums)

    def reset(self) -> None:
        """Starts anew."""
        super().reset()
        self.streams.clear()

    def by_stream(self) -> dict[str, float]:
        """What `StreamLoss.metrics` says of the data set; every rank calls it."""
        return self.streams.reduce(self.total.device)


class Perplexity(WeightedMean):
    """e to the mean cross-entropy."""

    def __init__(self) -> None:
        super().__init__('ce')

    def compute(self) -> torch.Tensor:
        """The perplexity; not a number if there was no loss position."""
        return super().compute().exp()


def eval_metrics() -> dict[str, Metric]:
    """What is measured on held-out data, by name."""
    return {
        'ce': CrossEntropy(),
        'perplexity': Perplexity(),
        'z_loss': WeightedMean('z_loss'),
        'accuracy': WeightedMean('correct'),
    }
