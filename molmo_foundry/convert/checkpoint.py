# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A Molmo in whatever form it was saved: its configuration, its tokenizer's files, and its tensors one at a time."""

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Optional, Union

import torch
from torch import Tensor, nn

from molmo_foundry.convert.composer_files import MonolithicState, ShardedState, TrainingState
from molmo_foundry.convert.hub import HubWeights, read_json
from molmo_foundry.convert.locate import FULL, NATIVE, SHARDED, kind_of, latest_of, local_copy
from molmo_foundry.convert.lora import has_lora, merge_lora
from molmo_foundry.convert.native import read_native_config, read_native_weights
from molmo_foundry.convert.progress import tracked
from molmo_foundry.convert.release import molmoe_rules
from molmo_foundry.convert.state import check_keys, check_shape
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.modeling import MolmoForCausalLM

TOKENIZER_FILES = ('tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'vocab.json', 'merges.txt')

_WRAPPERS = re.compile(r'(_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)\.')


@dataclass
class Checkpoint:
    """A saved Molmo.

    Attributes:
        source: Where it lies, for messages.
        config: Its architecture.
        tensors: A function for each tensor that reads it, under our keys.
        tokenizer: Contents of the tokenizer's files by name; empty if none are saved beside the model.
        peft: PEFT's configuration, if there are adapters.
        files: The file of each tensor, where there are several.
    """

    source: str
    config: MolmoConfig
    tensors: dict[str, Callable[[], Tensor]]
    tokenizer: dict[str, Any] = field(default_factory=dict)
    peft: Optional[Mapping[str, Any]] = None
    files: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def expected(self) -> dict[str, Tensor]:
        """The model's state dict on the meta device."""
        with torch.device('meta'):
            return MolmoForCausalLM(self.config).state_dict()

    @cached_property
    def dtype(self) -> torch.dtype:
        """The type of the first tensor, which is that of all where they were not saved by parts."""
        return self.tensors[next(iter(self.expected))]().dtype

    def check(self) -> None:
        """Raises ValueError if tensors are missing or unknown; names them."""
        check_keys(self.expected, self.tensors, source=self.source)

    def read(self, key: str) -> Tensor:
        """The tensor called ``key``.

        Raises:
            ValueError: If it has another shape than the configuration makes it, or its file is damaged.
        """
        tensor = self.tensors[key]()
        check_shape(key, self.expected[key], tensor, source=str(self.files.get(key, self.source)))
        return tensor

    def load_into(self, model: nn.Module) -> None:
        """Copies every tensor into a model; one on the meta device moves to the CPU. The model's own type is kept.

        Args:
            model (nn.Module): A `MolmoForCausalLM` of this architecture.

        Raises:
            ValueError: If a tensor has another shape, or its file is damaged; names them.
        """
        if any(parameter.is_meta for parameter in model.parameters()):
            model.to_empty(device='cpu')
        state = model.state_dict()
        for key in tracked(self.expected, f'load {self.source}'):
            state[key].copy_(self.read(key))


def plain_key(key: str) -> str:
    """The key of a tensor without what wrappers of modules put into it."""
    return _WRAPPERS.sub('', key).removeprefix('base_model.model.')


@contextmanager
def open_checkpoint(
    source: Union[str, Path], *, config: Optional[MolmoConfig] = None, merge_adapters: bool = False
) -> Iterator[Checkpoint]:
    """Opens a saved Molmo, whatever its form.

    Args:
        source (str | Path): A checkpoint of Composer (a file, a sharded directory, or a run's folder of them, whose
            last one is taken), a directory in the layout of a release or of `save_pretrained`, or a native directory;
            as a path, as the URI of an object store (``s3://…``), or as a hub id. See `convert.locate`.
        config (MolmoConfig, optional): The architecture that it must have. Default: what is saved beside the weights.
        merge_adapters (bool): Whether LoRA adapters are merged; without it, they are an error.

    Yields:
        Checkpoint: Of which nothing but the configuration is in memory.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If it is no Molmo, of another architecture, is damaged or could run code.
    """
    with local_copy(source) as local:
        checkpoint = _open_local(latest_of(local), config)
        if has_lora(checkpoint.tensors):
            if not merge_adapters:
                raise ValueError(f'{source} holds LoRA adapters; export it with --merge-lora.')
            checkpoint.tensors = merge_lora(checkpoint.tensors, checkpoint.peft, source=str(source))
        checkpoint.check()
        yield checkpoint


def _open_local(path: Path, config: Optional[MolmoConfig]) -> Checkpoint:
    kind = kind_of(path)
    if kind == FULL:
        return _of_composer(MonolithicState(path), config)
    if kind == SHARDED:
        return _of_composer(ShardedState(path), config)
    return _of_native(path, config) if kind == NATIVE else _of_release(path, config)


def _of_composer(state: TrainingState, config: Optional[MolmoConfig]) -> Checkpoint:
    tensors = {plain_key(key.removeprefix('model.')): read for key, read in state.tensors.items()}
    if config is not None:
        return Checkpoint(str(state.path), config, tensors)
    content = state.about['model']['config']['content']
    if content.get('model_type') != MolmoConfig.model_type:
        raise ValueError(f'{state.path} holds a model of type {content.get("model_type")!r}, no Molmo.')
    tokenizer = {name: file['content'] for name, file in state.about.get('tokenizer', {}).items()}
    peft = state.about['model'].get('peft_config', {}).get('content')
    return Checkpoint(str(state.path), MolmoConfig.from_dict(content), tensors, tokenizer, peft)


def _of_native(directory: Path, config: Optional[MolmoConfig]) -> Checkpoint:
    native = read_native_weights(directory / 'model.pt')
    tensors = {f'model.{key}': partial(native.__getitem__, key) for key in native}
    config = config or read_native_config(directory)
    return Checkpoint(str(directory / 'model.pt'), config, tensors, _tokenizer_files(directory))


def _of_release(directory: Path, config: Optional[MolmoConfig]) -> Checkpoint:
    content = read_json(directory / 'config.json')
    if content.get('model_type') != MolmoConfig.model_type:
        raise ValueError(f'{directory / "config.json"}: model_type={content.get("model_type")!r} is no Molmo.')
    known: MolmoConfig = config or MolmoConfig.from_dict(content)
    weights = HubWeights(directory)
    rules = molmoe_rules(known) if 'lm_head.weight' in weights.keys else []
    ruled = {source for rule in rules for source in rule.sources}
    tensors: dict[str, Callable[[], Tensor]] = {key: partial(weights.get, key) for key in weights.keys - ruled}
    tensors.update({rule.target: partial(rule.join, weights.get) for rule in rules})
    files = {rule.target: weights.files.get(rule.sources[0], weights.path) for rule in rules}
    return Checkpoint(str(weights.path), known, tensors, _tokenizer_files(directory), files={**weights.files, **files})


def _tokenizer_files(directory: Path) -> dict[str, Any]:
    found = [directory / name for name in TOKENIZER_FILES if (directory / name).is_file()]
    return {path.name: path.read_text(encoding='utf-8') for path in found}
