# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The model as lmms-eval sees it, or a stand-in with its documented interface where it is not installed."""

import importlib
import importlib.util
from types import SimpleNamespace
from typing import Any

import fake_lmms_eval
import pytest
from benchmark_records import save_model
from PIL import Image

if importlib.util.find_spec('lmms_eval') is None:
    fake_lmms_eval.install()

from molmo_foundry.eval.lmms_eval import MolmoLmms, manifest
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.processing.hf_image_processor import MolmoImageProcessor
from molmo_foundry.processing.hf_processor import MolmoProcessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer

DOCUMENTS = [{'question': f'How many are {i}?', 'size': (40 + i, 30)} for i in range(5)]


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> MolmoLmms:
    folder = save_model(tmp_path_factory.mktemp('model'))
    config = MolmoConfig.from_pretrained(folder)
    MolmoProcessor(MolmoImageProcessor.from_config(config), MolmoTokenizer(folder)).save_pretrained(folder)
    lmms = MolmoLmms.create_from_arg_string(f'pretrained={folder},dtype=float32,device=cpu', {'batch_size': 2})
    lmms.task_dict = {'own': {'test': DOCUMENTS}}
    return lmms


def to_messages(document: dict[str, Any]) -> list[dict[str, Any]]:
    image = {'type': 'image', 'url': Image.new('RGB', document['size'], 'red')}
    return [{'role': 'user', 'content': [image, {'type': 'text', 'text': document['question']}]}]


def request(document: int, **settings: Any) -> SimpleNamespace:
    return SimpleNamespace(args=(to_messages, settings, document, 'own', 'test'))


def test_batches_answer_in_order(model: MolmoLmms) -> None:
    settings = {'max_new_tokens': 8, 'until': ['\n\n']}
    together = model.generate_until([request(i, **settings) for i in range(5)])
    alone = [model.generate_until([request(i, **settings)])[0] for i in range(5)]
    assert together == alone
    assert len(set(together)) > 1


def test_each_request_has_its_own_settings(model: MolmoLmms) -> None:
    long = model.generate_until([request(0, max_new_tokens=12), request(1, max_new_tokens=1)])
    short = model.generate_until([request(0, max_new_tokens=2), request(1, max_new_tokens=1)])
    assert long[0].startswith(short[0]) and long[1] == short[1]


def test_manifest_and_refusals(model: MolmoLmms) -> None:
    module, _, name = (manifest().chat_class_path or '').rpartition('.')
    assert getattr(importlib.import_module(module), name) is MolmoLmms and manifest().model_id == 'molmo_foundry'
    assert not model.is_simple
    with pytest.raises(ValueError, match='generating variant'):
        model.loglikelihood([])
    with pytest.raises(ValueError, match='several rounds'):
        model.generate_until_multi_round([])
