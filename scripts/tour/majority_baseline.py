# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What guessing scores: to each test question, the response that training gives most often.

The same question in the same style decides, options aside; a question that training never asks gets the most frequent
response of its style. Captions answer no question, so all get the one caption that occurs most often. Pointing and
counting ask for a label and get the points, written out, that it has most often. Of equally frequent responses the
first in the data is taken. They are scored by the tasks that score the model.
"""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional

from molmo_foundry.cli.console import progress
from molmo_foundry.data.mds import MDSRecords
from molmo_foundry.data.schema import RecordError
from molmo_foundry.eval.fields import score_example
from molmo_foundry.eval.predictions import Prediction
from molmo_foundry.eval.records import TaskChunks
from molmo_foundry.eval.runner import summarize
from molmo_foundry.eval.tasks import Task, select_tasks
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.formatter import Formatter
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import Example

Responses = dict[tuple[str, Optional[str]], str]
"""The most frequent response by style and question; by style and None, that of the whole style."""

_BATCH = 32


def write_majority(data: Path, out: Path) -> None:
    """Writes the scores of all tasks of the tour as JSON: means by name, by label of the task.

    Args:
        data (Path): Folder of the data sets.
        out (Path): The file.

    Raises:
        FileNotFoundError: If a data set is not there.
    """
    tasks = select_tasks(['tour-test'])
    datasets = list(dict.fromkeys(task.dataset for task in tasks))
    responses, scores = {}, {}
    with progress('majority baseline', len(datasets) + len(tasks)) as advance:
        for dataset in datasets:
            responses[dataset] = most_frequent(MDSRecords(data / dataset / 'train'))
            advance(1)
        for task in tasks:
            records = MDSRecords(data / task.dataset / task.split)
            scores[task.label] = score_majority(task, records, responses[task.dataset])
            advance(1)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(scores, indent=2) + '\n', encoding='utf-8')


def most_frequent(records: Iterable[Example]) -> Responses:
    """The most frequent response to each question of each style, and of each style."""
    write = Formatter()
    counts: dict[tuple[str, Optional[str]], Counter[str]] = defaultdict(Counter)
    for record in records:
        conversations, _ = write(record)
        for annotation, conversation in zip(record.annotations, conversations):
            response = conversation.turns[-1].strip()
            for asked in (_question(annotation), None):
                counts[annotation['style'], asked][response] += 1
    return {key: counter.most_common(1)[0][0] for key, counter in counts.items()}


def score_majority(task: Task, records: MDSRecords, responses: Responses) -> dict[str, float]:
    """Scores these responses to the questions of a task.

    Args:
        task (Task): The task.
        records (MDSRecords): Its data.
        responses (Responses): Of the training split, with every style that the task asks.

    Returns:
        dict[str, float]: Means by name.

    Raises:
        RecordError: If a record cannot be used; names it.
    """
    config = build_config('tiny', 'tiny_siglip')
    tokenizer = MolmoTokenizer('tiny', vocab_size=config.vocab_size)
    chunks = TaskChunks(task, records, Preprocessor.from_config(config, tokenizer, pixels='fast'), _BATCH)
    predictions = []
    for chunk in range(len(chunks)):
        questions = chunks[chunk]
        if isinstance(questions, RecordError):
            raise questions
        for question in questions:
            style = question.facts['style']
            response = responses.get((style, _question(question.facts)), responses[style, None])
            scores = score_example(task.metrics, response, question.facts, question.id)
            predictions.append(Prediction(question.index, question.id, question.prompt, response, True, scores=scores))
    return summarize(task, predictions)


def _question(annotation: Mapping[str, Any]) -> str:
    return annotation.get('question') or annotation.get('label') or ''
