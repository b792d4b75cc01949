# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Generation on two ranks under FSDP2 gives what one process gives, though the ranks are done at different steps."""

import json
import subprocess
import sys
from pathlib import Path

from generate_worker import NEW_TOKENS, WORLD_SIZE, build, generate, prompt


def test_two_ranks_equal_one_process(tmp_path: Path) -> None:
    """Greedily and by beams; the token that ends a response comes early on either rank, in turn, or on both."""
    model, batch = build()
    free = [generate(model, prompt(batch, row)) for row in range(WORLD_SIZE)]
    ends = [next(token for token in free[row][2:] if token not in free[1 - row]) for row in range(WORLD_SIZE)]
    settings = [{}, *({'eos_token_id': end} for end in (*ends, ends)), {'num_beams': 2, 'eos_token_id': ends}]
    (tmp_path / 'settings.json').write_text(json.dumps(settings))
    command = [sys.executable, str(Path(__file__).with_name('generate_worker.py')), str(tmp_path)]
    ranks = [subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(WORLD_SIZE)]
    errors = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert not any(rank.returncode for rank in ranks), errors
    expected = [[generate(model, prompt(batch, row), **options) for options in settings] for row in range(WORLD_SIZE)]
    assert [json.loads((tmp_path / f'rank{row}.json').read_text()) for row in range(WORLD_SIZE)] == expected
    lengths = [[len(tokens) for tokens in row] for row in expected]
    assert lengths[0][1] < lengths[1][1] == NEW_TOKENS and lengths[1][2] < lengths[0][2] == NEW_TOKENS
