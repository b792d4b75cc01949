# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""How full packs are, how even the work is, and what streams it came from.

Every row carries plain numbers, `RowStats`, in its metadata, where they survive the split into microbatches. Each rank
adds up its own by `batch_sums`; of their sum over the ranks, `batch_metrics` makes what is worth logging.

Shapes: K streams.
"""

from dataclasses import asdict, dataclass
from typing import Any, Mapping, Optional, Sequence

from molmo_foundry.processing.types import ModelInputs


@dataclass
class RowStats:
    """One row.

    Attributes:
        pack: Number of the pack in its epoch.
        epoch: Epoch of the run.
        examples: Examples in it, stand-ins included.
        placeholders: Stand-ins for examples that could not be read.
        dropped_annotations: Annotations that were left out since their example would have passed `max_seq_len`.
        tokens: Tokens without padding.
        planned_tokens: The upper bound that the pack was planned with.
        crops: Crops.
        loss_tokens: Tokens that something is learned from.
        crop_imbalance: Most crops of a rank in the global batch, against the mean of the ranks; 1 is perfect.
        streams: Examples by stream.
        stream_epochs: How often each stream of the mixture had been gone through, up to this row.
    """

    pack: int
    epoch: int
    examples: int
    placeholders: int
    dropped_annotations: int
    tokens: int
    planned_tokens: int
    crops: int
    loss_tokens: int
    crop_imbalance: float
    streams: dict[str, int]
    stream_epochs: dict[str, float]

    def attach_to(self, row: ModelInputs) -> ModelInputs:
        """Put the numbers into a row's metadata."""
        row.metadata['stats'] = asdict(self)
        return row


_SUMMED = ('examples', 'placeholders', 'dropped_annotations', 'tokens', 'planned_tokens', 'crops', 'loss_tokens')


def batch_sums(rows: Sequence[Mapping[str, Any]], streams: Sequence[str]) -> list[float]:
    """What a rank's rows hold together.

    Args:
        rows (Sequence[Mapping]): ``metadata`` of the rows, by a planned loader.
        streams (Sequence[str]): The streams of its mixture.

    Returns:
        list[float]: (8 + K,): number of rows, the sums of their examples, stand-ins, dropped annotations, tokens,
        planned tokens, crops and loss tokens, and their examples of each stream.
    """
    stats = [row['stats'] for row in rows]
    totals = [sum(row[name] for row in stats) for name in _SUMMED]
    of_streams = [sum(row['streams'].get(name, 0) for row in stats) for name in streams]
    return [float(number) for number in (len(stats), *totals, *of_streams)]


def batch_metrics(
    sums: Sequence[float], row: Mapping[str, Any], max_seq_len: int, max_crops: Optional[int] = None
) -> dict[str, float]:
    """Metrics of a global batch.

    Args:
        sums (Sequence[float]): `batch_sums` of all ranks together.
        row (Mapping): ``metadata`` of any of its rows.
        max_seq_len (int): Most tokens of a row.
        max_crops (int, optional): Most crops of a row; None: no limit, and no utilisation of it.

    Returns:
        dict[str, float]: By name, as loggers take them.
    """
    num_rows, stats = sums[0], row['stats']
    totals = dict(zip(_SUMMED, sums[1:]))
    metrics = {
        'packing/token_utilization': totals['tokens'] / (num_rows * max_seq_len),
        'packing/planned_token_utilization': totals['planned_tokens'] / (num_rows * max_seq_len),
        'packing/examples_per_pack': totals['examples'] / num_rows,
        'packing/loss_tokens_per_pack': totals['loss_tokens'] / num_rows,
        'packing/crops_per_pack': totals['crops'] / num_rows,
        'packing/crop_imbalance': stats['crop_imbalance'],
        'packing/placeholders': totals['placeholders'],
        'packing/dropped_annotations': totals['dropped_annotations'],
    }
    if max_crops is not None:
        metrics['packing/crop_utilization'] = totals['crops'] / (num_rows * max_crops)
    for (name, epochs), examples in zip(stats['stream_epochs'].items(), sums[1 + len(_SUMMED) :]):
        metrics[f'streams/{name}/examples'] = examples
        metrics[f'streams/{name}/epochs'] = epochs
    return metrics
