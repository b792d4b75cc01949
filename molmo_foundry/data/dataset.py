# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""MDS streams as model inputs: reading by position, preparing, and the order of training.

Position → record is `MolmoDataset.read`, record → model inputs the preprocessor's work, and the order in which
positions come is Streaming's: the same for any number of workers, resumable at any sample. How a record is written in
an epoch depends on (seed, epoch, id) alone.
"""

import logging
from pathlib import Path
from typing import Any, Mapping, Union

import numpy as np
from streaming import StreamingDataset
from torch.utils.data import Dataset

from molmo_foundry.data.mds import require_mds
from molmo_foundry.data.schema import RecordError, from_sample
from molmo_foundry.data.shared_memory import registration
from molmo_foundry.data.stream import RecordStream
from molmo_foundry.processing.choices import example_rng
from molmo_foundry.processing.preprocessor import ExampleTooLongError, Preprocessor
from molmo_foundry.processing.types import Example, ModelInputs

log = logging.getLogger(__name__)


class MolmoDataset(StreamingDataset):
    """Records of several MDS streams, prepared when they are read.

    Iterating gives this worker's share of an epoch in training order; `dataset[i]` gives any record. A record too long
    for the preprocessor's `max_seq_len` is reported, and a row without weight takes its place: samples are counted by
    row, so none may vanish.

    Args:
        streams (Mapping[str, RecordStream]): The streams by name; the names appear in errors.
        preprocessor (Preprocessor): Makes model inputs of a record.
        training (bool): Whether prompts are drawn at random, or always the first.
        seed (int): Seed of the order and of the prompts.
        **kwargs: Passed on to `StreamingDataset`: `batch_size`, `shuffle`, `epoch_size`, `cache_limit`, …

    Raises:
        FileNotFoundError: If a stream without `remote` has no MDS in its folder.
    """

    def __init__(
        self,
        *,
        streams: Mapping[str, RecordStream],
        preprocessor: Preprocessor,
        training: bool,
        seed: int,
        **kwargs: Any,
    ):
        for stream in streams.values():
            if stream.remote is None:
                require_mds(Path(stream.local) / stream.split)
        with registration(self):
            super().__init__(streams=list(streams.values()), shuffle_seed=seed, **kwargs)
        self.named_streams = list(streams.items())
        self.preprocessor = preprocessor
        self.training = training
        self.epoch = 0

    def read(self, position: int) -> Example:
        """The record at a position in all streams put one after the other, with what its stream reads of it.

        Raises:
            RecordError: If what lies there is no record, or nothing of it is read.
        """
        return self._stream(position)[1].select(from_sample(self.get_item(position)))

    def __getitem__(self, at: int) -> Union[ModelInputs, RecordError]:
        """Read and prepare a record; an error is returned, so that it leaves a worker process in one piece."""
        stream = self._stream(at)[0]
        try:
            inputs = self._prepare(self.read(at))
        except ValueError as error:
            return RecordError(f'stream {stream!r}: {error}')
        inputs.metadata['stream'] = stream
        return inputs

    def state_dict(self, num_samples: int, from_beginning: bool) -> dict[str, Any]:
        """Where the order stands, for a checkpoint; an epoch that is over counts as the beginning of the next."""
        state = super().state_dict(num_samples, from_beginning)
        if not state['sample_in_epoch']:
            state['epoch'] = max(state['epoch'], self.next_epoch)
        return state

    def _get_work(self, epoch: int, sample_in_epoch: int) -> np.ndarray:
        self.epoch = epoch
        return super()._get_work(epoch, sample_in_epoch)

    def _prepare(self, example: Example) -> ModelInputs:
        rng = example_rng(self.shuffle_seed, self.epoch, example.id) if self.training else None
        try:
            return self.preprocessor(example, rng=rng)
        except ExampleTooLongError as error:
            log.warning('%s Nothing is learned from it.', error)
            return self.preprocessor(Example(example.id, annotations=[{'text': '-', 'weight': 0}]))

    def _stream(self, position: int) -> tuple[str, RecordStream]:
        shard, _ = self.spanner[position]
        return self.named_streams[self.stream_per_shard[shard]]


class EachOnce(Dataset):
    """A view of a data set for evaluation: each record once, by position."""

    def __init__(self, dataset: MolmoDataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return self.dataset.num_samples

    def __getitem__(self, at: int) -> Union[ModelInputs, RecordError]:
        return self.dataset[at]
