# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What lengths and plans depend on, as short digests that tell whether it is still the same."""

import hashlib
import json
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from molmo_foundry.data.packing.plan import Lengths
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.prompts import prompt_families
from molmo_foundry.processing.styles import STYLES
from molmo_foundry.processing.tokenizer import MolmoTokenizer

_EDGES = [round(50 * 1.4**power) for power in range(14)]
"""Image edges in pixels. How many crops and tokens images of such edges take tells ways of cutting apart."""


def digest(*parts: Any) -> str:
    """16 hex digits of anything that JSON can write."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()


def digest_of_mds(folder: Path) -> str:
    """Digest of an MDS folder: of its index, which has the sizes of all shards, and their hashes if there are any."""
    return digest(json.loads((folder / 'index.json').read_text(encoding='utf-8')))


def digest_of_lengths(lengths: Lengths) -> str:
    """Digest of the lengths of a stream's records, which decide what fits into which pack."""
    hasher = hashlib.blake2b(digest_size=8)
    for column in (lengths.tokens, lengths.crops):
        hasher.update(np.ascontiguousarray(column, dtype=np.int32).tobytes())
    return hasher.hexdigest()


def digest_of_tokenizer(tokenizer: MolmoTokenizer) -> str:
    """Digest of how text becomes tokens."""
    return digest(tokenizer.backend_tokenizer.to_str(), tokenizer.image_token_ids, tokenizer.bos_id)


def digest_of_processor(preprocessor: Preprocessor) -> str:
    """Digest of all else that decides how long examples get: formatting, prompts, cutting, and the longest sequence."""
    images = preprocessor.image_preprocessor
    layouts = [images.layout(height, width) for height in _EDGES for width in _EDGES]
    return digest(
        repr(preprocessor.formatter),
        prompt_families(),
        repr(STYLES),
        [(layout.num_tokens, layout.num_crops) for layout in layouts],
        preprocessor.max_seq_len,
    )


def differences(before: Mapping[str, Any], now: Mapping[str, Any], where: str = '') -> list[str]:
    """What differs between two nested mappings, a line each: ``key: it was …, it is …``."""
    lines = []
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key, 'absent'), now.get(key, 'absent')
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += differences(old, new, f'{where}{key}.')
        elif old != new:
            lines.append(f'{where}{key}: it was {_short(old)}, it is {_short(new)}')
    return lines


def _short(value: Any) -> str:
    return 'present' if isinstance(value, Mapping) else str(value)
