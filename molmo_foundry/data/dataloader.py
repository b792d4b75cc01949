# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The dataloader `molmo` of LLM-Foundry: from the `dataset` block of a recipe to a Composer `DataSpec`."""

from typing import Any, Iterator, Mapping, Optional, Sequence, Union

import torch
from composer.core import DataSpec
from composer.utils import dist
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from molmo_foundry.data import collator
from molmo_foundry.data.dataset import EachOnce, MolmoDataset
from molmo_foundry.data.dataset_config import DatasetConfig
from molmo_foundry.data.own_streams import convert_sources
from molmo_foundry.data.packing.config import PlannedConfig, asks_for_plan
from molmo_foundry.data.schema import RecordError
from molmo_foundry.processing.types import ModelInputs


class _DataLoader(DataLoader):
    """A DataLoader that raises the error of a bad record as it is, not as the traceback of a worker process."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in super().__iter__():
            if isinstance(batch, RecordError):
                raise batch
            yield batch


def build_molmo_dataloader(
    tokenizer: PreTrainedTokenizerBase,
    device_batch_size: int,
    dataset: Mapping[str, Any],
    drop_last: bool,
    num_workers: int,
    prefetch_factor: int = 2,
    persistent_workers: bool = True,
    pin_memory: Optional[bool] = None,
    timeout: float = 0,
) -> DataSpec:
    """Build the dataloader of a recipe, for training or for evaluation.

    A loader that neither shuffles nor drops is for evaluation: it gives each record exactly once, over all ranks, in
    the order of the streams, formatted without chance. Any other gives the training order: seeded, mixed by the
    streams' weights, the same for any number of workers and resumable in the middle of an epoch. With `packing`,
    `groups` or `mixture`, it reads by a plan, see `data.packing`.

    Args:
        tokenizer (PreTrainedTokenizerBase): The tokenizer `molmo` of the model.
        device_batch_size (int): Rows in a batch of one rank.
        dataset (Mapping): See `DatasetConfig`, `PlannedConfig` for what is read by a plan, and `own_streams` for data
            that is not MDS yet.
        drop_last (bool): Whether to leave out an incomplete last batch.
        num_workers (int): Worker processes of each rank; 0 reads in the main process.
        prefetch_factor (int): Batches that each worker keeps ready. Default: 2.
        persistent_workers (bool): Keep workers from epoch to epoch. Default: ``True``.
        pin_memory (bool, optional): Put batches into pinned memory. Default: where there is CUDA.
        timeout (float): Seconds to wait for a worker's batch; 0 waits forever. Default: 0.

    Returns:
        DataSpec: The loader with the functions that count and split its ragged batches.

    Raises:
        ValueError: If a key of `dataset` is wrong, or the tokenizer is not the model's.
        FileNotFoundError: If a local stream is not there.
    """
    dataset = convert_sources(dataset)
    config = (PlannedConfig if asks_for_plan(dataset) else DatasetConfig).parse(dataset)
    evaluation = not (config.shuffle or drop_last)
    if evaluation:
        config.check_unweighted()
    if isinstance(config, PlannedConfig):
        view = config.build(tokenizer, device_batch_size)
        num_samples = None
    else:
        records = MolmoDataset(
            streams=config.build_streams(),
            preprocessor=config.build_preprocessor(tokenizer),
            training=not evaluation,
            seed=config.seed,
            batch_size=device_batch_size,
            shuffle=config.shuffle,
            epoch_size=config.epoch_size,
            predownload=config.predownload,
            cache_limit=config.cache_limit,
        )
        view = EachOnce(records) if evaluation else records
        num_samples = len(view) if evaluation else records.epoch_size
    workers = {'prefetch_factor': prefetch_factor, 'persistent_workers': persistent_workers, 'timeout': timeout}
    loader = _DataLoader(
        view,
        batch_size=device_batch_size,
        sampler=dist.get_sampler(view, shuffle=False, drop_last=False) if evaluation else None,
        collate_fn=_collate,
        drop_last=drop_last,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        # Seeding workers from the global generator would move the model's dropout when a run resumes.
        generator=torch.Generator().manual_seed(config.seed),
        **(workers if num_workers else {}),
    )
    if num_samples is not None and len(loader) == 0:
        raise ValueError(
            f'dataset has {num_samples} records, which do not fill one batch of {device_batch_size} rows a rank; lower '
            'global_train_batch_size or set drop_last: false.'
        )
    return DataSpec(
        loader,
        num_samples=num_samples,
        split_batch=collator.split_batch,
        get_num_samples_in_batch=collator.get_num_samples_in_batch,
        get_num_tokens_in_batch=collator.get_num_tokens_in_batch,
    )


def _collate(rows: Sequence[Union[ModelInputs, RecordError]]) -> Union[dict[str, Any], RecordError]:
    errors = [row for row in rows if isinstance(row, RecordError)]
    return errors[0] if errors else collator.collate([row for row in rows if isinstance(row, ModelInputs)])
