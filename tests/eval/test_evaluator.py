# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation in one process: the callback in training, results that are kept, responses, and errors by name."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmark_records import SHAPES, picture, save_model, write_benchmarks
from composer import Trainer
from composer.core import DataSpec
from composer.loggers import InMemoryLogger
from omegaconf import OmegaConf
from streaming import MDSWriter

from molmo_foundry.cli.eval import main
from molmo_foundry.cli.recipe import load_recipe
from molmo_foundry.data.collator import collate, get_num_samples_in_batch, split_batch
from molmo_foundry.data.mds import MDSRecords, write_mds
from molmo_foundry.data.schema import COLUMNS, to_sample
from molmo_foundry.data.synthetic import make_examples
from molmo_foundry.eval.checkpoint import load_model
from molmo_foundry.eval.evaluator import MolmoEvaluator
from molmo_foundry.eval.fingerprint import weights_fingerprint
from molmo_foundry.eval.predictions import PREDICTIONS, read_predictions
from molmo_foundry.eval.records import TaskChunks, open_records
from molmo_foundry.eval.runner import TaskResult, build_preprocessor
from molmo_foundry.eval.settings import EvalSettings
from molmo_foundry.eval.standalone import RECIPE_KEYS
from molmo_foundry.eval.tasks import TASKS
from molmo_foundry.model.composer_model import ComposerMolmo
from molmo_foundry.processing.types import Example


@pytest.fixture(scope='module')
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp('eval')
    write_benchmarks(home / 'data')
    save_model(home / 'model')
    return home


def settings(home: Path, out: Path, *tasks: str, **changed: Any) -> dict[str, Any]:
    return {
        'tasks': list(tasks),
        'data': f'{home}/data/{{dataset}}/{{split}}',
        'save_folder': str(out),
        'batch_size': 2,
        'max_new_tokens': 16,
        'num_workers': 0,
        'progress_bar': False,
        'report': False,
        **changed,
    }


def model_of(home: Path) -> ComposerMolmo:
    return load_model(home / 'model', {}, None)


def evaluate(home: Path, out: Path, *tasks: str, **changed: Any) -> list[TaskResult]:
    trainer = Trainer(model=changed.pop('model', None) or model_of(home), run_name='test', progress_bar=False)
    evaluator = MolmoEvaluator(**settings(home, out, *tasks, **changed))
    return evaluator.evaluate(trainer.state, trainer.logger, 'model')


def train(home: Path, out: Path, evaluator: list[MolmoEvaluator]) -> tuple[dict[str, torch.Tensor], InMemoryLogger]:
    """Two steps on rendered records; the weights after them."""
    model, logger = model_of(home), InMemoryLogger()
    preprocessor = build_preprocessor(TASKS['shapes_vqa'], model, 'exact')
    batches = [collate([preprocessor(example)]) for example in make_examples('train', 2)]
    loader = DataSpec(
        torch.utils.data.DataLoader(batches, batch_size=None),
        split_batch=split_batch,
        get_num_samples_in_batch=get_num_samples_in_batch,
    )
    trainer = Trainer(
        model=model,
        run_name='run',
        train_dataloader=loader,
        optimizers=torch.optim.SGD(model.parameters(), lr=1e-3),
        max_duration='2ba',
        device_train_microbatch_size=1,
        callbacks=evaluator,
        loggers=[logger],
        progress_bar=False,
        seed=1,
    )
    trainer.fit()
    return model.state_dict(), logger


def test_in_training(home: Path, tmp_path: Path) -> None:
    """Evaluated at both steps, each with its own weights, and training goes on as if nothing had happened."""
    evaluator = MolmoEvaluator('1ba', **settings(home, tmp_path, 'shapes_vqa', 'shapes_mc'))
    weights, logger = train(home, tmp_path, [evaluator])
    alone, _ = train(home, tmp_path, [])
    assert all(torch.equal(weights[name], alone[name]) for name in alone)
    for name in ('eval/shapes_vqa/vqa_score', 'eval/shapes_vqa/em', 'eval/shapes_mc/mc'):
        assert len(logger.data[name]) == 2
    keys = {path.parent.parent.name: path.parent.name for path in tmp_path.rglob('shapes_mc-*/metrics.json')}
    assert sorted(keys) == ['run-ba1', 'run-ba2'] and len(set(keys.values())) == 2


