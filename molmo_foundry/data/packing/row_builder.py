# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""From the samples of a pack to a row.

Whatever happens to a sample, its example is as long as planned or shorter: one that cannot be read, or that turns out
longer than the index says, is replaced by a stand-in of the planned size of which nothing is learned.
"""

import logging
from collections import Counter
from functools import cached_property
from typing import Any, Iterable, Mapping, Optional, Sequence, Union

from molmo_foundry.data.packing.bad_samples import BadSamples
from molmo_foundry.data.packing.dealing import PlannedRow
from molmo_foundry.data.packing.plan import PlannedSample
from molmo_foundry.data.packing.rows import join, placeholder
from molmo_foundry.data.packing.stats import RowStats
from molmo_foundry.data.packing.streams import StreamOptions
from molmo_foundry.data.schema import from_sample
from molmo_foundry.processing.choices import example_rng
from molmo_foundry.processing.preprocessor import ExampleTooLongError, Preprocessor
from molmo_foundry.processing.types import Example, ModelInputs

log = logging.getLogger(__name__)

ReadSample = Union[dict[str, Any], Exception]
"""The columns of a sample, or why it could not be read."""


class RowBuilder:
    """Builds rows.

    Args:
        preprocessor (Preprocessor): Makes model inputs of records.
        streams (Mapping[str, StreamOptions]): How the records of each stream are read, in the order of the plan.
        seed (int): Seed of the prompts.
        max_bad_fraction (float): See `BadSamples`.
    """

    def __init__(
        self, preprocessor: Preprocessor, streams: Mapping[str, StreamOptions], seed: int, max_bad_fraction: float
    ):
        self.preprocessor = preprocessor
        self.names = list(streams)
        self.options = list(streams.values())
        self.seed = seed
        self.bad_samples = BadSamples(max_bad_fraction)

    def build(
        self,
        row: PlannedRow,
        samples: Sequence[PlannedSample],
        read: Iterable[ReadSample],
        *,
        epoch: int,
        stream_epochs: Mapping[str, float],
    ) -> ModelInputs:
        """Build a row.

        Args:
            row (PlannedRow): Which row.
            samples (Sequence[PlannedSample]): Its samples; without any, it is a token of which nothing is learned.
            read (Iterable): What was read of each.
            epoch (int): Epoch of the run.
            stream_epochs (Mapping[str, float]): How often each stream has been gone through.

        Returns:
            ModelInputs: Its metadata has the ``ids`` and the ``streams`` of its examples, in the order of their
            segments, and ``stats``.

        Raises:
            RecordError: If too many samples have been bad.
        """
        usable = [self._example(*sample) for sample in zip(samples, read)]
        examples = [example or self._stand_in(sample) for example, sample in zip(usable, samples)]
        inputs = join(examples or [placeholder(self._blank, 1, 0, record='')])
        streams = [self.names[sample.stream] for sample in samples]
        inputs.metadata['streams'] = streams
        stats = RowStats(
            pack=row.pack,
            epoch=epoch,
            examples=len(examples),
            placeholders=usable.count(None),
            dropped_annotations=sum(example.metadata.get('dropped_annotations', 0) for example in examples),
            tokens=len(inputs),
            planned_tokens=sum(sample.tokens or 0 for sample in samples) or len(inputs),
            crops=len(inputs.images),
            loss_tokens=int((inputs.loss_weights > 0).sum()),
            crop_imbalance=row.crop_imbalance,
            streams=dict(Counter(streams)),
            stream_epochs=dict(stream_epochs),
        )
        return stats.attach_to(inputs)

    @cached_property
    def _blank(self) -> ModelInputs:
        return self.preprocessor(Example('', annotations=[{'text': '-', 'weight': 0}]))

    def _stand_in(self, sample: PlannedSample) -> ModelInputs:
        record = f'{self.names[sample.stream]}, record {sample.record}'
        return placeholder(self._blank, sample.tokens or 1, sample.crops or 0, record)

    def _example(self, sample: PlannedSample, read: ReadSample) -> Optional[ModelInputs]:
        """Model inputs of a sample; None if it cannot be used."""
        where = f'stream {self.names[sample.stream]!r}, record {sample.record}'
        try:
            if isinstance(read, Exception):
                raise read
            example = self.options[sample.stream].apply(from_sample(read))
            where = f'{where} ({example.id!r})'
            inputs = self.preprocessor(example, rng=example_rng(self.seed, sample.repeat, example.id))
            _check_size(inputs, sample)
        except ExampleTooLongError as error:
            log.warning('%s: %s Nothing is learned from it.', where, error)
            return None
        except (ValueError, OSError) as error:
            self.bad_samples.add_bad(where, error)
            return None
        self.bad_samples.add_good()
        return inputs


def _check_size(inputs: ModelInputs, sample: PlannedSample) -> None:
    """Compare an example with what was planned for it: at most as many tokens, for prompts are drawn, and its crops."""
    tokens, crops = len(inputs), len(inputs.images)
    if sample.tokens is not None and (tokens > sample.tokens or crops != sample.crops):
        raise ValueError(
            f'it has {tokens} tokens and {crops} crops, but {sample.tokens} and {sample.crops} were planned; delete '
            'its lengths-*.npz'
        )
