# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Every recipe: its keys, its numbers, its model, and that the command line finds it."""

import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
from llmfoundry.utils.builders import build_algorithm, build_callback, build_logger, build_optimizer, build_scheduler
from llmfoundry.utils.config_utils import TRAIN_CONFIG_KEYS, TrainConfig, make_dataclass_and_log_config
from mcli import RunConfig
from omegaconf import DictConfig, OmegaConf
from typer.testing import CliRunner

from molmo_foundry.cli.recipe import RECIPES, check_train_recipe, find_recipe, load_recipe, recipe_names
from molmo_foundry.cli.recipes import app
from molmo_foundry.cli.train import set_up
from molmo_foundry.data.own_streams import without_sources
from molmo_foundry.data.packing.config import PlannedConfig, asks_for_plan
from molmo_foundry.data.packing.mixture import parse_mixture
from molmo_foundry.model.composer_model import ComposerMolmo
from molmo_foundry.model.presets import LLM_PRESETS, VIT_PRESETS, build_config
from molmo_foundry.train.preemption import EXIT_CODE
from molmo_foundry.train.settings import read_settings

NAMES = recipe_names()
LLMS, VITS = (sorted(name for name in presets if presets[name].source) for presets in (LLM_PRESETS, VIT_PRESETS))
OF_THE_PAPER = ('qwen2_7b', 'qwen2_72b', 'olmo_1024_preview', 'olmoe')
PAIRS = [(llm, vit) for llm in LLMS for vit in VITS if llm in OF_THE_PAPER or vit == 'openai']

# Table 6 of the paper; what it leaves open as in the public code.
PAPER: dict[str, dict[str, Any]] = {
    'pretrain': {'lr': (2e-4, 6e-6, 2e-5), 'warmup': (200, 2000, 2000), 'steps': 22300, 'batch': 128},
    'pretrain_molmoe': {'lr': (2e-4, 6e-6, 2e-5), 'warmup': (200, 2000, 2000), 'steps': 22300, 'batch': 128},
    'multitask': {'lr': (5e-6, 5e-6, 1e-5), 'warmup': (200, 200, 200), 'steps': 32000, 'batch': 256},
    'multitask_molmoe': {'lr': (5e-6, 5e-6, 2e-5), 'warmup': (200, 200, 200), 'steps': 30000, 'batch': 256},
}
STAGE_1 = {
    'prompt_type': 'none',
    'message_formatting': 'none',
    'system_prompt_kind': 'style_and_length',
    'residual_dropout': 0.0,
    'response_residual_dropout': 0.1,
}
STAGE_2 = {
    'prompt_type': 'uber_model',
    'message_formatting': 'role',
    'system_prompt_kind': 'demo_or_style',
    'multi_annotation_weighting': 'root_subsegments',
    'residual_dropout': 0.1,
    'response_residual_dropout': 0.0,
}

WEIGHTS = ('pretrained', 'llm_weights', 'vit_weights')


