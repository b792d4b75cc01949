# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts into responses, in step with all ranks.

Under FSDP every forward pass is a collective: ranks have to make the same number of them, through the same modules. So
all ranks stop together, when each row of each rank has ended; a row that ends earlier goes on to be cut afterwards. And
every batch has an image, a blank one if need be, for the vision tower is part of the first pass.
"""

from dataclasses import dataclass
from typing import Any, Sequence

import torch
from composer.devices import Device
from composer.models import HuggingFaceModel
from composer.utils import dist
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from molmo_foundry.data.collator import collate
from molmo_foundry.processing.types import ModelInputs

_INPUTS = ('input_ids', 'images', 'image_masks', 'image_input_idx', 'crop_counts')


@dataclass(frozen=True)
class Response:
    """What the model wrote, and whether it ended by itself."""

    text: str
    finished: bool


class AllRanksEnded(StoppingCriteria):
    """Stops every row of every rank at the step at which the last of them has ended.

    Args:
        eos_id (int): The token that ends a response.
        prompt_length (int): Tokens before the response.
    """

    def __init__(self, eos_id: int, prompt_length: int):
        self.eos_id = eos_id
        self.prompt_length = prompt_length

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Whether rows (B,) are done: all of them or none."""
        ended = (input_ids[:, self.prompt_length :] == self.eos_id).any(1).all().long().reshape(1)
        dist.all_reduce(ended, reduce_operation='MIN')
        return ended.bool().expand(len(input_ids))


def generate(
    model: HuggingFaceModel,
    rows: Sequence[ModelInputs],
    dummy: ModelInputs,
    *,
    max_new_tokens: int,
    device: Device,
) -> list[Response]:
    """Generates greedily; every rank calls it at the same time, with rows or without.

    Args:
        model (HuggingFaceModel): The model, in evaluation mode, with its tokenizer.
        rows (Sequence[ModelInputs]): Prompts.
        dummy (ModelInputs): A prompt with an image, added if none of the rows has one.
        max_new_tokens (int): Longest response.
        device (Device): Where the model is.

    Returns:
        list[Response]: One a row.
    """
    tokenizer: Any = model.tokenizer
    has_image = any((row.image_input_idx >= 0).any() for row in rows)
    batch = collate([*rows, *([] if has_image else [dummy])])
    inputs = device.batch_to_device({key: batch[key] for key in _INPUTS if key in batch})
    prompt_length = inputs['input_ids'].shape[1]
    with torch.no_grad():
        tokens = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            eos_token_id=None,
            synced_gpus=False,  # the criterion below keeps ranks in step
            stopping_criteria=StoppingCriteriaList([AllRanksEnded(tokenizer.eos_token_id, prompt_length)]),
        )
    return [_cut(row.tolist(), tokenizer) for row in tokens[: len(rows), prompt_length:].cpu()]


def _cut(tokens: list[int], tokenizer: Any) -> Response:
    """The response up to its end."""
    finished = tokenizer.eos_token_id in tokens
    kept = tokens[: tokens.index(tokenizer.eos_token_id)] if finished else tokens
    return Response(tokenizer.decode(kept, skip_special_tokens=True).strip(), finished)
