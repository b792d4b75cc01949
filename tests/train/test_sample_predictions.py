# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Settings and pages of sample predictions; runs that make them are in `recipes/test_tiny_runs.py`."""

from pathlib import Path
from typing import Any

import pytest
from composer.core import Evaluator
from golden_training import FOLDER, golden_loader
from tiny_tree import make_trainer

from molmo_foundry.convert import load_native
from molmo_foundry.model.composer_model import ComposerMolmo
from molmo_foundry.train.monitor import MolmoMonitor
from molmo_foundry.train.sample_predictions import Sample, SampleSettings, page


@pytest.mark.parametrize(
    'block, message',
    [
        ({'folder': 'x', 'number': 3}, 'samples.number is unknown; keys: folder, count, max_new_tokens'),
        ({'count': 3}, 'samples.folder is missing'),
        ({'folder': 'x', 'count': 0}, 'samples.count=0 must be at least 1'),
        ({'folder': 'x', 'max_new_tokens': -1}, 'samples.max_new_tokens=-1 must be at least 1'),
    ],
)
def test_wrong_settings_are_named(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MolmoMonitor(samples=block)


def test_settings_have_defaults() -> None:
    assert SampleSettings.parse({'folder': 'x'}) == SampleSettings('x', count=8, max_new_tokens=64)


def test_text_of_a_page_is_text() -> None:
    """Whatever a model or a record says, and with or without a picture."""
    sample = Sample('id-1', 'Is 1 < 2?', '<b>yes</b>', None, None, prediction='<script>alert(1)</script>')
    shown = page('title & more', [sample])
    assert '<script>' not in shown and '&lt;script&gt;alert(1)&lt;/script&gt;' in shown
    assert '1 &lt; 2' in shown and '<b>' not in shown and '<h1>title &amp; more</h1>' in shown
    assert '<img' not in shown


def test_other_loaders_are_evaluated_without_samples(tmp_path: Path) -> None:
    monitor = MolmoMonitor(samples={'folder': str(tmp_path)})
    trainer, log = make_trainer(golden_loader(), model=ComposerMolmo(load_native(FOLDER)), callbacks=[monitor])
    trainer.eval([Evaluator(label='eval/golden', dataloader=golden_loader(), metric_names=['ce'])])
    assert 'metrics/eval/golden/ce' in log.data and not list(tmp_path.iterdir())
