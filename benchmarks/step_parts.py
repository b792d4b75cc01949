# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Where the time of a training step goes, by part of the model, for `gpu_step.py`.

A step is a line of marks, each of which ends a part: in the forward pass where a module returns, in the backward pass
where the gradient of that module's input or output has been computed. So the parts add up to the step, and a block that
is recomputed counts where it is recomputed, in the backward pass of its part.
"""

import time
from typing import Any

import torch
from torch import Tensor

from molmo_foundry.model.modeling import MolmoForCausalLM

PARTS: tuple[str, ...] = ('data wait', 'ViT', 'connector', 'LLM', 'head and loss', 'optimizer', 'other')
"""Other: copying the batch to the device, embedding, masks, and adding the images' features."""


class Timeline:
    """Marks of steps: CUDA events on a GPU, which wait for nothing, and the clock on a CPU.

    Args:
        device (torch.device): Where the steps run.
    """

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == 'cuda'
        self._marks: list[tuple[str | None, Any]] = []

    def start(self) -> None:
        """Begins a step."""
        self._add(None)

    def mark(self, part: str) -> None:
        """Ends a part, which began at the mark before."""
        self._add(part)

    def clear(self) -> None:
        """Forgets the steps so far."""
        self._marks = []

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.cuda:
            torch.cuda.synchronize()

    def seconds(self) -> dict[str, float]:
        """Seconds of each part in all steps together."""
        self.wait()
        spent = dict.fromkeys(PARTS, 0.0)
        for (_, before), (part, now) in zip(self._marks, self._marks[1:]):
            if part is not None:
                spent[part] += before.elapsed_time(now) / 1e3 if self.cuda else now - before
        return spent

    def _add(self, part: str | None) -> None:
        if self.cuda:
            now: Any = torch.cuda.Event(enable_timing=True)
            now.record()
        else:
            now = time.perf_counter()
        self._marks.append((part, now))


def watch(model: MolmoForCausalLM, timeline: Timeline) -> None:
    """Makes a model mark where its parts end; the caller marks loss, the end of the backward pass and what follows.

    Args:
        model (MolmoForCausalLM): In training. Recomputed or compiled blocks may be in it.
        timeline (Timeline): Gets the marks.
    """
    backbone = model.model.vision_backbone
    vit, decoder = backbone.image_vit, model.model.transformer

    def ended(part: str, before: str) -> Any:
        """A forward hook: ``part`` ends here, and in the backward pass ``before``, which takes the output."""

        def hook(_module: Any, _inputs: Any, output: Tensor) -> None:
            timeline.mark(part)
            if output.requires_grad:
                output.register_hook(lambda _: timeline.mark(before))

        return hook

    def begun(_module: Any, inputs: tuple[Any, ...]) -> None:
        """A forward hook before the decoder: what is not a part ends here, and in the backward pass the decoder."""
        timeline.mark('other')
        inputs[0].register_hook(lambda _: timeline.mark('LLM'))

    vit.register_forward_pre_hook(lambda *_: timeline.mark('other'))
    vit.register_forward_hook(ended('ViT', 'connector'))
    backbone.register_forward_hook(lambda *_: timeline.mark('connector'))
    decoder.register_forward_pre_hook(begun)
    decoder.register_forward_hook(ended('LLM', 'head and loss'))
