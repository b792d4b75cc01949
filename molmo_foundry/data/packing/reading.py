# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Reading samples by position when shards may be missing, damaged, or evicted again before they are read.

Streaming ends a run on the first shard that cannot be downloaded, or leaves the other workers waiting for it forever.
Here such a shard is reported and its samples become errors, which the reader counts.
"""

import logging
from collections import Counter
from time import sleep, time_ns
from typing import Any

from streaming import Stream, StreamingDataset
from streaming.base.constant import TICK
from streaming.base.dataset import _Iterator
from streaming.base.format import Reader

log = logging.getLogger(__name__)

_ATTEMPTS = 3
"""How often a process asks for a shard before it gives it up; each time, Streaming tries `download_retry` times."""


class MissingShardError(OSError):
    """A shard that is not there and cannot be downloaded."""


class ForgivingStream(Stream):
    """A stream whose failed downloads do not end the run; what they leave out is found missing when it is read.

    Args:
        **kwargs (Any): What `streaming.Stream` takes.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._failures: Counter[str] = Counter()

    def prepare_shard(self, shard: Reader) -> int:
        """Download and unpack a shard, unless it was given up.

        Args:
            shard (Reader): Which one.

        Returns:
            int: By how many bytes the local folder grew; 0 if that failed.
        """
        name = _name(shard)
        if self._failures[name] >= _ATTEMPTS:
            return 0
        try:
            grown = super().prepare_shard(shard)
        except Exception as error:  # every kind of storage fails in its own way
            self._failures[name] += 1
            log.warning('Attempt %d to get %s of %s failed: %s', self._failures[name], name, self.remote, error)
            if self.remote is not None:
                shard.evict()  # what came may be half of it, or not what its hash says
            return 0
        del self._failures[name]
        return grown

    def forget_failures(self) -> None:
        """Try again to get the shards that were given up."""
        self._failures.clear()


class SampleReader(StreamingDataset):
    """A `StreamingDataset` that raises an error for a sample that cannot be read, and can go on with the next.

    Args:
        **kwargs (Any): What `StreamingDataset` takes; `streams` of `ForgivingStream`.
    """

    def get_item(self, sample_id: int, retry: int = 7) -> dict[str, Any]:
        """The sample at a position, its shard downloaded if need be.

        Args:
            sample_id (int): Position in all streams put one after the other.
            retry (int): How often to ask for the shard; `cache_limit` may evict it again before it is read.

        Raises:
            MissingShardError: If the shard is not to be had.
            ValueError: If the shard is damaged.
        """
        shard_id, index = self.spanner[sample_id]
        shard = self.shards[shard_id]
        for _ in range(1 + retry):
            try:
                sample = shard[index]
            except FileNotFoundError:  # noqa: PERF203
                self.prepare_shard(shard_id)
            except Exception as error:  # damaged bytes fail wherever they are decoded
                raise ValueError(f'shard {_path(shard)} is damaged: {type(error).__name__}: {error}') from error
            else:
                self._shard_access_times[shard_id] = time_ns()
                return sample
        raise MissingShardError(f'shard {_path(shard)} is missing and cannot be downloaded')

    def _ready_thread(self, it: _Iterator) -> None:
        """Let samples be read once their shards were asked for; `get_item` waits for those that are still coming.

        Streaming's own waits for the shards. It misses one that `cache_limit` evicts while it waits, and waits forever.
        """
        while not (it.should_exit() or it.ready_index == it.total or self._event.is_set()):
            it.ready_index = it.prepare_index
            sleep(TICK)
        it.on_exit()


def _name(shard: Reader) -> str:
    return shard.file_pairs[0][0].basename


def _path(shard: Reader) -> str:
    return '/'.join(part for part in (shard.dirname, shard.split, _name(shard)) if part)
