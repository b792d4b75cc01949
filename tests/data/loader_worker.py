# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Reads the built-in data set on every rank of a launch; rank 0 writes which records came.

Run by `test_dataloader_ranks.py` as ``composer -n 2 loader_worker.py SHAPES OUT``.
"""

import json
import os
import sys
from itertools import islice
from pathlib import Path
from typing import Any, Optional

os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')  # workers are forked

from composer.core import DataSpec
from composer.utils import dist

from molmo_foundry.data.dataloader import build_molmo_dataloader
from molmo_foundry.processing.tokenizer import MolmoTokenizer

GLOBAL_BATCH = 8
PACKS = 4
"""Of a global batch."""


def build(shapes: Path, split: str, rows: int, training: bool) -> DataSpec:
    """A loader of `rows` rows a rank."""
    block = {
        'streams': {'shapes': {'local': str(shapes)}},
        'split': split,
        'llm': 'tiny',
        'vit': 'tiny',
        'max_seq_len': 1024,
        'shuffle': training,
    }
    return build_molmo_dataloader(
        MolmoTokenizer('tiny', vocab_size=1024), rows, block, training, num_workers=1, persistent_workers=False
    )


def build_packed(shapes: Path, rows: int) -> DataSpec:
    """A loader of packs, `rows` of them a rank."""
    block = {
        'streams': {'shapes': {'local': str(shapes)}, 'points': {'local': str(shapes), 'styles': ['pointing']}},
        'split': 'train',
        'llm': 'tiny',
        'vit': 'tiny',
        'max_seq_len': 600,
        'packing': True,
        'shuffle': True,
    }
    return build_molmo_dataloader(
        MolmoTokenizer('tiny', vocab_size=1024), rows, block, True, num_workers=1, persistent_workers=False
    )


def global_batches(spec: DataSpec, count: Optional[int] = None) -> list[list[Any]]:
    """The id, or ids of a pack, of each batch's rows over all ranks."""
    own = [
        [metadata.get('ids', metadata.get('id')) for metadata in batch['metadata']]
        for batch in islice(spec.dataloader, count)
    ]
    return [sum(parts, []) for parts in zip(*dist.all_gather_object(own), strict=True)]


def main(shapes: Path, out: Path) -> None:
    dist.initialize_dist('cpu')
    rows = GLOBAL_BATCH // dist.get_world_size()
    train = build(shapes, 'train', rows, training=True)
    result: dict[str, Any] = {'first': global_batches(train, 2)}
    result['state'] = train.dataloader.dataset.state_dict(2 * GLOBAL_BATCH, True)
    result['validation'] = global_batches(build(shapes, 'validation', 2, training=False))
    packed = build_packed(shapes, PACKS // dist.get_world_size())
    result['packed'] = global_batches(packed, 2)
    result['packed_state'] = packed.dataloader.dataset.state_dict(2 * PACKS, True)
    if dist.get_global_rank() == 0:
        out.write_text(json.dumps(result))
    dist.barrier()


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]))
