# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The table of benchmarks: every row fits its data, is scored right and wrong, and has the paper's numbers."""

from typing import Any

import pytest
from benchmark_records import benchmark_records

from molmo_foundry.data.sources import registry
from molmo_foundry.data.synthetic import DATASETS, make_example
from molmo_foundry.data.synthetic.splits import SPLITS
from molmo_foundry.eval.fields import FIELDS, references, score_example
from molmo_foundry.eval.metrics import aggregate
from molmo_foundry.eval.tasks import GROUPS, MOLMOS, PAPER, TASKS, Task, custom_task, select_tasks
from molmo_foundry.processing.formatter import Formatter

PUBLISHED = [task for task in TASKS.values() if task.dataset not in DATASETS]
RENDERED = [task for task in TASKS.values() if task.dataset in DATASETS]


@pytest.mark.parametrize('task', PUBLISHED, ids=lambda task: task.name)
def test_data_set_and_splits_exist(task: Task) -> None:
    splits = registry.get(task.dataset).splits
    assert task.split in splits
    assert task.paper_split is None or task.paper_split in splits
    assert set(task.metrics) <= set(FIELDS)


@pytest.mark.parametrize('group', GROUPS)
def test_groups_name_tasks_of_the_registry(group: str) -> None:
    tasks = select_tasks([group])
    assert len({task.label for task in tasks}) == len(tasks) == len(GROUPS[group].split())
    for task in tasks:
        assert task.split in (SPLITS if task.dataset in DATASETS else registry.get(task.dataset).splits)


def test_paper_11_has_all_of_the_papers_scores() -> None:
    """Averages of table 1 of the paper, which it rounds to one decimal; the eleven cells are rounded too."""
    tasks = select_tasks(['paper-11'])
    assert len(tasks) == 11
    means = {molmo: sum(task.paper_scores()[molmo] for task in tasks) / 11 for molmo in MOLMOS}
    assert means == pytest.approx(dict(zip(MOLMOS, (68.6, 74.6, 77.3, 81.2))), abs=0.1)


def test_paper_scores_belong_to_a_split_and_a_value() -> None:
    assert TASKS['chart_qa'].paper_scores() == {}, 'the paper tests on the test split'
    (ai2d,) = select_tasks(['ai2_diagram_v2_mix_transparent:test'])
    assert ai2d.paper_scores()['Molmo-7B-D'] == 93.2
    assert ai2d.paper_scores('mc_ai2d_opaque')['Molmo-7B-D'] == 82.4
    assert TASKS['okvqa'].paper_scores() == {}, 'the paper has no number, so there is none'
    assert all(name in TASKS for name, _ in PAPER)


def test_pixmo_count_may_finish_its_sentence() -> None:
    """Ten points of one decimal take some 160 tokens, and the total stands behind them."""
    assert TASKS['pixmo_count_counting'].max_new_tokens >= 256


def test_select() -> None:
    names = [task.label for task in select_tasks(['chart_qa:test,text_vqa', 'shapes', 'text_vqa', 'chart_qa'])]
    assert names[:2] == ['chart_qa_test', 'text_vqa'] and names[-1] == 'chart_qa' and len(names) == 8
    with pytest.raises(ValueError, match='no task .chartqa.: did you mean chart_qa'):
        select_tasks(['chartqa'])


def test_custom_task() -> None:
    own = custom_task('own', {'dataset': 'photos', 'split': 'test', 'metrics': ['em'], 'max_new_tokens': 7})
    assert (own.headline, own.max_new_tokens, own.style) == ('em', 7, None)
    assert select_tasks(['own'], {'own': own}) == [own]
    for row, message in (
        ({'dataset': 'x', 'split': 'y', 'metrics': ['em'], 'crops': 3}, 'custom_tasks.own.crops is not a key'),
        ({'dataset': 'x', 'metrics': ['em']}, 'custom_tasks.own.split is missing'),
        ({'dataset': 'x', 'split': 'y', 'metrics': ['emm']}, "no metric 'emm'"),
    ):
        with pytest.raises(ValueError, match=message):
            custom_task('own', row)


