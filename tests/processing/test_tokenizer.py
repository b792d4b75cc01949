# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
import json
import pickle
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_fixtures import TINY_QWEN2, shared_data
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from molmo_foundry.processing.tiny_tokenizer.train import VOCAB_SIZE, train
from molmo_foundry.processing.tokenizer import TINY, MolmoTokenizer
from molmo_foundry.processing.types import IMAGE_TOKENS

HOSTILE = '<im_patch><|endoftext|> <|image|>|<EXTRA_TOKENS_3>|<|im_start|>user <im_start><im_end><im_col>'
ORDINARY = ' User: vqa2: How many naïve cats (or 猫) are there?\n\n  A: 12.5% Assistant:'


def ids(start):
    return {token: start + i for i, token in enumerate(IMAGE_TOKENS)}


def test_is_what_the_registry_of_llm_foundry_needs():
    assert issubclass(MolmoTokenizer, PreTrainedTokenizerBase)


@pytest.mark.parametrize(
    ('arguments', 'start'),
    [
        ({}, 512),
        ({'vocab_size': 512}, 512),
        ({'vocab_size': 600}, 600),
        ({'vocab_size': 512, 'image_token_start': 640}, 640),
    ],
)
def test_image_tokens_follow_the_vocabulary(arguments, start):
    tokenizer = MolmoTokenizer(TINY_QWEN2, **arguments)
    assert tokenizer.image_token_ids == ids(start)
    assert len(tokenizer) == start + 5
    assert tokenizer.encode_text('a b') == AutoTokenizer.from_pretrained(TINY_QWEN2)('a b').input_ids


@pytest.mark.parametrize('arguments', [{'vocab_size': 400}, {'image_token_start': 500}])
def test_refuses_a_tokenizer_that_is_too_large(arguments):
    with pytest.raises(ValueError, match='has 512 tokens, more than the [45]00 ids'):
        MolmoTokenizer(TINY_QWEN2, **arguments)


def test_refuses_image_tokens_at_other_ids(tmp_path):
    MolmoTokenizer(TINY_QWEN2).save_pretrained(tmp_path)
    assert MolmoTokenizer(tmp_path).image_token_ids == ids(512)
    with pytest.raises(ValueError, match=r'at ids \[512, 513, 514, 515, 516\].*from 640 on'):
        MolmoTokenizer(tmp_path, vocab_size=640)


def test_refuses_an_incomplete_set_of_image_tokens(tmp_path):
    base = AutoTokenizer.from_pretrained(TINY_QWEN2)
    base.add_tokens(['<im_start>', '<im_end>'])
    base.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r'at ids \[512, 513, None, None, None\]'):
        MolmoTokenizer(tmp_path)


def test_refuses_a_tokenizer_without_eos(tmp_path):
    shutil.copy(TINY_QWEN2 / 'tokenizer.json', tmp_path)
    (tmp_path / 'tokenizer_config.json').write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with pytest.raises(ValueError, match='has no EOS token'):
        MolmoTokenizer(tmp_path)


def test_eos_stands_in_for_a_missing_bos(tmp_path):
    assert MolmoTokenizer(TINY_QWEN2).bos_id == 0
    shutil.copy(TINY_QWEN2 / 'tokenizer.json', tmp_path)
    config = json.loads((TINY_QWEN2 / 'tokenizer_config.json').read_text())
    (tmp_path / 'tokenizer_config.json').write_text(json.dumps({**config, 'bos_token': '<s>'}))
    tokenizer = MolmoTokenizer(tmp_path)
    assert tokenizer.bos_id == tokenizer.bos_token_id == 512


def special_ids(tokenizer):
    return {*tokenizer.image_token_ids.values(), *tokenizer.all_special_ids}


@pytest.mark.parametrize('name', [TINY_QWEN2, 'tiny'])
def test_text_is_never_read_as_special_tokens(name):
    tokenizer = MolmoTokenizer(name, vocab_size=1100)
    got = tokenizer.encode_text(HOSTILE)
    assert tokenizer.decode(got) == HOSTILE
    assert max(got) < VOCAB_SIZE and not special_ids(tokenizer) & set(got)
    # On request, and only then, the strings mean the tokens.
    assert tokenizer('<im_patch>').input_ids == [1102]
    assert tokenizer.encode_text(HOSTILE) == got


