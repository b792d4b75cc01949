# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Memory of the loss of one row, forward and backward, against full logits.

    python benchmarks/loss_memory.py [--positions 2304] [--vocabulary 152064] [--width 3584]

Runs both ways on tensors without data (torch's meta device) and adds up what is allocated at any time, so it takes no
memory and is the same on any machine. Counted are logits, softmax, gradients and whatever else the two ways make, but
not their inputs; of kernels, only what they return. Every position has a loss, the worst case.
"""

import argparse
import weakref
from typing import Any, Callable, Mapping, Sequence

import torch
import torch.fx.experimental._config as fx_config
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from molmo_foundry.model.loss import weighted_loss

Z_SCALE = 1e-4


class Allocations(TorchDispatchMode):
    """Bytes of the storages that operations make while this mode is on.

    Args:
        *given (Tensor): Not to be counted, nor are views of them.

    Attributes:
        live: Now.
        peak: At most.
    """

    def __init__(self, *given: Tensor) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in given}

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Runs an operation and counts what it returns."""
        results = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(results):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        self.peak = max(self.peak, self.live)
        return results

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def full_logits(hidden: Tensor, head: nn.Linear, labels: Tensor, weights: Tensor) -> Tensor:
    """The loss written plainly: float32 logits of all positions, cross-entropy, z-loss and accuracy."""
    logits = head(hidden).float().flatten(0, 1)
    losses = F.cross_entropy(logits, labels.flatten(), reduction='none') + Z_SCALE * logits.logsumexp(-1).square()
    ((logits.argmax(-1) == labels.flatten()) * weights.flatten()).sum()
    return (losses * weights.flatten()).sum() / weights.sum()


def chunked(hidden: Tensor, head: nn.Linear, labels: Tensor, weights: Tensor) -> Tensor:
    """The loss of `model.loss`."""
    sums = weighted_loss(hidden, head, labels, weights, z_scale=Z_SCALE)
    return (sums.ce + sums.z_loss) / sums.weight


def peak_bytes(
    loss: Callable[..., Tensor], positions: int, vocabulary: int, width: int, dtype: torch.dtype = torch.bfloat16
) -> int:
    """Most bytes that a forward and backward pass of the head and the loss take at a time.

    Args:
        loss (Callable): `full_logits` or `chunked`.
        positions (int): T, all with a loss.
        vocabulary (int): V.
        width (int): D.
        dtype (torch.dtype): Of hidden states and head.
    """
    with torch.device('meta'):
        hidden = torch.empty(1, positions, width, dtype=dtype, requires_grad=True)
        head = nn.Linear(width, vocabulary, bias=False, dtype=dtype)
        labels, weights = torch.empty(1, positions, dtype=torch.int64), torch.empty(1, positions)
    with fx_config.patch(meta_nonzero_assume_all_nonzero=True), Allocations(hidden, head.weight) as allocations:
        loss(hidden, head, labels, weights).backward()
    return allocations.peak


def main() -> None:
    """Prints the table of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--positions', type=int, default=2304)
    parser.add_argument('--vocabulary', type=int, default=152064)
    parser.add_argument('--width', type=int, default=3584)
    options = parser.parse_args()
    sizes = (options.positions, options.vocabulary, options.width)
    print('| computed in | full logits, GB | chunked, GB | ratio |\n| --- | ---: | ---: | ---: |')
    for dtype in (torch.bfloat16, torch.float32):
        plain, ours = (peak_bytes(way, *sizes, dtype) for way in (full_logits, chunked))
        print(f'| {str(dtype).removeprefix("torch.")} | {plain / 1e9:.2f} | {ours / 1e9:.2f} | {ours / plain:.2f} |')


if __name__ == '__main__':
    main()
