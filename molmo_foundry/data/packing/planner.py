# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""All that plans are made of, in one place: settings, mixture, lengths; and the description that tells two apart."""

import json
import logging
import math
from dataclasses import asdict, dataclass
from typing import Mapping, Optional, Sequence

from molmo_foundry.data.packing.best_fit import LOOK_AHEAD, Budgets
from molmo_foundry.data.packing.fingerprint import digest, digest_of_lengths
from molmo_foundry.data.packing.node_files import shared_plan
from molmo_foundry.data.packing.order import StreamDraws
from molmo_foundry.data.packing.plan import PLAN_VERSION, Lengths, Plan, PlannedSample, make_plan, pack_samples
from molmo_foundry.data.packing.streams import Mixture

log = logging.getLogger(__name__)

REMOTE_BLOCK_SIZE = 1 << 14
"""Records of a remote stream that are shuffled among themselves, unless a recipe says otherwise."""


@dataclass(frozen=True)
class PlanSettings:
    """How to plan; keys of a recipe's `dataset` block.

    Attributes:
        seed: Seed of the order.
        max_seq_len: Most tokens of a pack.
        packing: Whether a row holds as many examples as fit, or one.
        max_crops_per_pack: Most crops of a pack; None: no limit beyond the tokens they take.
        look_ahead: How many samples there are to choose from when a pack is filled; the most packs that one waits.
        shuffle: Whether the order is random.
        shuffle_block_size: Records that are shuffled among themselves. None: 16384 of remote streams, which bounds the
            shards that are needed at a time, and all of local ones.
        epoch_size: Samples of an epoch where rates decide; None: as many as there are records.
    """

    seed: int
    max_seq_len: int
    packing: bool = True
    max_crops_per_pack: Optional[int] = None
    look_ahead: int = LOOK_AHEAD
    shuffle: bool = True
    shuffle_block_size: Optional[int] = None
    epoch_size: Optional[int] = None

    @property
    def budgets(self) -> Optional[Budgets]:
        """What a pack may hold; None without packing."""
        return Budgets(self.max_seq_len, self.max_crops_per_pack, self.look_ahead) if self.packing else None


class Planner:
    """Makes the plans of a run.

    Args:
        settings (PlanSettings): How to plan.
        mixture (Mixture): How often streams are drawn from.
        shard_sizes (Mapping[str, Sequence[int]]): Records of each shard of each stream.
        lengths (Mapping[str, Lengths], optional): Lengths of each stream's records; needed for packing.
        data (Mapping[str, str]): Digest of each stream's data.
        tokenizer (str): Digest of the tokenizer.
        processor (str): Digest of the processor.

    Raises:
        ValueError: If the epoch is too short for a stream to occur in it.
    """

    def __init__(
        self,
        settings: PlanSettings,
        mixture: Mixture,
        shard_sizes: Mapping[str, Sequence[int]],
        lengths: Optional[Mapping[str, Lengths]],
        *,
        data: Mapping[str, str],
        tokenizer: str,
        processor: str,
    ):
        self.settings = settings
        self.mixture = mixture
        sizes = {name: sum(own) for name, own in shard_sizes.items()}
        counts = mixture.counts(sizes, settings.epoch_size)
        self.streams = [
            StreamDraws(name, shard_sizes[name], counts[name], self._block_size(name)) for name in mixture.streams
        ]
        self.lengths = None if lengths is None else [lengths[name] for name in mixture.streams]
        description = {
            'version': PLAN_VERSION,
            **asdict(settings),
            'tokenizer': tokenizer,
            'processor': processor,
            'streams': {
                stream.name: {
                    'data': data[stream.name],
                    'lengths': None if lengths is None else digest_of_lengths(lengths[stream.name]),
                    'samples_per_epoch': stream.count,
                    **asdict(mixture.streams[stream.name].options),
                }
                for stream in self.streams
            },
        }
        self.description = json.loads(json.dumps(description))  # as it comes out of a checkpoint
        self.fingerprint = digest(self.description)

    def plan(self, epoch: int) -> Plan:
        """The plan of an epoch, shared by the processes of this node.

        Raises:
            ValueError: If no sample fits into a pack.
        """
        plan = shared_plan(self.fingerprint, epoch, lambda: self._make(epoch))
        if not len(plan):
            raise ValueError(
                f'There is nothing to train on: every record exceeds max_seq_len={self.settings.max_seq_len}.'
            )
        return plan

    def samples(self, plan: Plan, pack: int) -> list[PlannedSample]:
        """The samples of a pack; none for numbers beyond the last."""
        return pack_samples(plan, self.lengths, pack)

    def stream_epochs(self, plan: Plan, epoch: int, pack: int) -> dict[str, float]:
        """How often each stream has been gone through when a pack of an epoch is over, to within the look-ahead."""
        gone = epoch + min((pack + 1) / len(plan), 1)
        return {stream.name: gone * stream.count / stream.size for stream in self.streams}

    def most_packs(self) -> Optional[int]:
        """More packs than any epoch has; None where rates decide, for there an epoch means nothing.

        Packing the same samples in another order gives a few packs more or less. The root of their number is several
        times the difference that was seen in thousands of plans.
        """
        if self.mixture.is_endless:
            return None
        packs = len(self.plan(0))
        return packs + math.ceil(math.sqrt(packs)) if self.settings.packing else packs

    def _make(self, epoch: int) -> Plan:
        settings = self.settings
        plan = make_plan(
            self.streams, self.lengths, settings.budgets, seed=settings.seed, epoch=epoch, shuffle=settings.shuffle
        )
        log.info('Epoch %d: %d samples in %d packs.', epoch, len(plan.samples), len(plan))
        for stream, count in zip(self.streams, plan.too_long):
            if count:
                log.warning(
                    'Epoch %d: %d of %d samples of %s are left out: each alone exceeds max_seq_len=%d.',
                    epoch,
                    count,
                    stream.count,
                    stream.name,
                    settings.max_seq_len,
                )
        return plan

    def _block_size(self, name: str) -> Optional[int]:
        is_remote = 'remote' in self.mixture.streams[name].location
        return self.settings.shuffle_block_size or (REMOTE_BLOCK_SIZE if is_remote else None)
