# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Rows into ragged batches, batches into microbatches, and what Composer counts in them.

A batch is a mapping. Tensors by row (B, T), right-padded to the longest row: ``input_ids``, ``labels``,
``loss_weights``, ``position_ids``, ``segment_ids``. Tensors by crop, of all rows one after the other: ``images``
(C, N, patch pixels), ``image_masks`` (C, N; absent if the model reads none) and ``image_input_idx`` (C, P), positions
within the crop's own row. Lists by row: ``crop_counts`` says how many crops are whose, ``token_counts`` and
``loss_counts`` spare Composer a device synchronisation, ``metadata`` holds the id.

Every batch and every microbatch has at least one crop: one without images gets a blank crop, charged to its first
row, whose pooled tokens go nowhere. So each rank runs the vision tower each time, and collectives stay in step.
"""

from typing import Any, Sequence, Union

import numpy as np
import torch

from molmo_foundry.processing.types import IGNORED_SLOT, ModelInputs

ROW_PADDING = {'input_ids': -1, 'labels': -100, 'loss_weights': 0, 'position_ids': 0, 'segment_ids': 0}
"""Tensors by row, with the value that fills them up on the right."""

CROP_TENSORS = ('images', 'image_masks', 'image_input_idx')


def collate(rows: Sequence[ModelInputs]) -> dict[str, Any]:
    """Batch rows.

    Args:
        rows (Sequence[ModelInputs]): B examples (or packs) that one preprocessor made.

    Returns:
        The batch; see the module.
    """
    batch: dict[str, Any] = {
        key: _pad([getattr(row, key) for row in rows], value) for key, value in ROW_PADDING.items()
    }
    for key in CROP_TENSORS:
        if getattr(rows[0], key) is not None:
            batch[key] = torch.from_numpy(np.concatenate([getattr(row, key) for row in rows]))
    batch['crop_counts'] = [len(row.images) for row in rows]
    batch['token_counts'] = [len(row) for row in rows]
    batch['loss_counts'] = [float(row.loss_weights.sum(dtype=np.float64)) for row in rows]
    batch['metadata'] = [row.metadata for row in rows]
    return _with_a_crop(batch)


def split_batch(batch: dict[str, Any], microbatch_size: Union[int, float]) -> list[dict[str, Any]]:
    """Cut a batch into microbatches of at most `microbatch_size` rows, each with its own crops.

    Raises:
        ValueError: If `microbatch_size` is not a whole number of rows.
    """
    if microbatch_size < 1 or microbatch_size != int(microbatch_size):
        raise ValueError(f'A microbatch must have a whole number of rows, not {microbatch_size}.')
    microbatch_size = int(microbatch_size)
    num_rows = get_num_samples_in_batch(batch)
    first_crop = np.cumsum([0, *batch['crop_counts']])
    microbatches = []
    for start in range(0, num_rows, microbatch_size):
        stop = min(start + microbatch_size, num_rows)
        rows, crops = slice(start, stop), slice(first_crop[start], first_crop[stop])
        microbatch = {key: value[crops if key in CROP_TENSORS else rows] for key, value in batch.items()}
        microbatches.append(_with_a_crop(microbatch))
    return microbatches


def get_num_samples_in_batch(batch: dict[str, Any]) -> int:
    """Number of rows."""
    return len(batch['crop_counts'])


def get_num_tokens_in_batch(batch: dict[str, Any]) -> dict[str, Any]:
    """Tokens without padding (``total``, int) and the sum of their loss weights (``loss_generating``, float)."""
    return {'total': sum(batch['token_counts']), 'loss_generating': float(sum(batch['loss_counts']))}


def _pad(arrays: Sequence[np.ndarray], value: float) -> torch.Tensor:
    padded = np.full((len(arrays), max(map(len, arrays))), value, dtype=arrays[0].dtype)
    for row, array in zip(padded, arrays):
        row[: len(array)] = array
    return torch.from_numpy(padded)


def _with_a_crop(batch: dict[str, Any]) -> dict[str, Any]:
    if sum(batch['crop_counts']):
        return batch
    blank = {'images': 0, 'image_masks': 1, 'image_input_idx': IGNORED_SLOT}
    for key, value in blank.items():
        if key in batch:
            batch[key] = batch[key].new_full((1, *batch[key].shape[1:]), value)
    return {**batch, 'crop_counts': [1, *batch['crop_counts'][1:]]}
