# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Writing a Molmo for others: the layout of the releases, MolmoE-1B's own, or allenai/molmo's native one."""

import json
import tempfile
from pathlib import Path
from typing import Any, Iterator, Optional, Union

import torch
import yaml
from torch import Tensor
from transformers import GenerationConfig

from molmo_foundry.convert.card import model_card
from molmo_foundry.convert.checkpoint import Checkpoint, open_checkpoint
from molmo_foundry.convert.lost_fields import NAME, lost_fields
from molmo_foundry.convert.native_config import native_config
from molmo_foundry.convert.native_export import to_native
from molmo_foundry.convert.progress import tracked
from molmo_foundry.convert.release import molmoe_config, molmoe_rules, released_code, released_config
from molmo_foundry.convert.safetensors_files import SHARD_BYTES, write_shards
from molmo_foundry.convert.staging import staged_output
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.processing.hf_processor import MolmoProcessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer

LAYOUTS = ('released', 'molmoe', 'native')
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


def export(
    source: Union[str, Path],
    out: Union[str, Path],
    *,
    dtype: Optional[str] = None,
    layout: str = 'released',
    merge_adapters: bool = False,
    tokenizer: Optional[str] = None,
    shard_bytes: int = SHARD_BYTES,
) -> Checkpoint:
    """Exports a checkpoint. If anything fails, nothing is left behind.

    Args:
        source (str | Path): What `open_checkpoint` takes.
        out (str | Path): Directory to make, here or in an object store (``s3://…``).
        dtype (str, optional): ``fp32``, ``bf16`` or ``fp16``. Default: each tensor's own.
        layout (str): ``released`` (Molmo-7B-D's), ``molmoe`` (MolmoE-1B's) or ``native`` (allenai/molmo's).
        merge_adapters (bool): Whether LoRA adapters are merged.
        tokenizer (str, optional): Directory or hub id. Default: the one saved with the checkpoint, if there is one.
        shard_bytes (int): Most bytes of a file of weights.

    Returns:
        Checkpoint: What was exported; not to be read any more.

    Raises:
        FileExistsError: If ``out`` is there already.
        ValueError: If an argument is wrong, or the layout cannot hold the model, or the source is damaged.
    """
    if layout not in LAYOUTS:
        raise ValueError(f'layout={layout!r} does not exist; choose one of: {", ".join(LAYOUTS)}.')
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f'dtype={dtype!r} does not exist; choose one of: {", ".join(DTYPES)}.')
    with open_checkpoint(source, merge_adapters=merge_adapters) as checkpoint, staged_output(out) as staging:
        found = _load_tokenizer(checkpoint.config, checkpoint.tokenizer, tokenizer)
        write_export(
            checkpoint, staging, dtype=DTYPES.get(dtype or ''), layout=layout, tokenizer=found, shard_bytes=shard_bytes
        )
    return checkpoint


def write_export(
    checkpoint: Checkpoint,
    directory: Path,
    *,
    dtype: Optional[torch.dtype] = None,
    layout: str = 'released',
    tokenizer: Optional[MolmoTokenizer] = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes all files of an export into a directory.

    Args:
        checkpoint (Checkpoint): The model.
        directory (Path): Where to write.
        dtype (torch.dtype, optional): Of the weights. Default: each tensor's own.
        layout (str): One of `LAYOUTS`.
        tokenizer (MolmoTokenizer, optional): Saved beside the model, in the processor.
        shard_bytes (int): Most bytes of a file of weights.
    """
    if layout == 'native':
        _write_native(checkpoint, directory, dtype)
        return
    config = molmoe_config(checkpoint.config) if layout == 'molmoe' else released_config(checkpoint.config)
    config['torch_dtype'] = str(dtype or checkpoint.dtype).removeprefix('torch.')
    _write_json(directory / 'config.json', config)
    rules = {rule.target: rule for rule in molmoe_rules(checkpoint.config)} if layout == 'molmoe' else {}

    def renamed(key: str, tensor: Tensor) -> dict[str, Tensor]:
        return rules[key].split(tensor) if key in rules else {key: tensor}

    def tensors() -> Iterator[tuple[str, Tensor]]:
        for key in tracked(checkpoint.expected, 'export'):
            yield from renamed(key, checkpoint.read(key).to(dtype)).items()

    sizes = [
        (name, part.numel() * (dtype or checkpoint.dtype).itemsize)
        for key, tensor in checkpoint.expected.items()
        for name, part in renamed(key, tensor).items()
    ]
    write_shards(tensors(), sizes, directory, shard_bytes)
    tokens = {f'{name}_token_id': getattr(tokenizer, f'{name}_token_id', None) for name in ('bos', 'eos', 'pad')}
    GenerationConfig(**tokens).save_pretrained(directory)
    (directory / 'README.md').write_text(model_card(checkpoint.config, layout), encoding='utf-8')
    if tokenizer is not None:
        MolmoProcessor.from_config(checkpoint.config, tokenizer).save_pretrained(str(directory))
        for name, code in released_code(checkpoint.config, layout).items():
            path = directory / name
            if path.name != 'config.json' and path.is_file():
                _write_json(path, {**json.loads(path.read_text()), 'auto_map': code})


def _write_native(checkpoint: Checkpoint, directory: Path, dtype: Optional[torch.dtype]) -> None:
    native = to_native(checkpoint.config)
    keys = tracked(checkpoint.expected, 'export')
    state = {key.removeprefix('model.'): checkpoint.read(key).to(dtype) for key in keys}
    torch.save(state, directory / 'model.pt')
    lost = lost_fields(checkpoint.config, native_config(native))
    contents = {'model': native, 'config': {'model': native}, **({NAME: lost} if lost else {})}
    for name, content in contents.items():
        (directory / f'{name}.yaml').write_text(yaml.safe_dump(content, sort_keys=True))


def _load_tokenizer(config: MolmoConfig, files: dict[str, Any], name: Optional[str]) -> Optional[MolmoTokenizer]:
    """The tokenizer called ``name``, or the one whose files are given; None if there is neither."""
    options = {'vocab_size': config.vocab_size, 'image_token_start': config.image_token_start}
    if name is not None:
        return MolmoTokenizer(name, **options)
    if not files:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (Path(folder) / Path(file).name).write_text(text, encoding='utf-8')
        return MolmoTokenizer(folder, **options)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + '\n', encoding='utf-8')
