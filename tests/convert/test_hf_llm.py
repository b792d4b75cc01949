# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Language models of transformers compute the same in Molmo. Tolerance 1e-4: float32 sums in another order."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_models import LLMS, VOCAB, make_llm, molmo_around, saved
from intruder import Intruder
from safetensors.torch import load_file, save_file

from molmo_foundry.convert import load_llm
from molmo_foundry.convert.hub import HubWeights


def assert_same_logits(molmo: Any, hub: Any) -> None:
    ids = torch.randint(VOCAB, (2, 9), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        actual, expected = molmo(ids), hub(ids, output_hidden_states=True)
    torch.testing.assert_close(actual.hidden_states, expected.hidden_states[-1], atol=1e-4, rtol=0)
    torch.testing.assert_close(actual.logits[..., :VOCAB], expected.logits, atol=1e-4, rtol=0)
    assert expected.logits.std() > 0.1


@pytest.mark.parametrize('name', LLMS)
def test_same_logits(tmp_path: Path, name: str) -> None:
    hub = make_llm(name)
    molmo = molmo_around(hub.config)
    new_rows = molmo.model.transformer.wte.new_embedding.clone()
    filled = load_llm(molmo, saved(hub, tmp_path))
    assert_same_logits(molmo, hub)
    assert filled.dropped == () and filled.tensors == len(list(molmo.model.transformer.parameters())) - 1
    assert torch.equal(molmo.model.transformer.wte.new_embedding, new_rows)


@pytest.mark.parametrize('form', ['shards', 'torch', 'torch shards'])
def test_same_logits_from_other_files(tmp_path: Path, form: str) -> None:
    hub = make_llm('qwen2')
    saved(hub, tmp_path, safe_serialization='torch' not in form, max_shard_size='10KB' if 'shards' in form else '1GB')
    assert len(list(tmp_path.glob('*.index.json'))) == ('shards' in form)
    molmo = molmo_around(hub.config)
    load_llm(molmo, tmp_path)
    assert_same_logits(molmo, hub)


def test_the_bare_model_of_a_tied_one_is_enough(tmp_path: Path) -> None:
    hub = make_llm('smollm2')
    molmo = molmo_around(hub.config)
    load_llm(molmo, saved(hub.model, tmp_path))
    assert_same_logits(molmo, hub)


def test_a_head_that_stays_tied(tmp_path: Path) -> None:
    hub = make_llm('smollm2')
    molmo = molmo_around(hub.config, weight_tying=True, additional_vocab_size=None)
    load_llm(molmo, saved(hub, tmp_path))
    assert_same_logits(molmo, hub)


def test_rows_that_the_source_does_not_have_are_the_mean_of_its_rows(tmp_path: Path) -> None:
    hub = make_llm('qwen2')
    molmo = molmo_around(hub.config, embedding_size=64)
    load_llm(molmo, saved(hub, tmp_path))
    assert_same_logits(molmo, hub)
    for table, source in (
        (molmo.model.transformer.wte.embedding, hub.model.embed_tokens.weight),
        (molmo.model.transformer.ff_out.weight, hub.lm_head.weight),
    ):
        torch.testing.assert_close(table[VOCAB:], source.mean(0).expand(16, -1), atol=1e-6, rtol=0)
    logits = molmo(torch.arange(VOCAB)[None]).logits
    assert (logits.argmax(-1) < VOCAB).all()


def test_the_models_own_type_is_kept(tmp_path: Path) -> None:
    hub = make_llm('llama3')
    molmo = molmo_around(hub.config).bfloat16()
    load_llm(molmo, saved(hub, tmp_path))
    norm = molmo.model.transformer.ln_f.weight
    assert norm.dtype == torch.bfloat16 and torch.equal(norm, hub.model.norm.weight.bfloat16())


@pytest.mark.parametrize(
    'name, changes, message',
    [
        ('qwen2', {'rope_theta': 1e6}, r'rope_theta=1000000.0 \(there: 5000.0\)'),
        (
            'qwen2',
            {'qkv_bias': False, 'layer_norm_eps': 1e-6},
            r'layer_norm_eps=1e-06 .*, qkv_bias=False \(there: True\)',
        ),
        ('qwen3', {'attention_layer_norm': True}, r"attention_layer_norm=True \(there: 'heads'\)"),
        ('olmo-1024-preview', {'norm_after': False}, r'norm_after=False \(there: True\)'),
        ('olmoe', {'moe_top_k': 1}, r'moe_top_k=1 \(there: 2\)'),
        ('llama3', {'vocab_size': 40}, r'embed_tokens.weight has shape \(48, 32\), which does not fit'),
    ],
)
def test_another_architecture_is_named(tmp_path: Path, name: str, changes: dict[str, Any], message: str) -> None:
    hub = make_llm(name)
    with pytest.raises(ValueError, match=message):
        load_llm(molmo_around(hub.config, **changes), saved(hub, tmp_path))


@pytest.mark.parametrize(
    'fields, message',
    [
        ({'model_type': 'gpt2'}, "config.json: model_type='gpt2' cannot be converted; known are: qwen2, qwen3, llama"),
        ({'rope_scaling': {'rope_type': 'linear', 'factor': 2.0}}, 'config.json: rope_scaling=.* is not supported'),
        ({'attention_bias': True}, 'attention_bias=True is not supported, only None'),
        ({'hidden_act': 'gelu'}, "hidden_act='gelu' is not supported, only 'silu'"),
    ],
)
def test_what_the_decoder_cannot_do_is_named(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    hub = make_llm('llama3')
    path = saved(hub, tmp_path) / 'config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(ValueError, match=message):
        load_llm(molmo_around(hub.config), tmp_path)


def test_the_preview_of_olmo_2_has_another_name(tmp_path: Path) -> None:
    hub = make_llm('olmo-1024-preview')
    path = saved(hub, tmp_path) / 'config.json'
    path.write_text(path.read_text().replace('"olmo2"', '"olmo_1124"'))
    molmo = molmo_around(hub.config)
    load_llm(molmo, tmp_path)
    assert_same_logits(molmo, hub)


NORM = 'model.layers.1.input_layernorm.weight'


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda state: state.pop(NORM), f'model.safetensors: there is no tensor {NORM}'),
        (
            lambda state: state.update(extra=torch.ones(1)),
            'model.safetensors: tensors that the model has no place for: extra',
        ),
        (lambda state: state.update({NORM: torch.ones(33)}), rf'model.safetensors: {NORM} has shape \(33,\)'),
        (
            lambda state: state.update({NORM: torch.ones(31)}),
            rf'model.safetensors: {NORM} give 31 rows of blocks.1.attn_norm',
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, change: Any, message: str) -> None:
    hub = make_llm('llama3')
    path = saved(hub, tmp_path) / 'model.safetensors'
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(ValueError, match=message):
        load_llm(molmo_around(hub.config), tmp_path)


def test_damaged_and_malicious_files_are_named(tmp_path: Path) -> None:
    hub = make_llm('llama3')
    molmo = molmo_around(hub.config)
    path = saved(hub, tmp_path) / 'model.safetensors'
    whole = path.read_bytes()
    for cut in (4, 100, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match='model.safetensors is damaged, or no safetensors file'):
            load_llm(molmo, tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(f'{tmp_path} has no weights: none of model.safetensors')):
        load_llm(molmo, tmp_path)

    pickled, target = tmp_path / 'pytorch_model.bin', tmp_path / 'intruded'
    torch.save({'weight': Intruder(target)}, pickled)
    with pytest.raises(
        ValueError, match='pytorch_model.bin holds .*, neither tensor nor plain value, which is not read'
    ):
        load_llm(molmo, tmp_path)
    assert not target.exists()
    torch.save(hub.state_dict(), pickled)
    pickled.write_bytes(pickled.read_bytes()[:2000])
    with pytest.raises(ValueError, match='pytorch_model.bin'):
        load_llm(molmo, tmp_path)


def test_an_index_that_does_not_hold_is_named(tmp_path: Path) -> None:
    saved(make_llm('llama3'), tmp_path, max_shard_size='10KB')
    path = tmp_path / 'model.safetensors.index.json'
    index = json.loads(path.read_text())
    first, *_, last = index['weight_map']
    index['weight_map'][first] = index['weight_map'][last]
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=f'there is no tensor {first}, although model.safetensors.index.json says so'):
        HubWeights(tmp_path).get(first)
    path.write_text(json.dumps({'weight_map': {first: '../model.safetensors'}}))
    with pytest.raises(ValueError, match=r'names \.\./model.safetensors, which is not a file beside it'):
        HubWeights(tmp_path)
    path.write_text(json.dumps(index))
    (tmp_path / index['weight_map'][last]).unlink()
    with pytest.raises(FileNotFoundError, match='is missing, although model.safetensors.index.json names it'):
        HubWeights(tmp_path).get(last)


def test_a_source_that_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    for source in (tmp_path / 'absent', 'nobody/nothing@main'):
        with pytest.raises(FileNotFoundError, match=f'{source} is no directory, and could not be downloaded'):
            load_llm(molmo_around(make_llm('llama3').config), source)


def test_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only weights and small files are asked for; pickled weights only where there are no others."""
    hub, asked = make_llm('llama3'), []
    saved(hub, tmp_path, safe_serialization=False)

    def download(repository: str, **options: Any) -> str:
        asked.append((repository, options['revision'], options['allow_patterns'][-1]))
        return str(tmp_path)

    monkeypatch.setattr('molmo_foundry.convert.hub.snapshot_download', download)
    molmo = molmo_around(hub.config)
    load_llm(molmo, 'owner/name@fp32')
    assert_same_logits(molmo, hub)
    assert asked == [('owner/name', 'fp32', '*.safetensors'), ('owner/name', 'fp32', 'pytorch_model*.bin')]
