# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`benchmarks/ablations.py`: its arms are recipes that can be run, and its table says what the results say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmark_module import import_benchmark
from omegaconf import DictConfig, OmegaConf

from molmo_foundry.cli.recipe import check_train_recipe, load_recipe
from molmo_foundry.data.schema import validate
from molmo_foundry.data.synthetic import make_example
from molmo_foundry.eval.settings import EvalSettings
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.presets import build_config

ablations, arms, data, tables = map(import_benchmark, ('ablations', 'ablation_arms', 'ablation_data', 'ablation_table'))


def recipe_of(arm: str) -> DictConfig:
    return load_recipe(arms.RECIPE, ablations.Run(arm, 18, Path('out'), Path('data'), 300).overrides)


def config_of(arm: str) -> MolmoConfig:
    model: Any = OmegaConf.to_container(recipe_of(arm).model)
    return build_config(model['llm'], model['vit'], **model['overrides'])


@pytest.mark.parametrize('arm', arms.ARMS)
def test_arm_is_a_recipe_that_exists(arm: str) -> None:
    recipe = recipe_of(arm)
    check_train_recipe(recipe)
    assert config_of(arm).system_prompt_kind == 'style'
    assert recipe.seed == recipe.train_loader.dataset.seed == 18 and recipe.max_duration == '300ba'
    block: Any = OmegaConf.to_container(recipe.callbacks.molmo_evaluator)
    assert block.pop('interval', '1dur') == '1dur'
    (task,) = EvalSettings.parse(block).selected_tasks()
    assert arms.ARMS[arm].score in (task.headline, *task.metrics)
    folder = f'/{arms.ARMS[arm].data}'
    assert EvalSettings.parse(block).folder_of(block['data'], task.dataset, task.split).endswith(f'{folder}/validation')
    for loader in (recipe.train_loader, *recipe.eval_loader):
        assert loader.dataset.streams.captions.local.endswith(folder)
        assert loader.dataset.overrides == recipe.model.overrides
    start = arms.ARMS[arm].start
    assert recipe.model.get('pretrained') == (start and str(Path(f'out/{start}-18/checkpoints/latest-rank0.pt')))


def test_arms_are_what_they_are_called() -> None:
    vision = {arm: config_of(arm).vision for arm in ('one-crop', 'tiles', 'overlapping-tiles')}
    assert [one.crop_mode for one in vision.values()] == ['resize', *2 * ['overlap-and-resize-c2']]
    assert [one.overlap_margins for one in vision.values()] == [[2, 2], [0, 0], [2, 2]]
    assert {(*one.image_size, one.patch_size, one.max_crops) for one in vision.values()} == {(48, 48, 6, 4)}
    assert len(config_of('base').connector.vit_layers) == 2 and len(config_of('last-layer').connector.vit_layers) == 1
    dropout = [config_of(arm) for arm in ('no-dropout', 'dropout', 'text-dropout')]
    assert [(one.residual_dropout, one.response_residual_dropout) for one in dropout] == [(0, 0), (0.1, 0), (0, 0.1)]
    clips = recipe_of('global-clip')
    assert clips.optimizer.max_grad_norm is None
    assert clips.algorithms.gradient_clipping == {'clipping_type': 'norm', 'clipping_threshold': 1.0}
    assert recipe_of('base').optimizer.max_grad_norm == 1.0


def test_findings_name_arms_and_share_them() -> None:
    assert set(arms.arms_of(arms.FINDINGS)) == set(arms.ARMS)
    assert arms.arms_of({'count': arms.FINDINGS['count']}) == ['base', 'point-then-count', 'count-only']


def test_both_ways_to_count_have_the_same_pictures_labels_and_counts() -> None:
    for index in range(20):
        scene = make_example('train', index)
        points, counts = (data.as_counting(scene, style) for style in data.STYLES.values())
        assert points.images == counts.images == scene.images and len(points.annotations) == 3
        for listed, number in zip(points.annotations, counts.annotations):
            assert listed['style'] == 'point_count' and listed['label'] == number['question']
            assert number['answers'] == [str(len(listed['points']))]
        validate(points)
        validate(counts)


def result_of(score: float, loss: float) -> Any:
    return tables.Result(score=score, loss=loss)


@pytest.mark.parametrize(
    'other, gain, found',
    [
        ((70, 72, 74), '+10.0 ± 1.6', '**same**'),
        ((90, 92, 94), '-10.0 ± 1.6', '**opposite**'),
        ((78, 80, 82), '+2.0 ± 1.6', 'not distinguishable'),  # 1.2 standard errors of the 2.8 that it takes
    ],
)
def test_row_says_how_large_and_how_sure_a_gain_is(other: tuple[float, ...], gain: str, found: str) -> None:
    """Scores of the paper's choice are 80, 82 and 84, whose mean has a standard error of 2 / sqrt(3)."""
    finding = replace(arms.FINDINGS['clip'], compares_loss=False)
    results = {
        'base': [result_of(score, 1.0) for score in (80, 82, 84)],
        'global-clip': [result_of(score, 1.0) for score in other],
    }
    cells = tables.table({'clip': finding}, results).splitlines()[-1].split(' | ')
    assert cells[4] == '82.0 ± 1.2' and cells[6] == gain and cells[7] == f'{found} |'


def test_less_loss_is_a_gain_and_one_seed_proves_nothing() -> None:
    results = {arm: [result_of(50.0, loss)] * 3 for arm, loss in (('base', 0.5), ('last-layer', 0.75))}
    lines = tables.table({'layers': arms.FINDINGS['layers']}, results).splitlines()
    assert len(lines) == 4 and '+0.0 ± 0.0 | not distinguishable' in lines[2]
    assert '0.500 ± 0.000 | 0.750 ± 0.000 | +0.250 ± 0.000 | **same**' in lines[3]
    once = {arm: values[:1] for arm, values in results.items()}
    assert '± inf | not distinguishable' in tables.table({'layers': arms.FINDINGS['layers']}, once).splitlines()[3]


def test_finished_runs_stay_and_others_come_after_what_they_start_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ['count-only', 'base', 'global-clip']
    runs = [ablations.Run(arm, 17, tmp_path, tmp_path / 'data', 300) for arm in names]
    trained: list[str] = []
    monkeypatch.setattr(ablations.Run, 'train', lambda run: trained.append(run.arm) or result_of(50.0, 1.0))
    ablations.train_all(runs, jobs=1)
    assert trained == ['base', 'count-only', 'global-clip']

    runs[1].folder.mkdir()
    saved = {'overrides': runs[1].overrides, 'result': {'score': 50.0, 'loss': 1.0}}
    (runs[1].folder / 'result.json').write_text(json.dumps(saved))
    trained.clear()
    ablations.train_all(runs, jobs=1)
    assert trained == ['count-only', 'global-clip']
    with pytest.raises(ValueError, match='made with other settings'):
        ablations.train_all([replace(run, steps=400) for run in runs], jobs=1)
