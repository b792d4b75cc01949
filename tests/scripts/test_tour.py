# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The tour around training: blank twins, the majority baseline, the table and the figure, and what `make tour` runs."""

import importlib
import io
import json
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from typer.testing import CliRunner

from molmo_foundry.cli.recipe import load_recipe
from molmo_foundry.data.mds import MDSRecords, write_mds
from molmo_foundry.data.synthetic import make_examples
from molmo_foundry.eval.settings import EvalSettings
from molmo_foundry.eval.tasks import TASKS
from molmo_foundry.processing.types import Example

REPOSITORY = Path(__file__).parents[2]
TOUR = REPOSITORY / 'scripts' / 'tour'
sys.path.append(str(TOUR))  # as when it is run

tour_data: Any = importlib.import_module('tour_data')
tour_figure: Any = importlib.import_module('tour_figure')
tour_results: Any = importlib.import_module('tour_results')
majority_baseline: Any = importlib.import_module('majority_baseline')

ONE_RUN = """\
| skill | metric | target | reached | text only | majority |
| --- | --- | --- | --- | --- | --- |
| describing | word F1 | – | 90.0 | 10.0 | 5.0 |
| pointing | F1 | ≥ 75 ✓ | 80.0 | 11.0 | 5.0 |
| counting | exact | ≥ 75 ✗ | 70.0 | 12.0 | 5.0 |
| short answers | VQA score | ≥ 80 ✗ | 60.0 | 13.0 | 5.0 |
| multiple choice | accuracy | ≥ 80 ✗ | 50.0 | 14.0 | 5.0 |
| words | VQA score | ≥ 3 × text only ✗ | 40.0 | 15.0 | 5.0 |
| charts | relaxed correctness | ≥ 3 × text only ✗ | 30.0 | 16.0 | 5.0 |
| clocks | within 15 minutes | ≥ 3 × text only ✓ | 54.0 | 17.0 | 5.0 |
| documents | ANLS | – | 10.0 | 18.0 | 5.0 |
"""
REACHED = (90, 80, 70, 60, 50, 40, 30, 54, 10)
TEXT_ONLY = tuple(range(10, 19))


def picture(color: str = 'white') -> bytes:
    file = io.BytesIO()
    Image.new('RGB', (40, 30), color).save(file, 'JPEG')
    return file.getvalue()


def asked(*annotations: dict[str, Any]) -> list[Example]:
    return [Example(f'r{i}', [picture()], [annotation]) for i, annotation in enumerate(annotations)]


def vqa(question: str, answer: str) -> dict[str, Any]:
    return {'style': 'vqa2', 'question': question, 'answers': [answer] * 10}


