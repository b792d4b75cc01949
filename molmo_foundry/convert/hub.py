# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Tensors of a Hugging Face directory, one at a time, and the directory behind a hub id. No code in files is run."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Union

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from molmo_foundry.convert.safe_pickle import load_torch

WEIGHT_FILES = (
    'model.safetensors',
    'model.safetensors.index.json',
    'pytorch_model.bin',
    'pytorch_model.bin.index.json',
)
"""What may hold the weights, in the order of preference."""


HUB_OPTIONS = ('cache_dir', 'force_download', 'local_files_only', 'proxies', 'revision', 'token')
"""Keywords of `from_pretrained` that say how to download."""


def find_directory(source: Union[str, Path], **options: Any) -> Path:
    """The directory that ``source`` means.

    Args:
        source (str | Path): A directory, or a hub id, which is downloaded; ``id@revision`` for a branch, tag or commit.
        **options: `HUB_OPTIONS`.

    Raises:
        FileNotFoundError: If it is neither, or the hub is out of reach.
    """
    if Path(source).is_dir():
        return Path(source)
    repository, _, revision = str(source).partition('@')
    if revision:
        options['revision'] = revision

    def fetch(weights: str) -> Path:
        return Path(
            snapshot_download(
                repository, allow_patterns=['*.json', '*.txt', '*.model', weights], ignore_patterns='*/*', **options
            )
        )

    try:
        directory = fetch('*.safetensors')
        return directory if any(directory.glob('*.safetensors')) else fetch('pytorch_model*.bin')
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise FileNotFoundError(
            f'{source} is no directory, and could not be downloaded from the Hugging Face hub: {error}'
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a JSON object; names the file.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not JSON: {error}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} is not a JSON object.')
    return content


class HubWeights:
    """The tensors of a directory by key, mapped from the files and read when asked for.

    Args:
        directory (Path): Has one of `WEIGHT_FILES`.

    Raises:
        FileNotFoundError: If it has none of them, or a shard is missing.
        ValueError: If a file is damaged, or holds more than tensors.
    """

    def __init__(self, directory: Path):
        found = [directory / name for name in WEIGHT_FILES if (directory / name).is_file()]
        if not found:
            raise FileNotFoundError(f'{directory} has no weights: none of {", ".join(WEIGHT_FILES)} is there.')
        self.path = found[0]
        self._open_files: dict[Path, Any] = {}
        if self.path.suffix == '.json':
            index = read_json(self.path)
            if not isinstance(index.get('weight_map'), dict):
                raise ValueError(f'{self.path} has no weight_map, which says which file holds which tensor.')
            if outside := [name for name in set(index['weight_map'].values()) if Path(name).name != name]:
                raise ValueError(f'{self.path} names {outside[0]}, which is not a file beside it.')
            self.files = {key: directory / name for key, name in index['weight_map'].items()}
        else:
            self.files = dict.fromkeys(self._open(self.path).keys(), self.path)

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of all tensors."""
        return frozenset(self.files)

    def get(self, key: str) -> Tensor:
        """The tensor called ``key``.

        Raises:
            ValueError: If it is not there, or its file is damaged; names both.
        """
        if key not in self.files:
            raise ValueError(f'{self.path}: there is no tensor {key}.')
        path = self.files[key]
        file = self._open(path)
        if key not in file.keys():  # a safetensors file is no mapping
            raise ValueError(f'{path}: there is no tensor {key}, although {self.path.name} says so.')
        try:
            return file[key] if isinstance(file, dict) else file.get_tensor(key)
        except SafetensorError as error:
            raise ValueError(f'{path}: {key} cannot be read: {error}') from error

    def _open(self, path: Path) -> Any:
        if path not in self._open_files:
            if not path.is_file():
                raise FileNotFoundError(f'{path} is missing, although {self.path.name} names it.')
            self._open_files[path] = open_weights(path)
        return self._open_files[path]


def open_weights(path: Path) -> Any:
    """A safetensors file, or the dict of a file of torch; both mapped, not read.

    Raises:
        ValueError: If the file is damaged, or holds more than tensors.
    """
    if path.suffix != '.safetensors':
        return load_torch(path, name=str(path))
    try:
        return safe_open(path, framework='pt')
    except SafetensorError as error:
        raise ValueError(f'{path} is damaged, or no safetensors file: {error}') from error
