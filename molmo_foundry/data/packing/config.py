# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The `dataset` block of a recipe that asks for a plan."""

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Union

from transformers import PreTrainedTokenizerBase

from molmo_foundry.data.dataset_config import DatasetConfig
from molmo_foundry.data.packing.best_fit import LOOK_AHEAD
from molmo_foundry.data.packing.dataset import PlannedDataset
from molmo_foundry.data.packing.mixture import parse_mixture
from molmo_foundry.data.packing.planner import PlanSettings


def asks_for_plan(block: Mapping[str, Any]) -> bool:
    """Whether a `dataset` block says how to pack (`packing`, true or false), or mixes by groups or rates."""
    if any(block.get(key) is not None for key in ('packing', 'groups', 'mixture')):
        return True
    streams = block.get('streams') or {}
    return any(isinstance(stream, Mapping) and 'rate' in stream for stream in streams.values())


@dataclass
class PlannedConfig(DatasetConfig):
    """A `dataset` block with a mixture and a plan; `DatasetConfig` has the other keys.

    Attributes:
        streams: Streams by name; see `packing.mixture`.
        groups: Groups of streams by name, in place of `streams`.
        mixture: A YAML file with streams or groups, in place of both.
        local: Folder of the streams that say neither `local` nor `remote`.
        remote: The same, far away.
        packing: Whether a row holds as many examples as fit into `max_seq_len`, or one, in the same order.
        max_crops_per_pack: Most crops of a row. Default: no limit beyond the tokens they take.
        look_ahead: How many samples there are to choose from when a pack is filled; the most packs that one waits.
        shuffle_block_size: Records of a stream that are shuffled among themselves. Default: all of local streams, 16384
            of remote ones.
        max_bad_fraction: Share of samples that may turn out to be unreadable before the run ends.
        allow_changed_plan: Whether to go on from a checkpoint that was taken with other data or settings.
        index_workers: Processes that measure records where there is no length index yet.
    """

    streams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, kw_only=True)
    groups: Optional[Mapping[str, Any]] = None
    mixture: Optional[str] = None
    local: Optional[str] = None
    remote: Optional[str] = None
    packing: bool = False
    max_crops_per_pack: Optional[int] = None
    look_ahead: int = LOOK_AHEAD
    shuffle_block_size: Optional[int] = None
    max_bad_fraction: float = 0.01
    allow_changed_plan: bool = False
    index_workers: int = 0

    def check_unweighted(self) -> None:
        """Check that this is not for evaluation, which reads each record once, alone.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            'dataset.packing, groups and mixture have no effect in evaluation, which reads each record once; remove '
            'them, or set shuffle or drop_last for training.'
        )

    def build(self, tokenizer: PreTrainedTokenizerBase, batch_size: int) -> PlannedDataset:
        """The data set that the block describes.

        Args:
            tokenizer (PreTrainedTokenizerBase): The tokenizer `molmo` of the model.
            batch_size (int): Rows in a batch of one rank.

        Raises:
            ValueError: If a key is wrong, or the tokenizer is not the model's.
            FileNotFoundError: If a local stream or the mixture's file is not there.
        """
        settings = PlanSettings(
            seed=self.seed,
            max_seq_len=self.max_seq_len,
            packing=self.packing,
            max_crops_per_pack=self.max_crops_per_pack,
            look_ahead=self.look_ahead,
            shuffle=self.shuffle,
            shuffle_block_size=self.shuffle_block_size,
            epoch_size=_whole_number(self.epoch_size),
        )
        return PlannedDataset(
            mixture=parse_mixture(vars(self)),
            preprocessor=self.build_preprocessor(tokenizer),
            settings=settings,
            batch_size=batch_size,
            max_bad_fraction=self.max_bad_fraction,
            allow_changed_plan=self.allow_changed_plan,
            index_workers=self.index_workers,
            predownload=self.predownload,
            cache_limit=self.cache_limit,
        )


def _whole_number(value: Optional[Union[int, str]]) -> Optional[int]:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError(f'dataset.epoch_size must be a whole number above 0, not {value!r}.')
