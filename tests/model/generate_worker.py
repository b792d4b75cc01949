# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Generation on ranks that hold a model together under FSDP2, each with a prompt of its own.

Run by `test_generate_ranks.py` as ``generate_worker.py FOLDER RANK``; each rank writes its tokens.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tiny_molmo import random_batch, tiny_model
from torch.distributed.fsdp import fully_shard

from molmo_foundry.model.modeling import MolmoForCausalLM

WORLD_SIZE = 2
NEW_TOKENS = 12


def build() -> tuple[MolmoForCausalLM, dict[str, Any]]:
    """The model, and a batch of as many prompts of unequal length, each with an image."""
    model = tiny_model(seed=2, initializer_range=0.3).eval()  # its responses have a dozen different tokens
    batch = random_batch(model.config, [2, 1])
    return model, {key: batch[key] for key in ('input_ids', 'images', 'image_masks', 'image_input_idx', 'crop_counts')}


def prompt(batch: dict[str, Any], row: int) -> dict[str, Any]:
    """One prompt of the batch, without padding."""
    counts = batch['crop_counts']
    crops = slice(sum(counts[:row]), sum(counts[: row + 1]))
    ids = batch['input_ids'][row]
    images = {key: batch[key][crops] for key in ('images', 'image_masks', 'image_input_idx')}
    return {'input_ids': ids[ids >= 0][None], 'crop_counts': [counts[row]], **images}


def generate(model: MolmoForCausalLM, inputs: dict[str, Any], **options: Any) -> list[int]:
    """New tokens."""
    out = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0, **options)
    return out[0, inputs['input_ids'].shape[1] :].tolist()


def main(folder: Path, rank: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=WORLD_SIZE)
    model, batch = build()
    for module in model.modules():
        if model.fsdp_wrap_fn(module):
            fully_shard(module)
    fully_shard(model)
    settings = json.loads((folder / 'settings.json').read_text())
    tokens = [generate(model, prompt(batch, rank), **options) for options in settings]
    (folder / f'rank{rank}.json').write_text(json.dumps(tokens))
    dist.destroy_process_group()


if __name__ == '__main__':
    main(Path(sys.argv[1]), int(sys.argv[2]))
