# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Generation by transformers' `generate`: recorded results, caches, layouts and padding."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_molmo import ragged, random_batch, tiny_model
from torch import Tensor
from transformers import CompileConfig
from transformers.cache_utils import DynamicCache, StaticCache

from molmo_foundry.convert import load_native
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.processing.image import ImagePreprocessor

NEW_TOKENS = 12
GREEDY = {'max_new_tokens': NEW_TOKENS, 'do_sample': False}


@pytest.fixture(scope='module')
def recorded(golden: Path) -> tuple[MolmoForCausalLM, dict[str, Tensor], dict[str, Any]]:
    """A model, its right-padded prompts with padded images, and what the public Molmo made of them."""
    folder = golden / 'qwen2_clip'
    batch = {key: torch.from_numpy(value) for key, value in np.load(folder / 'gen_batch.npz').items()}
    batch['images'] = batch['images'].float()
    prompts = {key: batch[key] for key in ('input_ids', 'images', 'image_masks', 'image_input_idx')}
    return load_native(folder), prompts, json.loads((folder / 'gen.json').read_text())


def new_tokens(model: MolmoForCausalLM, prompts: dict[str, Any], **kwargs: Any) -> list[list[int]]:
    return model.generate(**prompts, **{**GREEDY, **kwargs})[:, -NEW_TOKENS:].tolist()


@pytest.mark.parametrize(
    'settings',
    [{}, {'use_cache': False}, {'cache_implementation': 'static'}],
    ids=['dynamic_cache', 'no_cache', 'static_cache'],
)
@pytest.mark.parametrize('layout', ['padded', 'ragged'])
def test_greedy(recorded: tuple, layout: str, settings: dict[str, Any]) -> None:
    model, prompts, expected = recorded
    prompts = ragged(prompts) if layout == 'ragged' else prompts
    assert new_tokens(model, prompts, **settings) == [beams[0] for beams in expected['beam1']['token_ids']]


@pytest.mark.parametrize('layout', ['padded', 'ragged'])
def test_beam_search(recorded: tuple, layout: str) -> None:
    """Scores are sums over twelve log-probabilities near -5, each within 5e-5 of the reference."""
    model, prompts, expected = recorded
    prompts = ragged(prompts) if layout == 'ragged' else prompts
    out = model.generate(
        **prompts, **GREEDY, num_beams=4, length_penalty=0.0, return_dict_in_generate=True, output_scores=True
    )
    best = [beams[0] for beams in expected['beam4']['token_ids']]
    assert out.sequences[:, -NEW_TOKENS:].tolist() == best
    scores = [beams[0] for beams in expected['beam4']['scores']]
    assert out.sequences_scores.tolist() == pytest.approx(scores, abs=1e-3)


def one_row(prompts: dict[str, Tensor], row: int) -> dict[str, Tensor]:
    """A single prompt without its padding."""
    single = {key: value[row : row + 1] for key, value in prompts.items()}
    real = single['input_ids'][0] >= 0
    assert real[: int(real.sum())].all()
    return {**single, 'input_ids': single['input_ids'][:, real]}