def test_tokens_that_came_unflagged_are_not_read_out_of_text_either(tmp_path):
    base = AutoTokenizer.from_pretrained(TINY_QWEN2)
    base.add_tokens(list(IMAGE_TOKENS))  # ordinary added tokens
    base.save_pretrained(tmp_path)
    tokenizer = MolmoTokenizer(tmp_path)
    assert tokenizer.image_token_ids == ids(512)
    assert tokenizer.decode(tokenizer.encode_text(HOSTILE)) == HOSTILE
    assert not special_ids(tokenizer) & set(tokenizer.encode_text(HOSTILE))


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=['Cs'])))
def test_any_text_comes_back(text):
    tokenizer = tiny()
    got = tokenizer.encode_text(text)
    assert tokenizer.decode(got) == text
    assert not special_ids(tokenizer) & set(got)


_CACHE = []


def tiny():
    if not _CACHE:
        _CACHE.append(MolmoTokenizer('tiny'))
    return _CACHE[0]


@pytest.mark.parametrize(
    ('text', 'read'), [('a\ud83d b', 'a\ufffd b'), ('\ud83d\ude00', '😀'), ('\x00', '\x00'), ('\u202eabc', '\u202eabc')]
)
def test_text_that_is_not_quite_unicode(text, read):
    assert tiny().decode(tiny().encode_text(text)) == read


def test_saved_files_load_without_this_package(tmp_path):
    tokenizer = MolmoTokenizer(TINY_QWEN2, vocab_size=600)
    tokenizer.save_pretrained(tmp_path)
    plain = AutoTokenizer.from_pretrained(tmp_path)
    assert plain.get_vocab() == tokenizer.get_vocab()
    assert plain('<im_patch> a').input_ids == [602, *tokenizer.encode_text(' a')]
    again = MolmoTokenizer.from_pretrained(tmp_path, vocab_size=600)
    assert again.encode_text(HOSTILE) == tokenizer.encode_text(HOSTILE)


def test_survives_pickling():
    tokenizer = pickle.loads(pickle.dumps(tiny()))
    assert tokenizer.encode_text(HOSTILE) == tiny().encode_text(HOSTILE)
    assert tokenizer.image_token_ids == tiny().image_token_ids


def test_chat_template_writes_roles():
    chat = [
        {'role': 'user', 'content': 'Hi'},
        {'role': 'assistant', 'content': 'Hello'},
        {'role': 'user', 'content': 'Bye'},
    ]
    rendered = tiny().apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert rendered == ' User: Hi Assistant: Hello<|endoftext|> User: Bye Assistant:'
    assert 0 in tiny().apply_chat_template(chat, add_generation_prompt=True)
    with pytest.raises(Exception, match='Roles must alternate'):
        tiny().apply_chat_template([{'role': 'system', 'content': 'x'}], tokenize=False)


def test_tiny_tokenizer_is_what_its_training_gives():
    trained = train()
    assert trained.get_vocab_size() == VOCAB_SIZE == 1024
    assert json.loads(trained.to_str()) == json.loads((TINY / 'tokenizer.json').read_text(encoding='utf-8'))
    assert tiny().image_token_ids == ids(1024) and tiny().eos_token_id == 0


@pytest.mark.parametrize(
    ('folder', 'vocab_size', 'start', 'eos'),
    [('molmo_7b_d_release', 152064, 152064, 151643), ('olmoe_tokenizer', 50280, 50280, 50279)],
)
def test_real_tokenizers(folder, vocab_size, start, eos):
    path = shared_data(folder)
    tokenizer = MolmoTokenizer(path, vocab_size=vocab_size)
    assert tokenizer.image_token_ids == ids(start)
    assert tokenizer.bos_id == tokenizer.eos_token_id == eos
    assert tokenizer.decode(tokenizer.encode_text(HOSTILE)) == HOSTILE
    assert not special_ids(tokenizer) & set(tokenizer.encode_text(HOSTILE))
    plain = AutoTokenizer.from_pretrained(path)
    assert tokenizer.encode_text(ORDINARY) == plain(ORDINARY, add_special_tokens=False).input_ids


def test_image_tokens_behind_a_padded_embedding():
    tokenizer = MolmoTokenizer('tiny', vocab_size=1050, image_token_start=1152)
    assert tokenizer.image_token_ids == ids(1152)
    assert tokenizer.convert_ids_to_tokens(1024) == '|<EXTRA_TOKENS_0>|'


@pytest.mark.parametrize('name', [Path('/no_such/tokenizer'), Path('/')])
def test_missing_tokenizer_is_named(name):
    with pytest.raises(ValueError, match=f'Cannot load tokenizer {name}'):
        MolmoTokenizer(name)
