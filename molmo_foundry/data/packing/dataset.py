# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Rows for training, read by the plan.

Streaming downloads, caches and evicts shards and tells the workers of a run where an epoch starts; what they read, and
in which order, is the plan's. A worker asks for the samples of its rows in order, so shards are fetched ahead of it.

Streaming counts samples. Here, what counts are rows, each of them a pack; the state of the loader is the epoch, the
packs that were consumed of it, and a description of all that the plan depends on.
"""

import logging
from itertools import chain, islice
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Union

import numpy as np

from molmo_foundry.data.packing.dealing import epoch_rows
from molmo_foundry.data.packing.fingerprint import (
    differences,
    digest,
    digest_of_mds,
    digest_of_processor,
    digest_of_tokenizer,
)
from molmo_foundry.data.packing.folders import folders_of, measure_stream
from molmo_foundry.data.packing.planner import Planner, PlanSettings
from molmo_foundry.data.packing.reading import SampleReader
from molmo_foundry.data.packing.row_builder import ReadSample, RowBuilder
from molmo_foundry.data.packing.streams import Mixture
from molmo_foundry.data.schema import RecordError
from molmo_foundry.data.shared_memory import registration
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.types import ModelInputs

log = logging.getLogger(__name__)

_BATCHES_AHEAD = 8
"""Batches whose shards a worker downloads ahead of those it yields, unless a recipe says otherwise."""


class PlannedDataset(SampleReader):
    """A mixture of MDS streams as rows of packed examples.

    Iterating gives this worker's rows, batch by batch; a `RecordError` among them says that too many samples are bad.

    Args:
        mixture (Mixture): The streams, and how often they are drawn from.
        preprocessor (Preprocessor): Makes model inputs of records.
        settings (PlanSettings): How to plan.
        batch_size (int): Rows in a batch of one rank.
        max_bad_fraction (float): Share of samples that may be unreadable; see `BadSamples`. Default: 0.01.
        allow_changed_plan (bool): Whether to go on from a checkpoint that was taken under another plan.
        index_workers (int): Processes that build a length index where there is none; 0 builds it in this one.
        predownload (int, optional): Samples whose shards a worker downloads ahead. Default: those of 8 batches.
        cache_limit (int | str, optional): Bytes of disk for downloaded shards, such as ``100gb``. Each
            process may pass it by a shard, which counts only when it has arrived.

    Raises:
        FileNotFoundError: If a stream without `remote` has no MDS in its folder.
        ValueError: If the mixture cannot be planned.
    """

    def __init__(
        self,
        *,
        mixture: Mixture,
        preprocessor: Preprocessor,
        settings: PlanSettings,
        batch_size: int,
        max_bad_fraction: float = 0.01,
        allow_changed_plan: bool = False,
        index_workers: int = 0,
        predownload: Optional[int] = None,
        cache_limit: Optional[Union[int, str]] = None,
    ):
        self.folders, self._folder_of = folders_of(mixture)
        with registration(self):
            super().__init__(
                streams=self.folders,
                batch_size=batch_size,
                predownload=predownload,
                cache_limit=cache_limit,
                shuffle_seed=settings.seed,
            )
        self.rows_per_batch = batch_size
        self.allow_changed_plan = allow_changed_plan
        self.planner = self._make_planner(mixture, preprocessor, settings, index_workers)
        options = {name: stream.options for name, stream in mixture.streams.items()}
        self.row_builder = RowBuilder(preprocessor, options, settings.seed, max_bad_fraction)
        self._chosen_predownload = predownload

    def __len__(self) -> int:
        """Rows of one rank in an epoch; at least those of any, for Composer ends an epoch there.

        Raises:
            TypeError: If rates decide how often streams are drawn from, so that an epoch has no meaning.
        """
        packs = self.planner.most_packs()
        if packs is None:
            raise TypeError('A mixture with rates has no length; give max_duration in batches.')
        whole_batch = self.rows_per_batch * self._parallel_rank_world.num_ranks
        return -(-packs // whole_batch) * self.rows_per_batch

    def __getitem__(self, at: int) -> ReadSample:
        """The columns of the sample at a position, or the error that it gives."""
        try:
            return self.get_item(at)
        except (ValueError, OSError) as error:
            return error

    def __iter__(self) -> Iterator[Union[ModelInputs, RecordError]]:
        """This worker's rows of the epoch, or of what is left of it."""
        samples = super().__iter__()
        samples = chain(list(islice(samples, 1)), samples)  # to read the first is to ask `_get_work`
        for row in self._rows:
            planned = self.planner.samples(self._plan, row.pack)
            read = list(islice(samples, len(planned)))
            if len(read) < len(planned):
                raise RuntimeError('A thread that downloads shards failed; its traceback stands above.')
            try:
                epochs = self.planner.stream_epochs(self._plan, self._epoch, row.pack)
                inputs = self.row_builder.build(row, planned, read, epoch=self._epoch, stream_epochs=epochs)
            except RecordError as error:
                yield from [error] * self.rows_per_batch  # one alone, and a loader with drop_last would drop it
                return
            yield inputs

    def state_dict(self, num_samples: int, from_beginning: bool) -> dict[str, Any]:
        """Where the run stands, for a checkpoint.

        Args:
            num_samples (int): Rows that all ranks together were given.
            from_beginning (bool): Whether they are counted from the start of the epoch, as Composer does.

        Returns:
            dict[str, Any]: ``epoch``, ``packs`` consumed of it, and the ``plan``'s description.
        """
        state = super().state_dict(num_samples, from_beginning)
        epoch, packs = state['epoch'], state['sample_in_epoch']
        if not packs:  # an epoch that is over is the beginning of the next
            epoch = max(epoch, self.next_epoch)
        return {'epoch': epoch, 'packs': packs, 'plan': self.planner.description}

    def load_state_dict(self, obj: Mapping[str, Any]) -> None:
        """Go on where a checkpoint stands.

        Args:
            obj (Mapping[str, Any]): From `state_dict`.

        Raises:
            ValueError: If it was taken under another plan; says what differs.
        """
        changes = differences(obj.get('plan', {}), self.planner.description)
        if changes:
            lines = '\n  '.join(changes)
            if not self.allow_changed_plan:
                raise ValueError(
                    'The checkpoint was taken with other data, so its place in the order means nothing here:\n  '
                    f'{lines}\nUndo that, or set dataset.allow_changed_plan=true to go on at the same number of packs.'
                )
            log.warning('The order of the data is not that of the checkpoint:\n  %s', lines)
        super().load_state_dict(
            {
                'epoch': obj.get('epoch', 0),
                'sample_in_epoch': obj.get('packs', 0),
                'num_canonical_nodes': 1,
                'shuffle_seed': self.shuffle_seed,
                'initial_physical_nodes': 1,
            }
        )

    def _get_work(self, epoch: int, sample_in_epoch: int) -> np.ndarray:
        """Positions of the samples that this worker is to read, in order; sets what its rows are made of.

        Args:
            epoch (int): Which epoch.
            sample_in_epoch (int): Packs that were consumed of it.
        """
        for folder in self.folders:
            folder.forget_failures()
        world = self._parallel_worker_world
        self._epoch, self._plan = epoch, self.planner.plan(epoch)
        self._rows = list(
            epoch_rows(
                self._plan,
                sample_in_epoch,
                batch_size=self.rows_per_batch,
                rank=world.rank,
                num_ranks=world.num_ranks,
                worker=world.worker_of_rank,
                num_workers=world.workers_per_rank,
            )
        )
        chosen = self._plan.samples_of([row.pack for row in self._rows])
        if self._chosen_predownload is None and self._rows:
            self.predownload = -(-_BATCHES_AHEAD * self.rows_per_batch * len(chosen) // len(self._rows))
        first_position = self.sample_offset_per_stream[self._folder_of]
        return first_position[chosen.stream] + chosen.record

    def _make_planner(
        self, mixture: Mixture, preprocessor: Preprocessor, settings: PlanSettings, index_workers: int
    ) -> Planner:
        tokenizer, processor = digest_of_tokenizer(preprocessor.tokenizer), digest_of_processor(preprocessor)
        data, shard_sizes, lengths = {}, {}, {}
        for (name, stream), folder in zip(mixture.streams.items(), self._folder_of):
            first = self.shard_offset_per_stream[folder]
            shards = slice(first, first + self.shards_per_stream[folder])
            shard_sizes[name] = self.samples_per_shard[shards].tolist()
            data[name] = digest_of_mds(Path(self.folders[folder].local) / self.folders[folder].split)
            if settings.packing:
                lengths[name] = measure_stream(
                    self, folder, name, stream.options, preprocessor, digest(tokenizer, processor), index_workers
                )
        known = lengths if settings.packing else None
        return Planner(settings, mixture, shard_sizes, known, data=data, tokenizer=tokenizer, processor=processor)
