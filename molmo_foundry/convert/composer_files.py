# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Composer's checkpoints, one tensor at a time: files of `torch.save`, and sharded directories."""

import io
from functools import partial
from pathlib import Path
from typing import Any, Callable, Protocol

import torch
from torch import Tensor
from torch.distributed.checkpoint._nested_dict import unflatten_state_dict
from torch.distributed.checkpoint.metadata import MetadataIndex, TensorStorageMetadata

from molmo_foundry.convert.safe_pickle import load_metadata, load_torch

MODEL = ('state', 'model')
INTEGRATIONS = ('state', 'integrations', 'huggingface')


class TrainingState(Protocol):
    """What is read of a Composer checkpoint.

    Attributes:
        path: Where it lies.
        tensors: A function for each tensor of the model that reads it, by Composer's key.
    """

    path: Path
    tensors: dict[str, Callable[[], Tensor]]

    @property
    def about(self) -> dict[str, Any]:
        """What the model and its tokenizer say of themselves: ``model`` and ``tokenizer``.

        Raises:
            ValueError: If they say nothing.
        """
        ...


class MonolithicState:
    """A checkpoint in one file, whose tensors are mapped.

    Args:
        path (Path): The file.

    Raises:
        ValueError: If it is damaged, could run code, or is no checkpoint of Composer.
    """

    def __init__(self, path: Path):
        self.path = path
        content = load_torch(path, name=str(path))
        try:
            self.state = content['state']
            model = self.state['model']
        except (KeyError, TypeError) as error:
            raise _not_composers(path, error) from error
        self.tensors: dict[str, Callable[[], Tensor]] = {
            key: partial(model.get, key) for key, value in model.items() if isinstance(value, Tensor)
        }

    @property
    def about(self) -> dict[str, Any]:
        """See `TrainingState`."""
        try:
            return self.state['integrations']['huggingface']
        except (KeyError, TypeError) as error:
            raise _not_composers(self.path, error) from error


class ShardedState:
    """A checkpoint in a directory with ``.metadata`` and the shards of every rank.

    Args:
        directory (Path): The directory.

    Raises:
        ValueError: If it is damaged, could run code, or is no checkpoint of Composer.
    """

    def __init__(self, directory: Path):
        self.path = directory
        self.metadata = load_metadata(directory / '.metadata')
        prefix = '.'.join(MODEL) + '.'
        entries = self.metadata.state_dict_metadata
        self.tensors: dict[str, Callable[[], Tensor]] = {
            key.removeprefix(prefix): partial(self._tensor, key, entry)
            for key, entry in entries.items()
            if key.startswith(prefix) and isinstance(entry, TensorStorageMetadata)
        }
        if not self.tensors:
            raise ValueError(f'{directory} is no Composer checkpoint of a Molmo: its .metadata names no model.')

    @property
    def about(self) -> dict[str, Any]:
        """See `TrainingState`."""
        prefix = '.'.join(INTEGRATIONS) + '.'
        keys = [key for key in self.metadata.state_dict_metadata if key.startswith(prefix)]
        plain = {key: self._load(MetadataIndex(key)) for key in keys}
        nested = unflatten_state_dict(plain, {key: self.metadata.planner_data[key] for key in plain})
        try:
            return nested['state']['integrations']['huggingface']
        except KeyError as error:
            raise _not_composers(self.path, error) from error

    def _tensor(self, key: str, entry: TensorStorageMetadata) -> Tensor:
        """Puts a tensor together from the chunks of all ranks."""
        whole = torch.empty(entry.size, dtype=entry.properties.dtype)
        filled = 0
        for chunk in entry.chunks:
            part = self._load(MetadataIndex(key, chunk.offsets))
            if part.shape != chunk.sizes:
                raise ValueError(f'{self.path}: a shard of {key} has shape {tuple(part.shape)}, not {chunk.sizes}.')
            whole[tuple(slice(start, start + size) for start, size in zip(chunk.offsets, chunk.sizes))] = part
            filled += part.numel()
        if filled != whole.numel():
            raise ValueError(f'{self.path}: {key} is incomplete: shards hold {filled} of {whole.numel()} values.')
        return whole

    def _load(self, index: MetadataIndex) -> Any:
        place = self.metadata.storage_data[index]
        path = self.path / place.relative_path
        if path.parent != self.path or not path.is_file():
            raise FileNotFoundError(f'{path}, which holds {index.fqn}, is missing from the checkpoint.')
        with path.open('rb') as file:
            file.seek(place.offset)
            content = file.read(place.length)
        if len(content) != place.length:
            raise ValueError(f'{path} is truncated: {index.fqn} ends behind it.')
        return load_torch(io.BytesIO(content), name=f'{path}: {index.fqn}')


def _not_composers(path: Path, error: Exception) -> ValueError:
    return ValueError(f'{path} is no Composer checkpoint of a Molmo: it has no {error}.')