def plain(block: DictConfig) -> dict[str, Any]:
    content = OmegaConf.to_container(block, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def meta_model(recipe: DictConfig, init_device: str = 'meta') -> ComposerMolmo:
    """The recipe's model, by default without memory: nothing is loaded, all else is as in a run."""
    block = {key: value for key, value in plain(recipe.model).items() if key not in ('name', *WEIGHTS)}
    return ComposerMolmo(**{**block, 'init_device': init_device})


def test_there_are_the_recipes_that_the_documents_name() -> None:
    stages = {'pretrain', 'multitask', 'finetune', 'pretrain_molmoe', 'multitask_molmoe'}
    tiny = {'tiny/pretrain', 'tiny/multitask', 'tiny/finetune', 'tiny/finetune_lora'}
    assert stages | tiny <= set(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_recipe_is_what_llm_foundry_and_the_builders_take(name: str) -> None:
    """The whole configuration as `train` reads it, then each block by what would build it."""
    assert find_recipe(name).read_text().split('variables:')[0].strip().startswith('#'), 'variables do not come first'
    recipe = load_recipe(name)
    check_train_recipe(recipe)
    _, config = make_dataclass_and_log_config(recipe, TrainConfig, TRAIN_CONFIG_KEYS, transforms='all')
    assert config.max_seq_len == recipe.train_loader.dataset.max_seq_len
    for key, value in plain(recipe.callbacks).items():
        build_callback(key, value, train_config=plain(recipe))
    for key, value in plain(recipe.algorithms).items():
        build_algorithm(key, value)
    for key, value in plain(recipe.loggers).items():
        build_logger(key, value)
    scheduler = plain(recipe.scheduler)
    build_scheduler(scheduler.pop('name'), scheduler)
    for loader in (recipe.train_loader, *recipe.eval_loader):
        dataset = without_sources(plain(loader.dataset))
        if asks_for_plan(dataset):
            parse_mixture(PlannedConfig.parse(dataset).__dict__)
        assert build_config(dataset['llm'], dataset['vit'], **dataset['overrides'])
        for key in ('llm', 'vit', 'overrides', 'max_seq_len'):
            assert dataset[key] == {**plain(recipe.model), 'max_seq_len': config.max_seq_len}[key], key


@pytest.mark.parametrize('name', NAMES)
def test_model_and_optimizer_of_recipe(name: str) -> None:
    recipe = load_recipe(name)
    lora = recipe.model.get('lora') is not None
    model = meta_model(recipe, init_device='cpu' if lora else 'meta')  # low-rank updates are made of weights
    block = plain(recipe.optimizer)
    optimizer = build_optimizer(model, block.pop('name'), block)
    trained = {'connector', 'vit', 'llm'} - set(recipe.model.get('freeze', []))
    assert {group['component'] for group in optimizer.param_groups} == trained


@pytest.mark.parametrize('llm, vit', PAIRS)
def test_stage_1_takes_any_pair_by_two_variables(llm: str, vit: str) -> None:
    recipe = load_recipe('pretrain', [f'variables.llm={llm}', f'variables.vit={vit}'])
    model = meta_model(recipe)
    expected = build_config(llm, vit, **plain(recipe.variables.overrides))
    fields = [{k: v for k, v in c.to_dict().items() if k[0] != '_'} for c in (model.molmo_config, expected)]
    assert fields[0] == fields[1]
    assert recipe.model.llm_weights == LLM_PRESETS[llm].source
    assert recipe.model.vit_weights == VIT_PRESETS[vit].source
    tokens = plain(recipe.tokenizer.kwargs)
    assert tokens.get('image_token_start', tokens.get('vocab_size')) == expected.image_token_start


@pytest.mark.parametrize('name', PAPER)
def test_numbers_are_the_papers(name: str) -> None:
    recipe = load_recipe(name)
    block = plain(recipe.optimizer)
    assert block.pop('name') == 'molmo_adamw'
    settings = [read_settings(block)[component] for component in ('connector', 'vit', 'llm')]
    paper = PAPER[name]
    assert tuple(own.lr for own in settings) == paper['lr']
    assert tuple(own.warmup for own in settings) == paper['warmup']
    assert {(own.betas, own.eps, own.weight_decay) for own in settings} == {((0.9, 0.95), 1e-6, 0.0)}
    assert {(own.schedule, own.alpha_f, own.warmup_min_lr) for own in settings} == {('cosine', 0.1, 0.0)}
    assert {own.max_grad_norm for own in settings} == {1.0}
    assert recipe.max_duration == f'{paper["steps"]}ba'
    assert recipe.global_train_batch_size == paper['batch']
    assert recipe.max_seq_len == 2304 and recipe.seed == 6198 and recipe.device_train_microbatch_size == 4
    assert recipe.train_loader.dataset.seed == (95818 if 'pretrain' in name else 50189)
    assert recipe.model.z_loss_weight == 1e-4 and recipe.accumulate_train_batch_on_tokens
    assert recipe.precision == 'amp_bf16'
    types = {'param_dtype': 'bf16', 'reduce_dtype': 'fp32', 'buffer_dtype': 'fp32'}
    assert recipe.fsdp_config == {'state_dict_type': 'sharded', 'mixed_precision': types}
    assert plain(recipe.model.overrides) == (STAGE_1 if 'pretrain' in name else STAGE_2)


@pytest.mark.parametrize('name', ['pretrain', 'multitask', 'finetune'])
def test_mcli_accepts_the_job(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # mcli warns of unknown fields
        job = RunConfig.from_file(RECIPES / 'mcli' / f'{name}.yaml')
    assert job.name and job.image and job.compute['gpus'] % 8 == 0
    command = job.command.replace('\\\n', ' ').split()
    start = command.index('scripts/train.py')
    overrides = [part for part in command[start + 2 :] if '=' in part]
    check_train_recipe(load_recipe(command[start + 1], overrides))


def test_slurm_job_is_a_script_that_requeues_on_the_code_of_preemption() -> None:
    script = RECIPES / 'slurm' / 'train.sbatch'
    subprocess.run(['bash', '-n', str(script)], check=True)
    assert f'"$status" -eq {EXIT_CODE}' in script.read_text()


def test_command_line_lists_shows_and_copies(tmp_path: Path) -> None:
    runner = CliRunner()
    listed = runner.invoke(app, ['list']).output
    assert all(name in listed for name in NAMES) and 'mixtures' not in listed and 'eval' not in listed.split()
    shown = runner.invoke(app, ['show', 'tiny/pretrain']).output
    assert shown == (RECIPES / 'tiny/pretrain.yaml').read_text()

    copied = runner.invoke(app, ['copy', 'finetune', str(tmp_path)])
    assert copied.exit_code == 0 and (tmp_path / 'finetune.yaml').read_text() == (RECIPES / 'finetune.yaml').read_text()
    (tmp_path / 'finetune.yaml').write_text('mine')
    again = runner.invoke(app, ['copy', 'finetune', str(tmp_path)])
    assert again.exit_code == 1 and (tmp_path / 'finetune.yaml').read_text() == 'mine'
    assert runner.invoke(app, ['copy', 'finetune', str(tmp_path), '--force']).exit_code == 0
    assert (tmp_path / 'finetune.yaml').read_text() != 'mine'

    unknown = runner.invoke(app, ['show', 'pretrian'])
    assert unknown.exit_code == 1 and "'pretrain'" in unknown.output


@pytest.mark.parametrize('name', ['pretrain', 'yamls/pretrain.yaml', 'pretrain.yaml'])
def test_recipes_are_found_from_anywhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name) == RECIPES / 'pretrain.yaml'
    own = tmp_path / 'own.yaml'
    own.write_text('variables: {}\n')
    assert find_recipe(str(own)) == own


def test_too_long_a_path_for_temporary_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loader workers could not open their sockets, and torch would wait for them forever."""
    monkeypatch.setattr('tempfile.tempdir', '/tmp/' + 'x' * 80)
    with pytest.raises(ValueError, match='Set TMPDIR to a shorter one'):
        set_up(())