RIGHT = {
    'tally_qa': '3',
    'real_world_qa_no_instruction': 'Left.',
    'a_okvqa_mc': 'B',
    'science_qa_img': 'B',
    'ai2_diagram_v2_mix_transparent': 'B',
    'mmmu': 'B',
    'math_vista_v2': '4',
    'chart_qa': '10.4',
    'countbench_qa': 'Counting the <points x1="1.0" y1="1.0">x</points> shows a total of 4.',
    'pixmo_count_counting': 'four',
    'pointing_eval': '<point x="30.0" y="40.0" alt="cat">cat</point>',
    'pixmo_clocks': 'The time is 10:09.',
    'clock_bench': '10:09',
    'android_control_ll': 'Click(31.0, 41.0)',
    'android_control_hl_ll': 'Click(31.0, 41.0)',
    'android_control_hl': 'Click(31.0, 41.0)',
    'android_control_hl_cot': 'Plan: tap Action: Click(31.0, 41.0)',
    'pixmo_cap': 'A red square.',
}
"""A right response to the fixture of each task; to all others "a cat"."""


def facts_of(task: Task) -> dict[str, Any]:
    """What a preprocessor would tell of the first record, whose picture is 64 × 48."""
    example = benchmark_records(task.dataset)[0]
    _, metadata = Formatter()(example, inference=True, image_size=(64, 48))
    return {**example.annotations[0], **metadata, 'image_size': (64, 48), **example.metadata}


@pytest.mark.parametrize('task', PUBLISHED, ids=lambda task: task.name)
def test_right_and_wrong_responses(task: Task) -> None:
    facts = facts_of(task)
    assert references(facts) is not None
    for response, expected in ((RIGHT.get(task.name, 'a cat'), 1.0), ('', 0.0)):
        # An empty answer selects the first option, and MMMU then guesses; any wrong letter does not.
        wrong = 'A' if 'option_names' in facts else response
        scores = score_example(task.metrics, response if expected else wrong, facts, 'record')
        assert set(scores) == set(task.metrics)
        means: dict[str, float] = {}
        for metric, score in scores.items():
            means |= aggregate(metric, [score])
        assert means[task.headline or ''] == pytest.approx(expected)


@pytest.mark.parametrize('task', RENDERED, ids=lambda task: task.name)
def test_what_rendered_pictures_are_taught_is_right(task: Task) -> None:
    example = make_example(task.split, 0, dataset=task.dataset)
    example.annotations = [annotation for annotation in example.annotations if annotation['style'] == task.style][:1]
    size = example.metadata.get('width', 112), example.metadata.get('height', 112)
    (conversation,), metadata = Formatter()(example, image_size=size)
    facts = {**example.annotations[0], **metadata, 'image_size': size, **example.metadata}
    taught = conversation.turns[-1].strip()
    wrong = 'AB'[taught == 'A'] if 'options' in facts else ''
    for response, expected in ((taught, 1.0), (wrong, 0.0)):
        scores = score_example(task.metrics, response, facts, 'record')
        means = aggregate(task.metrics[0], [scores[task.metrics[0]]])
        assert means[task.headline or ''] == pytest.approx(expected)


@pytest.mark.parametrize(
    'name, hidden',
    [
        ('coco_2014_vqa', {'answers': []}),
        ('a_okvqa_mc', {'answer_idx': None}),
        ('ai2_diagram_v2_mix_transparent', {'answer_idx': None}),
        ('doc_qa', {'answers': None, 'answer': ''}),
        ('mmmu', {'answers': ['?']}),
        ('math_vista_v2', {'answer': ''}),
        ('real_world_qa_no_instruction', {'answer': ''}),
    ],
)
def test_unknown_answers_are_not_scored(name: str, hidden: dict[str, Any]) -> None:
    task = TASKS[name]
    assert score_example(task.metrics, 'a cat', {**facts_of(task), **hidden}, 'record') == {}


def test_a_record_that_lacks_something_is_named() -> None:
    facts = facts_of(TASKS['android_control_ll'])
    del facts['target_box']
    with pytest.raises(ValueError, match="record 'r7' has no 'target_box', which metric 'android_control' needs"):
        score_example(('android_control',), 'Wait', facts, 'r7')
    with pytest.raises(ValueError, match="'select_mc_option' cannot be used in a task"):
        score_example(('select_mc_option',), '', facts, 'r7')


def test_points_of_rendered_shapes_are_right_within_their_boxes() -> None:
    """The metadata of rendered records has boxes in place of masks."""
    facts = {
        'points': [[20.0, 10.0]],
        'image_size': (64, 48),
        'shapes': [{'box': [15.2, 5.0, 25.0, 15.0]}, {'box': [40.0, 30.0, 50.0, 40.0]}],
    }
    for x, y, f1 in ((20, 10, 1), (16, 14, 1), (45, 35, 0), (30, 10, 0)):
        text = f'<point x="{100 * x / 64:.1f}" y="{100 * y / 48:.1f}" alt="a">a</point>'
        scores = score_example(('pointing',), text, facts, 'record')['pointing']
        assert isinstance(scores, dict) and scores['f1'] == pytest.approx(f1)
