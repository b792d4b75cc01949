# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The data classes that travel from a record to the model.

`Example` (what a data set says) → `Conversation` list (what the model should read and answer) → `ModelInputs` (arrays).
Shapes: T tokens, C crops, N patches of a crop, P pooled tokens of a crop.
"""

from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np

IMAGE_TOKENS = ('<im_start>', '<im_end>', '<im_patch>', '<im_col>', '<|image|>')
"""Molmo's special strings in the order of their ids. The last marks in a prompt where an image goes."""

IMAGE_PLACEHOLDER = IMAGE_TOKENS[-1]

PREFIX_SEGMENT_ID = 10_000
"""Segment id of the image prefix that all branches of a message tree share."""

EXAMPLE_SEGMENT_INCREMENT = 100_000
"""Added to the segment ids of the i-th example of a pack, i times."""

IGNORED_SLOT = -100
"""`image_input_idx` of a pooled token that no token of the sequence shows (the discarded overlap)."""


@dataclass
class Example:
    """One record: its images with everything that was annotated on them.

    Attributes:
        id: Stable identifier, unique within its data set. With the seed and the epoch it seeds all randomness.
        images: Encoded files (JPEG, PNG, …) or decoded RGB uint8 arrays (H, W, 3); empty for text only.
        annotations: One mapping an annotation, in the schema of `docs/data.md`: `style` with `text`, `messages`,
            `question` and `answer`/`answers`/`options`, or `label` and `points`. Several make a message tree.
        metadata: What evaluation needs to score a prediction; never seen by the model.
    """

    id: str
    images: list[Any] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class Conversation:
    """One branch of a message tree, formatted: alternating user and assistant turns, the user first.

    Attributes:
        turns: Texts as the model reads them, prompts and responses in turn. An odd count leaves the answer open.
        weight: Factor on the loss of every response token.
    """

    turns: list[str]
    weight: float = 1.0


@dataclass
class ImageInputs:
    """One image, cut and patchified.

    Attributes:
        crops: (C, N, patch pixels) float32, normalised, in `exact` mode; uint8 in `fast` mode. Crop 0 is global.
        tokens: (T,) int64 ids of the image's token block.
        input_idx: (C, P) int64 position within `tokens` of each pooled token; negative = drop.
        masks: (C, N) float32 share of real pixels of each patch, −1 where the reference has no row; None if unused.
    """

    crops: np.ndarray
    tokens: np.ndarray
    input_idx: np.ndarray
    masks: Optional[np.ndarray] = None


@dataclass
class ModelInputs:
    """One example as arrays; the unit that packing concatenates and the collator batches.

    Attributes:
        input_ids: (T,) int64.
        labels: (T,) int64 token that each position predicts, on every position; −100 where there is none.
        loss_weights: (T,) float32; zero where nothing is to be learned.
        position_ids: (T,) int64; each branch continues from the shared prefix.
        segment_ids: (T,) int64; see `model.attention`. 0 is padding and does not occur here.
        images: (C, N, patch pixels) uint8 or float32; C = 0 without images.
        image_masks: (C, N) float32, or None.
        image_input_idx: (C, P) int64 positions within this example; negative = drop.
        metadata: The example's metadata with `id`, and whatever formatting adds.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    loss_weights: np.ndarray
    position_ids: np.ndarray
    segment_ids: np.ndarray
    images: np.ndarray
    image_masks: Optional[np.ndarray]
    image_input_idx: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.input_ids)
