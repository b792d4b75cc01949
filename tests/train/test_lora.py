# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
from functools import partial
from typing import Any

import pytest
import torch
from golden_training import FOLDER, golden_rows

from molmo_foundry.convert import load_native
from molmo_foundry.convert.lora import merge_lora
from molmo_foundry.data.collator import collate
from molmo_foundry.model.composer_model import ComposerMolmo
from molmo_foundry.train.components import component_of
from molmo_foundry.train.lora import LoraSettings


def make(**lora: Any) -> ComposerMolmo:
    return ComposerMolmo(load_native(FOLDER), freeze=['vit'], lora={'rank': 2, **lora})


def loss(model: ComposerMolmo) -> torch.Tensor:
    return model(collate(golden_rows())).loss


def test_updates_start_at_zero_and_are_all_that_their_component_trains() -> None:
    model = make()
    assert loss(model).item() == loss(ComposerMolmo(load_native(FOLDER))).item()
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    blocks = model.molmo_config.num_hidden_layers
    assert sum('lora_' in name for name in trained) == 2 * 4 * blocks
    assert all(component_of(name) == 'connector' for name in trained if 'lora_' not in name)
    assert any('image_projector' in name for name in trained)


@pytest.mark.parametrize('components', [['llm'], ['llm', 'vit'], ['connector']])
def test_merged_model_is_the_trained_one(components: list[str]) -> None:
    model = make(alpha=6, components=components).eval()
    torch.manual_seed(0)
    for name, p in model.named_parameters():
        if 'lora_B' in name:
            torch.nn.init.normal_(p, std=0.1)
    state = {name.removeprefix('model.'): tensor for name, tensor in model.state_dict().items()}
    merged = load_native(FOLDER)
    readers = merge_lora({name: partial(state.get, name) for name in state}, None, source='here')
    merged.load_state_dict({name: read() for name, read in readers.items()})
    plain = ComposerMolmo(merged).eval()
    expected = loss(model).item()
    assert loss(plain).item() == pytest.approx(expected, abs=1e-5)
    assert abs(expected - loss(ComposerMolmo(load_native(FOLDER)).eval()).item()) > 1e-3


@pytest.mark.parametrize(
    'block, message',
    [
        ({'r': 8}, 'model.lora.r '),
        ({'components': ['head']}, "'head'"),
        ({'rank': 0}, 'rank'),
        ({'components': []}, 'one'),
    ],
)
def test_wrong_settings_are_named(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoraSettings.parse(block)
