# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The formula of docs/training.md's memory table against what autograd keeps of a small model.

To 20 %: the formula leaves out what is small beside hidden states, such as the norms' scales and attention's sums,
and charges the head for a whole chunk of logits.
"""

from typing import Any

import pytest
import torch
from benchmark_module import BENCHMARKS, load_benchmark
from torch.autograd.graph import saved_tensors_hooks

from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.presets import build_config
from molmo_foundry.train.activation_checkpointing import ActivationCheckpointing, checkpoint_blocks
from molmo_foundry.train.freezing import apply_freezing

ROWS, LENGTH, CROPS = 2, 192, 6
OVERRIDES: dict[str, Any] = {
    'hidden_size': 256,
    'intermediate_size': 1024,
    'num_hidden_layers': 6,
    'num_attention_heads': 8,
    'num_key_value_heads': 2,
    'vision': {'hidden_size': 128, 'intermediate_size': 512, 'num_hidden_layers': 6, 'num_attention_heads': 4},
}


@pytest.fixture(scope='module')
def table() -> Any:
    return load_benchmark('memory_table')


def kept_bytes(model: MolmoForCausalLM, **batch: Any) -> int:
    """Bytes of the tensors that the backward pass needs, parameters left out; a shared storage counts once."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in parameters:
            kept[address] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast('cpu', torch.bfloat16):
        model(**batch)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def batch_of(model: MolmoForCausalLM) -> dict[str, Any]:
    """Two rows of text and crops, with segments as in packed rows, and a loss on every position."""
    config = model.config
    patches = config.vision.patch_grid[0] * config.vision.patch_grid[1]
    pooled = config.pooled_grid[0] * config.pooled_grid[1]
    slots = torch.arange(CROPS * pooled).view(CROPS, pooled) % LENGTH
    ids = torch.randint(config.vocab_size, (ROWS, LENGTH))
    return {
        'input_ids': ids,
        'labels': ids,
        'segment_ids': 1 + (torch.arange(LENGTH) // 100).expand(ROWS, -1),
        'images': torch.rand(CROPS, patches, config.vision.patch_pixels).bfloat16(),
        'image_masks': torch.ones(CROPS, patches).bfloat16(),
        'image_input_idx': slots,
        'crop_counts': [CROPS // ROWS] * ROWS,
    }


@pytest.mark.parametrize('recompute', [False, True])
def test_activations(recompute: bool, table: Any) -> None:
    torch.manual_seed(0)
    model = MolmoForCausalLM(build_config('tiny', 'tiny', **OVERRIDES)).train().to(torch.bfloat16)
    apply_freezing(model)
    if recompute:
        checkpoint_blocks(model, ActivationCheckpointing())
    actual = kept_bytes(model, **batch_of(model))
    expected = table.activation_bytes(model.config, ROWS, ROWS * LENGTH, CROPS, recompute=recompute)
    expected -= table.logit_bytes(model.config)
    if recompute:  # what one block makes in the backward pass comes on top of what autograd keeps until then
        expected -= table.block_bytes(model.config, ROWS, ROWS * LENGTH, CROPS)
    assert actual == pytest.approx(expected, rel=0.2)


@pytest.mark.proof
def test_documents_show_what_is_computed(
    table: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('sys.argv', ['memory_table.py'])
    table.main()
    assert capsys.readouterr().out in (BENCHMARKS.parent / 'docs' / 'training.md').read_text()
