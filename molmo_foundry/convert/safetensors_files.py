# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Writing safetensors shards with an index, holding one shard in memory at a time."""

import json
from itertools import islice
from pathlib import Path
from typing import Iterable, Sequence

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

SHARD_BYTES = 5_000_000_000
"""Most bytes of a shard, as the released checkpoints have them; a single larger tensor is a shard by itself."""


def plan_shards(sizes: Sequence[tuple[str, int]], limit: int = SHARD_BYTES) -> list[list[str]]:
    """Deals keys to shards in their order.

    Args:
        sizes (Sequence[tuple[str, int]]): Keys with their bytes.
        limit (int): Most bytes of a shard.
    """
    shards: list[list[str]] = [[]]
    used = 0
    for key, size in sizes:
        if shards[-1] and used + size > limit:
            shards.append([])
            used = 0
        shards[-1].append(key)
        used += size
    return shards


def write_shards(
    tensors: Iterable[tuple[str, Tensor]], sizes: Sequence[tuple[str, int]], directory: Path, limit: int = SHARD_BYTES
) -> None:
    """Writes ``model.safetensors``, or shards with ``model.safetensors.index.json``.

    Args:
        tensors (Iterable[tuple[str, Tensor]]): Keys and tensors, read when their turn comes.
        sizes (Sequence[tuple[str, int]]): The same keys in the same order with their bytes.
        directory (Path): Where to write.
        limit (int): Most bytes of a shard.

    Raises:
        OSError: If a file cannot be written, as on a full disk; names it.
    """
    shards, stream = plan_shards(sizes, limit), iter(tensors)
    weight_map: dict[str, str] = {}
    for number, keys in enumerate(shards, start=1):
        name = 'model.safetensors' if len(shards) == 1 else f'model-{number:05}-of-{len(shards):05}.safetensors'
        _save({key: tensor.contiguous() for key, tensor in islice(stream, len(keys))}, directory / name)
        weight_map.update(dict.fromkeys(keys, name))
    assert next(stream, None) is None, 'sizes are those of all tensors'
    if len(shards) > 1:
        total = sum(size for _, size in sizes)
        index = {'metadata': {'total_size': total}, 'weight_map': dict(sorted(weight_map.items()))}
        (directory / 'model.safetensors.index.json').write_text(json.dumps(index, indent=2) + '\n')


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path, metadata={'format': 'pt'})
    except SafetensorError as error:
        raise OSError(f'{path} cannot be written: {error}') from error