def test_results_are_kept_for_the_same_weights_data_and_settings(home: Path, tmp_path: Path) -> None:
    (first,) = evaluate(home, tmp_path, 'shapes_vqa')
    (again,) = evaluate(home, tmp_path, 'shapes_vqa')
    assert (first.cached, again.cached) == (False, True)
    assert (again.folder, again.metrics) == (first.folder, first.metrics)
    (shorter,) = evaluate(home, tmp_path, 'shapes_vqa', max_new_tokens=3)
    assert not shorter.cached and shorter.folder != first.folder
    other = model_of(home)
    with torch.no_grad():
        other.model.model.transformer.blocks[0].att_proj.weight[0, 0] += 1
    (changed,) = evaluate(home, tmp_path, 'shapes_vqa', model=other)
    assert not changed.cached and changed.folder not in (first.folder, shorter.folder)


def test_an_evaluation_goes_on_where_it_broke_off(home: Path, tmp_path: Path) -> None:
    """Two of four chunks are done, the line of one is torn; nothing is asked twice but that one. See also the kills of
    real processes in `test_evaluator_runs.py`.
    """
    (whole,) = evaluate(home, tmp_path / 'whole', 'shapes_vqa')
    model, calls, limit = model_of(home), 0, 3
    generate = model.generate

    def breaks_off(*args: Any, **inputs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == limit:
            raise InterruptedError
        return generate(*args, **inputs)

    model.generate = breaks_off
    with pytest.raises(InterruptedError):
        evaluate(home, tmp_path / 'broken', 'shapes_vqa', model=model)
    (log,) = (tmp_path / 'broken').rglob('under-way-*')
    assert log.read_bytes().count(b'\n') == 2
    log.write_bytes(log.read_bytes()[:-20])
    calls, limit = 0, 99
    (resumed,) = evaluate(home, tmp_path / 'broken', 'shapes_vqa', model=model)
    assert calls == 3 and not resumed.cached and resumed.metrics == whole.metrics
    assert (resumed.folder / PREDICTIONS).read_bytes() == (whole.folder / PREDICTIONS).read_bytes()


def test_fingerprint_sees_one_bit(home: Path) -> None:
    model = model_of(home)
    before = weights_fingerprint(model)
    assert weights_fingerprint(model_of(home)) == before
    weight = model.model.model.transformer.blocks[0].ff_out.weight
    with torch.no_grad():
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(10.0))
    assert weights_fingerprint(model) != before


def test_responses_are_those_of_plain_generation(home: Path, tmp_path: Path) -> None:
    """One prompt at a time with transformers' own stopping; batches change fp32 logits by 1e-5 only."""
    (result,) = evaluate(home, tmp_path, 'shapes_caption')
    model = model_of(home).eval()
    chunks = TaskChunks(result.task, MDSRecords(home / 'data/shapes/validation'), _preprocessor(result, model), 1)
    for index, prediction in enumerate(read_predictions(result.folder)):
        (question,) = chunks[index]
        batch = collate([question.inputs])
        names = ('input_ids', 'images', 'image_masks', 'image_input_idx', 'crop_counts')
        inputs = {key: batch[key] for key in names if key in batch}
        tokens = model.model.generate(
            **inputs, max_new_tokens=16, do_sample=False, eos_token_id=model.tokenizer.eos_token_id
        )[0, len(question.inputs) :]
        assert prediction.prediction == model.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        assert prediction.finished == (model.tokenizer.eos_token_id in tokens)


def _preprocessor(result: TaskResult, model: ComposerMolmo) -> Any:
    return build_preprocessor(result.task, model, 'exact')


