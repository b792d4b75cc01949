# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Reading Composer's sharded checkpoints without running what is in them.

A sharded folder has an index, `.metadata`, which torch unpickles without a check. Here `convert.safe_pickle` does it.
"""

from pathlib import Path

import torch.distributed.checkpoint as dcp
from composer.utils import dist
from torch import nn
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta

from molmo_foundry.convert.safe_pickle import load_metadata


class _ShardReader(dcp.FileSystemReader):
    """Torch's reader of shards, with an index that is read with care."""

    def read_metadata(self) -> Metadata:
        """The index.

        Raises:
            ValueError: If it names anything that an index does not need.
        """
        metadata = load_metadata(Path(self.path) / '.metadata')
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


def load_shards(path: Path, model: nn.Module) -> None:
    """Reads a sharded Composer checkpoint into a model, itself sharded in any way or whole; every rank calls it.

    Args:
        path (Path): The folder of the checkpoint.
        model (nn.Module): The Composer model; its parameters are overwritten.

    Raises:
        ValueError: If the index is not one, or lacks a tensor of the model.
    """
    reader = _ShardReader(path)
    prefix, stored = 'state.model.', reader.read_metadata().state_dict_metadata
    weights = model.state_dict()
    missing = sorted(name for name in weights if prefix + name not in stored)
    if missing:
        raise ValueError(f'{path} has no {", ".join(missing[:5])}: it is of another model than the recipe describes.')
    dcp.load({'state': {'model': weights}}, storage_reader=reader, no_dist=dist.get_world_size() == 1)