def left_padded(prompts: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same prompts at the right edge, padding told by an attention mask."""
    ids = prompts['input_ids'].clone()
    index = prompts['image_input_idx'].clone()
    for row, original in enumerate(prompts['input_ids']):
        padding = int((original < 0).sum())
        ids[row] = original.roll(padding)
        index[row][index[row] >= 0] += padding
    mask = (ids >= 0).long()
    return {**prompts, 'input_ids': ids.clamp(min=0), 'attention_mask': mask, 'image_input_idx': index}


def tiny_prompts(model: MolmoForCausalLM) -> dict[str, Any]:
    """Three rows of unequal length with two, no and one crop."""
    batch = random_batch(model.config, [2, 0, 1])
    return {key: batch[key] for key in ('input_ids', 'images', 'image_masks', 'image_input_idx', 'crop_counts')}


@pytest.mark.parametrize('beams', [1, 3])
def test_rows_of_a_batch_equal_rows_alone(beams: int) -> None:
    model = tiny_model().eval()
    prompts = tiny_prompts(model)
    batched = new_tokens(model, prompts, num_beams=beams)
    start = 0
    for row, crops in enumerate(prompts['crop_counts']):
        ids = prompts['input_ids'][row : row + 1]
        alone: dict[str, Any] = {'input_ids': ids[ids >= 0][None]}
        if crops:
            part = slice(start, start + crops)
            alone |= {key: prompts[key][part] for key in ('images', 'image_masks', 'image_input_idx')}
            alone['crop_counts'] = [crops]
        start += crops
        assert new_tokens(model, alone, num_beams=beams) == [batched[row]]
    assert len({tuple(row) for row in batched}) == 3


def test_padding_on_either_side(recorded: tuple) -> None:
    model, prompts, _ = recorded
    alone = [new_tokens(model, one_row(prompts, row))[0] for row in range(len(prompts['input_ids']))]
    assert new_tokens(model, prompts) == alone
    assert new_tokens(model, left_padded(prompts)) == alone


def test_compiled_steps_are_one_graph() -> None:
    """As CUDA compiles them, but for the backend: nothing breaks the graph, no step has shapes of its own."""
    torch._dynamo.reset()
    compiled: Any = CompileConfig(backend='eager', mode='default')
    compiled._compile_all_devices = True
    model = tiny_model().eval()
    prompts = tiny_prompts(model)
    expected = new_tokens(model, prompts)
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert new_tokens(model, prompts, cache_implementation='static', compile_config=compiled) == expected
    experts = tiny_model(moe_num_experts=2, moe_top_k=1)
    with pytest.raises(ValueError, match="does not support `cache_implementation='static'`"):
        experts.generate(torch.tensor([[1]]), cache_implementation='static', max_new_tokens=2)


def test_bfloat16() -> None:
    """Logits of a cached decode are those of one pass, within the 8 bits of a mantissa: logits here are below 4."""
    model = tiny_model().eval().bfloat16()
    prompts = tiny_prompts(model)
    out = model.generate(**prompts, **GREEDY, return_dict_in_generate=True, output_logits=True)
    logits = torch.stack(out.logits, dim=1)
    assert out.past_key_values.key_cache[0].dtype == torch.bfloat16 and logits.abs().max() < 4
    ids = prompts['input_ids'][0]  # the longest row, which has no padding
    images = {key: prompts[key][:2] for key in ('images', 'image_masks', 'image_input_idx')}
    whole = model(input_ids=out.sequences[:1, :-1], crop_counts=[2], **images).logits[0, len(ids) - 1 :]
    torch.testing.assert_close(logits[0], whole.float(), atol=4 * 2**-7, rtol=0)


def test_36_tiles_and_4096_tokens() -> None:
    """The largest prompt of the benchmarks, with CLIP's grid: 2,400 image tokens of 37 crops, then text."""
    vision = {'image_size': (336, 336), 'patch_size': 14, 'num_positions': 577, 'max_crops': 36}
    model = tiny_model(vision=vision).eval()
    picture = np.random.default_rng(0).integers(256, size=(2100, 2000, 3), dtype=np.uint8)
    image = ImagePreprocessor.from_config(model.config, pixels='fast')(picture)
    assert len(image.crops) == 37
    text = 4096 - NEW_TOKENS - len(image.tokens)
    ids = torch.cat((torch.from_numpy(image.tokens), torch.arange(text) % model.config.vocab_size))[None]
    prompt = {
        'input_ids': ids,
        'images': torch.from_numpy(image.crops),
        'image_masks': torch.from_numpy(image.masks),
        'image_input_idx': torch.from_numpy(image.input_idx),
        'crop_counts': [37],
    }
    cached = model.generate(**prompt, **GREEDY, return_dict_in_generate=True, output_logits=True)
    assert cached.sequences.shape == (1, 4096) and text > 1000
    del prompt['input_ids']
    whole = model(input_ids=cached.sequences[:, :-1], logits_to_keep=NEW_TOKENS, **prompt)
    torch.testing.assert_close(torch.stack(cached.logits, dim=1), whole.logits, atol=1e-4, rtol=0)


def test_what_transformers_offers() -> None:
    """Sampling, blocked n-grams, and the end of one row, behind which there is padding."""
    model = tiny_model().eval()
    prompts = tiny_prompts(model)
    free = new_tokens(model, prompts)
    torch.manual_seed(0)
    sampled = [new_tokens(model, prompts, do_sample=True, temperature=2.0, top_p=0.9) for _ in range(2)]
    assert sampled[0] != sampled[1]
    torch.manual_seed(0)
    assert new_tokens(model, prompts, do_sample=True, temperature=2.0, top_p=0.9) == sampled[0]
    pairs = [list(zip(row, row[1:])) for row in new_tokens(model, prompts, no_repeat_ngram_size=2)]
    assert all(len(set(row)) == len(row) for row in pairs)
    end = next(token for token in free[0] if token not in free[1] + free[2])
    stopped = new_tokens(model, prompts, eos_token_id=end, pad_token_id=0)
    length = free[0].index(end) + 1
    assert stopped == [free[0][:length] + [0] * (NEW_TOKENS - length), *free[1:]]


def test_prompts_come_back_left_padded() -> None:
    model = tiny_model().eval()
    ids = torch.tensor([[5, 6, 7], [8, -1, -1]])
    out = model.generate(ids, **{**GREEDY, 'max_new_tokens': 2})
    assert out[:, :3].tolist() == [[5, 6, 7], [0, 0, 8]]
    with pytest.raises(ValueError, match='generate needs input_ids'):
        model.generate(**GREEDY)


@pytest.mark.parametrize('static', [False, True])
@pytest.mark.parametrize('padding', [0, 3])
def test_chunks_through_a_cache_equal_one_pass(static: bool, padding: int) -> None:
    """A prompt may enter in pieces of any length, with or without an attention mask."""
    model = tiny_model().eval()
    ids = torch.randint(64, (2, 10), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, :padding] = 0
    whole = model(input_ids=ids, attention_mask=mask).logits
    cache = StaticCache(model.config, max_batch_size=2, max_cache_len=16) if static else DynamicCache()
    logits, start = [], 0
    for length in (4, 1, 3, 2):
        stop = start + length
        attention_mask = mask[:, :stop] if padding else None
        part = model(
            input_ids=ids[:, start:stop],
            attention_mask=attention_mask,
            past_key_values=cache,
            cache_position=torch.arange(start, stop),
        )
        logits.append(part.logits)
        start = stop
    real = mask.bool()
    torch.testing.assert_close(torch.cat(logits, dim=1)[real], whole[real], atol=1e-5, rtol=0)


def test_cache_is_returned_only_when_asked_for() -> None:
    model = tiny_model().eval()
    ids = torch.arange(4)[None]
    assert model(input_ids=ids).past_key_values is None
    first = model(input_ids=ids[:, :3], use_cache=True)
    assert first.past_key_values.get_seq_length() == 3
    second = model(input_ids=ids[:, 3:], past_key_values=first.past_key_values)
    torch.testing.assert_close(second.logits, model(input_ids=ids).logits[:, 3:], atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match='segment_ids cannot be combined with a key-value cache'):
        model(input_ids=ids, segment_ids=torch.ones_like(ids), use_cache=True)


def test_logits_of_the_last_positions_only() -> None:
    model = tiny_model().eval()
    ids = torch.arange(6)[None]
    torch.testing.assert_close(model(input_ids=ids, logits_to_keep=2).logits, model(input_ids=ids).logits[:, -2:])