def test_all_annotations_and_texts_without_images(home: Path, tmp_path: Path) -> None:
    """A record may ask several questions, and need not have an image; three in a chunk of two make two batches."""
    questions = [{'style': 'vqa2', 'question': f'{i}?', 'answers': ['1']} for i in range(3)]
    records = [
        Example('many', [picture()], [*questions, {'style': 'long_caption', 'text': 'Red.'}]),
        Example('text', [], questions[:1]),
        Example('two', [picture('red'), picture('blue')], questions[:1]),
    ]
    write_mds(records, tmp_path / 'data/own/test')
    own = {'dataset': 'own', 'split': 'test', 'metrics': ['em'], 'style': 'vqa2'}
    (result,) = evaluate(
        home, tmp_path, 'own', custom_tasks={'own': own}, data=f'{tmp_path}/data/{{dataset}}/{{split}}'
    )
    found = [(row.id, row.index) for row in read_predictions(result.folder)]
    assert found == [('many#0', (0, 0)), ('many#1', (0, 1)), ('many#2', (0, 2)), ('text', (1, 0)), ('two', (2, 0))]


def agreeable_judge(prompt: str) -> str:
    """Finds one statement in any description, and that it is so."""
    return '1. yes' if 'Statements:' in prompt else 'A thing.'


def test_a_judge_is_asked_where_a_recipe_names_one(home: Path, tmp_path: Path) -> None:
    """Cap-F1 needs it; whose verdict it is belongs to the key of the results, but for tasks that ask none."""
    own = {'dataset': 'shapes', 'split': 'validation', 'metrics': ['cap_f1'], 'style': 'long_caption'}
    judged = {'custom_tasks': {'own': own}, 'judge': f'{__name__}:agreeable_judge', 'max_examples': 2}
    captions, answers = evaluate(home, tmp_path, 'own', 'shapes_vqa', **judged)
    assert captions.metrics == {'cap_precision': 1.0, 'cap_recall': 1.0, 'cap_f1': 1.0}
    (again,) = evaluate(home, tmp_path, 'shapes_vqa', max_examples=2)
    assert again.cached and again.folder == answers.folder
    for judge, message in (
        (None, "evaluator.judge is missing: metric 'cap_f1' of task own needs one"),
        ('nowhere:judge', "The judge 'nowhere:judge' cannot be imported"),
        ('json', "The judge 'json' cannot be imported"),
        ('json:__name__', "The judge 'json:__name__' is no function"),
    ):
        with pytest.raises(ValueError, match=message):
            EvalSettings.parse(settings(home, tmp_path, 'own', **{**judged, 'judge': judge}))


def test_worker_processes_read_the_same(home: Path, tmp_path: Path) -> None:
    (here,) = evaluate(home, tmp_path / 'here', 'shapes_vqa')
    (workers,) = evaluate(home, tmp_path / 'workers', 'shapes_vqa', num_workers=2)
    assert (here.folder / PREDICTIONS).read_bytes() == (workers.folder / PREDICTIONS).read_bytes()