def write_scores(folder: Path, percents: Any, suffix: str = '', date: str = '2026-01-01') -> None:
    """Results of all skills, as an evaluation leaves them."""
    for skill, percent in zip(tour_results.SKILLS, percents):
        task = TASKS[skill.task]
        result = folder / f'{task.name}{suffix}-{date}'
        result.mkdir(parents=True)
        summary = {'task': {'name': task.name}, 'metrics': {task.headline: percent / 100, 'other': 2.0}, 'date': date}
        (result / 'metrics.json').write_text(json.dumps(summary))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a finished run."""
    folder = tmp_path / 'tour-17'
    write_scores(folder / 'eval' / 'tour-multitask', REACHED, '_test')
    write_scores(folder / 'eval-blank' / 'tour-multitask', TEXT_ONLY, '_test')
    for step in (500, 1000):
        write_scores(folder / 'multitask' / 'eval' / f'tour-multitask-ba{step}', [step / 20] * 9)
    majority = {f'{skill.task}_test': {TASKS[skill.task].headline: 0.05} for skill in tour_results.SKILLS}
    (folder / 'majority.json').write_text(json.dumps(majority))
    return folder


def test_blank_twins_differ_in_pixels_alone(tmp_path: Path) -> None:
    write_mds(make_examples('test', 3), tmp_path / 'test')
    records = MDSRecords(tmp_path / 'test')
    tour_data.write_blank(records, tmp_path / 'blank')
    for record, twin in zip(records, MDSRecords(tmp_path / 'blank'), strict=True):
        assert replace(twin, images=record.images) == record
        seen, grey = (Image.open(io.BytesIO(example.images[0])) for example in (record, twin))
        assert grey.format == 'JPEG' and grey.size == seen.size
        # JPEG rounds colours by a level or two.
        assert np.ptp(np.asarray(seen)) > 100 and np.abs(np.asarray(grey).astype(int) - tour_data.GREY).max() <= 2


def test_blank_twins_are_kept_unless_they_are_of_other_records(tmp_path: Path) -> None:
    records = list(make_examples('test', 2))
    tour_data.write_blank(records, tmp_path / 'blank')
    written = (tmp_path / 'blank' / 'shard.00000.mds').stat().st_mtime_ns
    tour_data.write_blank(records, tmp_path / 'blank')
    assert (tmp_path / 'blank' / 'shard.00000.mds').stat().st_mtime_ns == written
    with pytest.raises(FileExistsError, match='blank is not an empty folder'):
        tour_data.write_blank(records[:1], tmp_path / 'blank')


def test_majority_answers_by_question_then_by_style(tmp_path: Path) -> None:
    train = asked(
        *(vqa('What color?', answer) for answer in ('blue', 'red', 'red')),
        *(vqa('How many?', answer) for answer in ('2', '2', '2', '1')),
        *({'style': 'long_caption', 'text': text} for text in ('A cat.', 'A dog.', 'A dog.')),
        {'style': 'a_okvqa_mc', 'question': 'What color?', 'options': ['blue', 'red'], 'answer_idx': 1},
        {'style': 'pointing', 'label': 'cat', 'points': [[10, 20]], 'point_scale': 100},
    )
    responses = majority_baseline.most_frequent(train)
    assert responses['vqa2', 'What color?'] == 'red'
    assert responses['vqa2', 'How many?'] == responses['vqa2', None] == '2'
    assert responses['long_caption', None] == 'A dog.'
    assert responses['a_okvqa_mc', 'What color?'] == 'B'
    assert 'x="10.0" y="20.0"' in responses['pointing', 'cat']

    questions = (('What color?', 'red'), ('What color?', 'blue'), ('How old?', '2'), ('How many?', '1'))
    write_mds(asked(*(vqa(*question) for question in questions)), tmp_path / 'vqa')
    scores = majority_baseline.score_majority(TASKS['shapes_vqa'], MDSRecords(tmp_path / 'vqa'), responses)
    assert scores == {'vqa_score': 0.5, 'em': 0.5}, 'right are the first and, by style, the third'

    choices = ({'question': 'What color?', 'options': ['red', 'blue'], 'answer_idx': i} for i in (0, 1, 1, 1))
    write_mds(asked(*({'style': 'a_okvqa_mc', **choice} for choice in choices)), tmp_path / 'mc')
    scores = majority_baseline.score_majority(TASKS['shapes_mc'], MDSRecords(tmp_path / 'mc'), responses)
    assert scores == {'mc': 0.75}


def test_report_of_one_run(run: Path, tmp_path: Path) -> None:
    app = runpy.run_path(str(TOUR))['app']
    figure = tmp_path / 'images' / 'tour.svg'
    result = CliRunner().invoke(app, ['report', str(run), '--figure', str(figure)])
    assert result.exit_code == 0 and result.stdout == ONE_RUN
    assert figure.is_file()


def test_means_and_half_ranges_over_runs() -> None:
    names = [skill.task for skill in tour_results.SKILLS]
    low, high, base = (dict.fromkeys(names, value) for value in (70.0, 82.0, 10.0))
    runs = [tour_results.Run(model=scores, text_only=base, majority=base) for scores in (low, high, high)]
    rows = tour_results.table(runs).splitlines()
    assert '| pointing | F1 | ≥ 75 ✓ | 78.0 ± 6.0 | 10.0 ± 0.0 | 10.0 ± 0.0 |' in rows
    assert '| short answers | VQA score | ≥ 80 ✗ | 78.0 ± 6.0 | 10.0 ± 0.0 | 10.0 ± 0.0 |' in rows


def test_a_multiple_of_nothing_is_not_reached_by_nothing() -> None:
    nothing = dict.fromkeys((skill.task for skill in tour_results.SKILLS), 0.0)
    something = {**nothing, 'words': 9.0}
    table = tour_results.table([tour_results.Run(model=something, text_only=nothing, majority=nothing)])
    assert '| words | VQA score | ≥ 3 × text only ✓ | 9.0 |' in table
    assert '| clocks | within 15 minutes | ≥ 3 × text only ✗ | 0.0 |' in table


def test_of_a_task_that_was_done_twice_the_later_result_counts(run: Path) -> None:
    write_scores(run / 'eval' / 'tour-multitask', [33.0] * 9, '_test', date='2026-01-02')
    write_scores(run / 'eval' / 'tour-multitask', [44.0] * 9, '_test', date='2025-12-31')
    assert set(tour_results.read_run(run).model.values()) == {33.0}


@pytest.mark.parametrize(
    'missing, message',
    [
        ('majority.json', 'majority.json is missing'),
        ('eval-blank/tour-multitask/charts_test-2026-01-01/metrics.json', 'eval-blank has no results of charts'),
        ('eval/tour-multitask/words_test-2026-01-01/metrics.json', 'eval has no results of words'),
    ],
)
def test_what_a_run_lacks_is_named(run: Path, missing: str, message: str) -> None:
    (run / missing).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        tour_results.read_run(run)


def test_curves_have_the_steps_at_which_all_tasks_were_done(run: Path) -> None:
    assert list(tour_results.read_curves(run)) == [500, 1000]
    assert set(tour_results.read_curves(run)[1000].values()) == {50.0}
    next(run.rglob('multitask/**/*-ba500/clocks*/metrics.json')).unlink()
    assert list(tour_results.read_curves(run)) == [1000]
    next(run.rglob('multitask/**/*-ba1000/clocks*/metrics.json')).unlink()
    with pytest.raises(FileNotFoundError, match='no results of all tasks'):
        tour_results.read_curves(run)


def test_figure_names_every_skill_in_text(run: Path, tmp_path: Path) -> None:
    curves = tour_results.read_curves(run)
    for name in ('a.svg', 'b.svg'):
        tour_figure.draw([curves, {**curves, 1500: curves[1000]}], tmp_path / name)
    svg = (tmp_path / 'a.svg').read_text(encoding='utf-8')
    texts = re.findall(r'<text[^>]*>([^<]+)</text>', svg)
    assert {skill.name for skill in tour_results.SKILLS} <= set(texts)
    assert {'step of stage 2', 'held-out score (%)', 'scenes', 'reading', '1000'} <= set(texts)
    assert '1500' not in texts, 'a step of one run only'
    assert svg == (tmp_path / 'b.svg').read_text(encoding='utf-8') and len(svg) < 100_000
    with pytest.raises(ValueError, match='no common step'):
        tour_figure.draw([curves, {1500: curves[1000]}], tmp_path / 'a.svg')


@pytest.mark.parametrize('heights', [(90, 91, 92, 50, 10), (99, 99, 99, 99, 99), (0, 0, 1, 1, 0), (5, 11, 3, 60, 62)])
def test_labels_keep_apart_in_the_order_of_their_lines(heights: tuple[float, ...]) -> None:
    placed = tour_figure.apart(heights)
    assert np.diff(sorted(placed)).min() >= tour_figure.LABEL_GAP - 1e-9 and 0 <= min(placed) <= max(placed) <= 100
    assert all(placed[i] < placed[j] for i in range(5) for j in range(5) if heights[i] < heights[j]), (
        'a higher line has the higher label'
    )


def test_evaluation_asks_as_training_did() -> None:
    recipe: Any = OmegaConf.to_container(load_recipe('yamls/tour/eval.yaml'))
    training: Any = OmegaConf.to_container(load_recipe('yamls/tour/multitask.yaml'))
    model, trained = recipe['model'], training['model']
    assert (model['llm'], model['vit']) == (trained['llm'], trained['vit'])
    assert model['overrides'].items() <= trained['overrides'].items()
    assert Path(recipe['load_path']).parent == Path(training['save_folder'])
    tasks = EvalSettings.parse(recipe['evaluator']).selected_tasks()
    during = EvalSettings.parse(_without(training['callbacks']['molmo_evaluator'], 'interval')).selected_tasks()
    skills = [skill.task for skill in tour_results.SKILLS]
    assert [task.name for task in tasks] == [task.name for task in during] == skills
    assert {task.split for task in tasks} == {'test'} and {task.split for task in during} == {'validation'}


def test_make_tour_keeps_a_seed_in_its_own_folder() -> None:
    shown = subprocess.run(
        ['make', '--dry-run', '--no-print-directory', 'tour', 'SEED=18'],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.replace('\\\n', ' ')
    commands = [shlex.split(line.split('.py ')[1]) for line in shown.splitlines() if '/composer ' in line]
    recipes: list[Any] = [OmegaConf.to_container(load_recipe(words[0], words[1:])) for words in commands]
    assert [Path(words[0]).name for words in commands] == ['pretrain.yaml', 'multitask.yaml', *['eval.yaml'] * 2]
    pretrain, multitask, *evaluations = recipes
    assert {recipe['seed'] for recipe in (pretrain, multitask)} == {18}
    assert pretrain['save_folder'] == 'runs/tour-18/pretrain/checkpoints'
    assert Path(multitask['model']['pretrained']).parent == Path(pretrain['save_folder'])
    assert multitask['callbacks']['molmo_evaluator']['save_folder'] == 'runs/tour-18/multitask/eval'
    assert all(Path(recipe['load_path']).parent == Path(multitask['save_folder']) for recipe in evaluations)
    assert [recipe['evaluator']['save_folder'] for recipe in evaluations] == [
        'runs/tour-18/eval',
        'runs/tour-18/eval-blank',
    ]
    assert [recipe['evaluator']['data'] for recipe in evaluations] == [
        'data_cache/tour/{dataset}/{split}',
        'data_cache/tour/blank/{dataset}/{split}',
    ]


def _without(block: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name != key}
