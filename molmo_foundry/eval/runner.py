# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Running one task on all ranks: chunks are shared out, generated in rounds, logged, gathered and averaged.

Every round, a rank takes one chunk or none. The ranks tell each other how many batches they have and what went wrong,
so that all make equally many calls of `generate` and all stop at the same error.
"""

import copy
import datetime
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator, Optional, Sequence, Union

import torch
from composer.devices import Device
from composer.models import HuggingFaceModel
from composer.utils import dist
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from molmo_foundry.data.schema import RecordError
from molmo_foundry.eval.fields import references, score_example
from molmo_foundry.eval.fingerprint import digest
from molmo_foundry.eval.generation import Response, generate
from molmo_foundry.eval.metrics import Judge, aggregate, find_judge, judge_of
from molmo_foundry.eval.predictions import ChunkLog, Chunks, Prediction, finish, read_chunks, read_summary
from molmo_foundry.eval.records import Question, TaskChunks, dummy_inputs, open_records
from molmo_foundry.eval.settings import EvalSettings
from molmo_foundry.eval.tasks import Task
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.types import ModelInputs

VERSION = 1
"""Raise it when prompts, scores or files change, so that no older result is taken for a new one."""


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Attributes:
        model: The model with its tokenizer, in evaluation mode.
        name: What to call it; names the folder of its results.
        fingerprint: Digest of its weights.
        precision: The precision it runs in.
        device: Where it is.
    """

    model: HuggingFaceModel
    name: str
    fingerprint: str
    precision: str
    device: Device


@dataclass(frozen=True)
class TaskResult:
    """What came of a task.

    Attributes:
        task: The task.
        metrics: Means by name.
        folder: Where the predictions are.
        cached: Whether they were there before.
    """

    task: Task
    metrics: dict[str, float]
    folder: Path
    cached: bool


def run_task(task: Task, subject: Subject, settings: EvalSettings) -> TaskResult:
    """Evaluates a model on a task, or finds that it was; every rank calls it.

    Args:
        task (Task): The task.
        subject (Subject): The model.
        settings (EvalSettings): Where data and results are, and how to go about it.

    Returns:
        TaskResult: The same on every rank.

    Raises:
        FileNotFoundError: If the data is not there.
        RecordError: On every rank, if a record cannot be used; names the task and the record.
    """
    local = settings.folder_of(settings.data, task.dataset, task.split)
    remote = settings.remote and settings.folder_of(settings.remote, task.dataset, task.split)
    records = open_records(local, remote)
    preprocessor = build_preprocessor(task, subject.model, settings.pixels)
    chunks = TaskChunks(task, records, preprocessor, settings.batch_size, settings.max_examples)
    key = _key(task, subject, settings, Path(local))
    folder = Path(settings.save_folder) / subject.name / f'{task.label}-{digest(key)[:8]}'

    summary = _from_rank_zero(read_summary(folder) if dist.get_global_rank() == 0 else None)
    if summary is not None:
        return TaskResult(task, summary['metrics'], folder, cached=True)
    done = _merge(dist.all_gather_object(read_chunks(folder)))
    todo = [chunk for chunk in range(len(chunks)) if chunk not in done]
    new = _run_chunks(chunks, todo, subject, settings, folder)
    predictions = _in_order(_merge(dist.all_gather_object({**done, **new})), len(chunks))
    metrics = summarize(task, predictions)
    if dist.get_global_rank() == 0:
        cut_off = sum(not prediction.finished for prediction in predictions)
        counts = {'predictions': len(predictions), 'cut_off': cut_off}
        summary = {'task': asdict(task), 'checkpoint': subject.name, 'metrics': metrics, **counts}
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')
        data = str(Path(local).resolve())
        finish(folder, predictions, {**summary, 'date': date, 'data': data, 'key': key})
    dist.barrier()
    return TaskResult(task, metrics, folder, cached=False)


def build_preprocessor(task: Task, model: HuggingFaceModel, pixels: str) -> Preprocessor:
    """What prepares prompts of a task for a model."""
    config: Any = copy.deepcopy(model.model.config)
    if task.max_crops is not None:
        config.vision.max_crops = task.max_crops
    tokenizer: Any = model.tokenizer
    return Preprocessor.from_config(config, tokenizer, max_seq_len=task.max_seq_len, pixels=pixels)


def summarize(task: Task, predictions: Sequence[Prediction]) -> dict[str, float]:
    """Means of a task's scores, by name; empty if no answer is public."""
    means: dict[str, float] = {}
    for metric in task.metrics:
        scored = [prediction for prediction in predictions if metric in prediction.scores]
        means |= aggregate(metric, [p.scores[metric] for p in scored], [p.group for p in scored])
    return means