def test_max_examples_are_spread(home: Path, tmp_path: Path) -> None:
    (result,) = evaluate(home, tmp_path, 'shapes_vqa', max_examples=3)
    assert [row.index[0] for row in read_predictions(result.folder)] == [0, SHAPES // 3, 2 * SHAPES // 3]


def test_without_public_answers_there_are_predictions_only(home: Path, tmp_path: Path) -> None:
    hidden = {'style': 'doc_qa', 'question': 'What?', 'answer': '', 'weight': 0}
    write_mds([Example('q', [picture()], [hidden], {'example_id': 7})], tmp_path / 'data/doc_qa/test')
    (result,) = evaluate(home, tmp_path, 'doc_qa:test', data=f'{tmp_path}/data/{{dataset}}/{{split}}')
    assert result.metrics == {}
    (row,) = read_predictions(result.folder)
    assert (row.references, row.scores, row.metadata['example_id']) == (None, {}, 7)
    assert len((result.folder / PREDICTIONS).read_text().splitlines()) == 1


def test_data_is_downloaded_once(home: Path, tmp_path: Path) -> None:
    remote, local = str(home / 'data/shapes/validation'), tmp_path / 'local'
    records = open_records(str(local), remote)
    assert [record.id for record in records] == [record.id for record in MDSRecords(remote)]
    assert len(open_records(str(local), '/nowhere')) == SHAPES


def test_bad_records_are_named(home: Path, tmp_path: Path) -> None:
    out = tmp_path / 'data/shapes/validation'
    with MDSWriter(out=str(out), columns=COLUMNS) as writer:
        for example in make_examples('validation', 3):
            example.images = [example.images[0][:200]]
            writer.write(to_sample(example, [(128, 128)]))
    data = f'{tmp_path}/data/{{dataset}}/{{split}}'
    with pytest.raises(ValueError, match=r"task shapes_vqa: record 'shapes-validation-000000', images\[0\]"):
        evaluate(home, tmp_path, 'shapes_vqa', data=data)
    with pytest.raises(FileNotFoundError, match='text_vqa/validation'):
        evaluate(home, tmp_path, 'text_vqa', data=data)
    with pytest.raises(ValueError, match='task shapes_vqa: record .* do not fit into max_seq_len=20'):
        evaluate(home, tmp_path, 'shapes_vqa', max_seq_len=20)
    own = {'dataset': 'shapes', 'split': 'validation', 'metrics': [], 'style': 'clocks'}
    with pytest.raises(ValueError, match='task own: record .* has no annotation of the style clocks'):
        evaluate(home, tmp_path, 'own', custom_tasks={'own': own})


@pytest.mark.parametrize(
    'changed, message',
    [
        ({'task': ['shapes']}, 'evaluator.task is not an option; choose from: tasks'),
        ({'tasks': []}, 'evaluator.tasks is missing'),
        ({'tasks': ['shape_vqa']}, "no task 'shape_vqa': did you mean shapes_vqa"),
        ({'data': 'x/{name}'}, r'may have the fields {dataset} and {split}'),
        ({'batch_size': 0}, 'evaluator.batch_size must be a whole number of at least 1, not 0'),
        ({'max_crops': 1.5}, 'evaluator.max_crops must be a whole number'),
    ],
)
def test_settings_are_checked(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvalSettings.parse({'tasks': ['shapes'], 'data': 'x/{dataset}', 'save_folder': 'y', **changed})


def test_predictions_are_plain_json(home: Path, tmp_path: Path) -> None:
    (result,) = evaluate(home, tmp_path, 'shapes_pointing')
    row = json.loads((result.folder / PREDICTIONS).read_text().splitlines()[0])
    assert {'id', 'prompt', 'prediction', 'references', 'scores', 'points', 'image_size'} <= set(row)
    shape = MDSRecords(home / 'data/shapes/validation')[0].metadata['shapes'][0]
    assert row['references'] == f'points: {len(row["points"])}'
    if row['points']:
        assert row['points'][0] == pytest.approx(shape['center'], abs=1.0), 'pixels, from percents of two decimals'


@pytest.mark.parametrize('name', ['yamls/eval.yaml', 'yamls/tiny/eval.yaml'])
def test_recipes(name: str) -> None:
    recipe: Any = OmegaConf.to_container(load_recipe(name))
    assert set(recipe) <= set(RECIPE_KEYS)
    EvalSettings.parse(recipe['evaluator'])


def test_the_recipe_says_all_there_is() -> None:
    recipe: Any = OmegaConf.to_container(load_recipe('yamls/eval.yaml'))
    assert set(recipe) == set(RECIPE_KEYS)
    assert set(recipe['evaluator']) == {field.name for field in fields(EvalSettings)}


@pytest.mark.parametrize(
    'override, message',
    [
        ('evaluater.tasks=[shapes]', "Unknown key 'evaluater' in the recipe"),
        ('model.lm=tiny', "Unknown key 'lm' in `model`"),
        ('load_path=null', "The recipe has no 'load_path'"),
        ('load_path=/nowhere/model', 'No checkpoint at /nowhere/model: it does not exist'),
        ('evaluator.tasks=[shape]', "There is no task 'shape': did you mean shapes"),
    ],
)
def test_errors_of_the_script(override: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['yamls/tiny/eval.yaml', override]) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error and 'Traceback' not in error
