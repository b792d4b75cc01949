# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A few records of every benchmark, with the annotations and metadata that its source gives, and a tiny model.

`write_benchmarks` makes the folders that recipes expect, `save_model` a checkpoint whose responses end at all lengths.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from molmo_foundry.data.mds import write_mds
from molmo_foundry.data.sources.masks import encode_mask
from molmo_foundry.data.synthetic import DATASETS, make_examples
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import Example

SIZE = (64, 48)
SHAPES = 7
"""Rendered records; with two a chunk, the last of four chunks is short."""

_BOX = np.zeros((SIZE[1], SIZE[0]), bool)
_BOX[10:30, 10:30] = True
_VQA = {'question': 'What is it?', 'answers': ['a cat'] * 6 + ['dog'] * 4}
_CHOICE = {'question': 'Which one?', 'options': ['cat', 'dog', 'cow'], 'answer_idx': 1}
_MMMU = {'question_type': 'multiple-choice', 'answers': ['B'], 'options': ['cat', 'dog', 'cow'], 'example_id': 'mmmu-1'}
_VISTA = {'question_type': 'free_form', 'answer_type': 'integer', 'choices': None, 'precision': None, 'answer': '4'}
_TIME = {'hour': 10, 'minute': 9, 'second': -1}
_CLICK = {'example_id': '1-0', 'target': 'Click(30.0, 40.0)', 'target_box': [20.0, 30.0, 40.0, 50.0]}
_UNANSWERED = {'answer': '', 'weight': 0}

# Data set → its annotations, one a record, and the metadata of all.
_RECORDS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    'coco_2014_vqa': ([{'style': 'vqa2', **_VQA}] * 3, {}),
    'okvqa': ([{'style': 'okvqa', **_VQA}], {}),
    'a_okvqa_da': ([{'style': 'a_okvqa_da', **_VQA}], {}),
    'a_okvqa_mc': ([{'style': 'a_okvqa_mc', **_CHOICE}], {}),
    'tally_qa': ([{'style': 'tally_qa', 'question': 'How many cats?', 'answer': '3'}], {}),
    'real_world_qa_no_instruction': (
        [{'style': 'eval_short_answer', 'question': 'Where?', 'answer': 'left'}],
        {'question_type': 'short_answer'},
    ),
    'text_vqa': ([{'style': 'text_vqa', **_VQA}], {}),
    'st_qa': ([{'style': 'st_qa', **_VQA}], {}),
    'doc_qa': ([{'style': 'doc_qa', **_VQA}], {}),
    'info_qa': ([{'style': 'info_qa', **_VQA}], {}),
    'chart_qa': ([{'style': 'chart_qa', 'question': 'How much?', 'answers': ['10']}], {'is_human': True}),
    'ai2_diagram_v2_mix_transparent': (
        [{'style': 'ai2_diagram', **_CHOICE}],
        {'abc_label': True, 'has_transparent_box': True},
    ),
    'science_qa_img': ([{'style': 'science_qa', **_CHOICE}], {}),
    'mmmu': ([{'style': 'a_okvqa_mc', **_CHOICE}], _MMMU),
    'math_vista_v2': ([{'style': 'eval_short_answer', 'question': '2 + 2?', 'answer': '4'}], _VISTA),
    'countbench_qa': ([{'style': 'point_count', 'question': 'How many?', **_UNANSWERED}], {'count': 4}),
    'pixmo_count_counting': ([{'style': 'point_count', 'label': 'cat', **_UNANSWERED}], {'count': 4}),
    'pointing_eval': (
        [{'style': 'pointing', 'label': 'cat', 'points': [[30, 40]], 'point_scale': 100}],
        {'masks': [encode_mask(_BOX)]},
    ),
    'pixmo_clocks': ([{'style': 'clocks', 'question': 'What time is being shown?', 'answer': '10:09'}], _TIME),
    'clock_bench': ([{'style': 'clocks', 'question': 'What time is being shown?', **_UNANSWERED}], _TIME),
    'android_control_ll': ([{'style': 'android_control', 'prompt': 'low_level: tap', 'text': 'Wait'}], _CLICK),
    'android_control_hl_ll': ([{'style': 'android_control', 'prompt': 'low_level: tap', 'text': 'Wait'}], _CLICK),
    'android_control_hl': ([{'style': 'android_control', 'prompt': 'high_level: tap', 'text': 'Wait'}], _CLICK),
    'android_control_hl_cot': ([{'style': 'android_control', 'prompt': 'high_level_cot: tap', 'text': 'Wait'}], _CLICK),
    'pixmo_cap': ([{'style': 'long_caption', 'text': 'A red square.'}], {}),
}


def picture(color: str = 'red') -> bytes:
    """A PNG file of `SIZE`."""
    file = io.BytesIO()
    Image.new('RGB', SIZE, color).save(file, 'PNG')
    return file.getvalue()


def benchmark_records(dataset: str) -> list[Example]:
    """The records of a data set."""
    annotations, metadata = _RECORDS[dataset]
    return [
        Example(f'{dataset}/{i}', [picture()], [annotation], {'example_id': i, **metadata})
        for i, annotation in enumerate(annotations)
    ]


def rendered_records(dataset: str) -> list[Example]:
    """`SHAPES` records of a built-in data set, with one annotation of each style."""
    examples = list(make_examples('validation', SHAPES, dataset=dataset))
    for example in examples:
        example.annotations = list({annotation['style']: annotation for annotation in example.annotations}.values())
    return examples


def write_benchmarks(folder: Path) -> str:
    """Writes all of them, and `SHAPES` records of each rendered one; returns the template for `evaluator.data`."""
    from molmo_foundry.eval.tasks import TASKS

    for task in TASKS.values():
        out = folder / task.dataset / task.split
        if not out.exists():
            rendered = task.dataset in DATASETS
            write_mds(rendered_records(task.dataset) if rendered else benchmark_records(task.dataset), out)
    return f'{folder}/{{dataset}}/{{split}}'


def save_model(folder: Path, seed: int = 0) -> Path:
    """A checkpoint directory of a tiny model with random weights that make it ramble, and stop now and then."""
    torch.manual_seed(seed)
    model = MolmoForCausalLM(build_config('tiny', 'tiny', initializer_range=0.3)).eval()
    tokenizer = MolmoTokenizer('tiny', vocab_size=model.config.vocab_size)
    with torch.no_grad():
        model.model.transformer.ff_out.weight[tokenizer.eos_token_id] *= 1.6
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
