# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Models from checkpoints of any kind: a transformers directory, a native one, a Composer file or sharded directory.

Nothing but tensors, numbers and texts is read from a file: no checkpoint can run code (`convert.safe_pickle`).
"""

from pathlib import Path
from typing import Any, Mapping, Optional

from molmo_foundry.convert import load_native
from molmo_foundry.convert.composer_files import MonolithicState
from molmo_foundry.convert.locate import FULL, NATIVE, TRANSFORMERS, kind_of, latest_of
from molmo_foundry.convert.state import assign_state
from molmo_foundry.model.composer_model import ComposerMolmo
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.processing.tokenizer import MolmoTokenizer

_OF_TRAINING = ('name', 'pretrained', 'llm_weights', 'vit_weights', 'init_device')
"""Keys of a training recipe's model block that say where weights come from, which here the checkpoint does."""


def load_model(path: Path, model: Mapping[str, Any], tokenizer: Optional[Mapping[str, Any]]) -> ComposerMolmo:
    """The model of a checkpoint, on the CPU; of a sharded one without its weights, see `eval.shards`.

    Args:
        path (Path): The checkpoint, or the folder that a run saves to, for its last one.
        model (Mapping): Arguments of `ComposerMolmo`, as in the training recipe; a directory that has its own
            configuration needs no `llm`, `vit` and `overrides`.
        tokenizer (Mapping, optional): Arguments of `MolmoTokenizer`. Default: the files in the directory.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If it does not fit the model, or could run code; names the tensors.
    """
    path = latest_of(path)
    kind = kind_of(path)
    model = {key: value for key, value in model.items() if key not in _OF_TRAINING}
    described = {TRANSFORMERS: MolmoForCausalLM.from_pretrained, NATIVE: load_native}
    if kind in described:
        inner = described[kind](path)
        source = tokenizer or {'name_or_path': str(path)}
        built = MolmoTokenizer(
            **{**source, 'vocab_size': inner.config.vocab_size, 'image_token_start': inner.config.image_token_start}
        )
        kept = {key: value for key, value in model.items() if key not in ('llm', 'vit', 'overrides')}
        return ComposerMolmo(inner, tokenizer=built, **kept)
    if tokenizer is None or 'llm' not in model:
        raise ValueError(f'{path} is a Composer checkpoint: the recipe needs the blocks model and tokenizer it had.')
    composer_model = ComposerMolmo(tokenizer=MolmoTokenizer(**tokenizer), **model)
    if kind == FULL:
        tensors = MonolithicState(path).tensors
        assign_state(composer_model, {key: read() for key, read in tensors.items()}, source=str(path))
    return composer_model