def _key(task: Task, subject: Subject, settings: EvalSettings, data: Path) -> dict[str, Any]:
    """Everything that predictions and scores depend on."""
    config: Any = subject.model.model.config
    index = (data / 'index.json').read_text(encoding='utf-8')
    # How long a prompt may be decides whether it is an error, not what comes out.
    row = {name: value for name, value in asdict(task).items() if name not in ('max_seq_len', 'headline')}
    return {
        'version': VERSION,
        'weights': subject.fingerprint,
        'config': digest(config.to_dict()),
        'precision': subject.precision,
        'task': row,
        'data': digest(index),
        'batch_size': settings.batch_size,
        'max_examples': settings.max_examples,
        'pixels': settings.pixels,
        'judge': settings.judge if any(map(judge_of, task.metrics)) else None,
    }


def _run_chunks(chunks: TaskChunks, todo: list[int], subject: Subject, settings: EvalSettings, folder: Path) -> Chunks:
    """Does this rank's share of the chunks in as many rounds as any rank needs."""
    rank, world_size = dist.get_global_rank(), dist.get_world_size()
    mine = todo[rank::world_size]
    rounds = math.ceil(len(todo) / world_size)
    dummy = dummy_inputs(chunks.preprocessor)
    judge = None if settings.judge is None else find_judge(settings.judge)
    loader = DataLoader(
        Subset(chunks, mine),
        batch_size=None,
        num_workers=min(settings.num_workers, len(mine)),
        generator=torch.Generator().manual_seed(0),  # the global one belongs to training
    )
    log, new = ChunkLog(folder, rank), Chunks()
    bar = tqdm(total=len(todo), desc=chunks.task.label, unit='chunk', disable=rank > 0 or not settings.progress_bar)
    try:
        for round_index, loaded in enumerate(_exactly(loader, rounds)):
            questions, batches = _agree(loaded, settings.batch_size)
            predictions = []
            for batch in range(batches):
                part = questions[batch * settings.batch_size : (batch + 1) * settings.batch_size]
                predictions += _ask(part, chunks.task, dummy, subject, judge)
            if round_index < len(mine):
                log.append(mine[round_index], predictions)
                new[mine[round_index]] = predictions
            bar.update(min(world_size, len(todo) - round_index * world_size))
    finally:
        log.close()
        bar.close()
    return new


def _exactly(loader: Iterable, rounds: int) -> Iterator:
    """What the loader gives, and then empty chunks."""
    items = iter(loader)
    for _ in range(rounds):
        yield next(items, [])


def _agree(loaded: Union[list[Question], RecordError], batch_size: int) -> tuple[list[Question], int]:
    """The questions of a chunk if no rank met a bad record, and the batches of the rank that has most.

    Raises:
        RecordError: The first rank's, on every rank.
    """
    error = str(loaded) if isinstance(loaded, RecordError) else None
    questions: list[Question] = [] if isinstance(loaded, RecordError) else loaded
    ranks = dist.all_gather_object((error, math.ceil(len(questions) / batch_size)))
    errors = [error for error, _ in ranks if error is not None]
    if errors:
        raise RecordError(errors[0])
    return questions, max(batches for _, batches in ranks)


def _ask(
    questions: Sequence[Question], task: Task, dummy: ModelInputs, subject: Subject, judge: Optional[Judge]
) -> list[Prediction]:
    """Generates and scores the responses to a batch, which may be empty."""
    inputs = [question.inputs for question in questions]
    responses = generate(subject.model, inputs, dummy, max_new_tokens=task.max_new_tokens, device=subject.device)
    return [_score(task, question, response, judge) for question, response in zip(questions, responses)]


def _score(task: Task, question: Question, response: Response, judge: Optional[Judge]) -> Prediction:
    facts = question.facts
    human = facts.get('is_human')
    size = facts.get('image_size')
    return Prediction(
        index=question.index,
        id=question.id,
        prompt=question.prompt,
        prediction=response.text,
        finished=response.finished,
        references=references(facts),
        scores=score_example(task.metrics, response.text, facts, question.id, judge),
        group=None if human is None else 'human' if human else 'aug',
        image_size=size,
        points=facts['points'] if size is not None and 'points' in facts else None,
        options=facts.get('options'),
        option_names=facts.get('option_names'),
        metadata={k: v for k, v in facts.items() if isinstance(v, (bool, int, float, str)) and k not in _LONG},
    )


_LONG = ('text', 'answer', 'question', 'prompt', 'query', 'id')
"""Facts that stand elsewhere in a prediction."""


def _merge(parts: Sequence[Chunks]) -> Chunks:
    merged: Chunks = {}
    for part in parts:
        merged.update(part)
    return merged


def _in_order(chunks: Chunks, count: int) -> list[Prediction]:
    assert sorted(chunks) == list(range(count)), 'every chunk is done once'
    return [prediction for chunk in range(count) for prediction in chunks[chunk]]


def _from_rank_zero(value: Any) -> Any:
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]
