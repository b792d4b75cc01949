# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The tiny recipes through the real launcher: two ranks under FSDP2, killed and resumed, and errors by name.

Every process imports Composer for some ten seconds, so there are few runs and each proves several things.
"""

import html
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import mlflow
import pytest
import torch

from molmo_foundry.data.mds import write_mds
from molmo_foundry.data.synthetic import make_examples

REPOSITORY = Path(__file__).parents[2]
RECIPE = 'yamls/tiny/pretrain.yaml'
STEPS, SAVED = 6, 2


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few rendered records as MDS."""
    folder = tmp_path_factory.mktemp('shapes')
    for split, count in (('train', 40), ('validation', 8)):
        write_mds(make_examples(split, count, 0), folder / split)
    return folder


LOGGERS = ('wandb', 'mlflow', *(['tensorboard'] if find_spec('tensorboard') else []))


@pytest.fixture(scope='module')
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run that nobody disturbed, with every logger there is, W&B offline."""
    run = tmp_path_factory.mktemp('runs') / 'whole'
    loggers = {
        'wandb': 'project: molmo',
        'mlflow': f'experiment_name: molmo, tracking_uri: {run}/mlflow, log_system_metrics: false',
        'tensorboard': f'log_dir: {run}/tensorboard',
    }
    shown = [f'loggers.{name}={{{loggers[name]}}}' for name in LOGGERS]
    environment = {'WANDB_MODE': 'offline', 'WANDB_DIR': str(run), 'WANDB_DATA_DIR': str(run / 'wandb-data')}
    finish(launch(data, run, *shown, 'log_to_console=true', 'console_log_interval=1ba', **environment), run)
    return run


def overrides(data: Path, run: Path) -> list[str]:
    return [
        f'variables.data={data}',
        f'variables.run_folder={run}',
        f'max_duration={STEPS}ba',
        f'save_interval={SAVED}ba',
        f'eval_interval={STEPS}ba',
        'global_train_batch_size=4',
        'device_train_microbatch_size=1',
    ]


def launch(data: Path, run: Path, *further: str, **environment: str) -> subprocess.Popen:
    composer = [sys.executable, '-m', 'composer.cli.launcher', '-n', '2']
    run.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [*composer, 'scripts/train.py', RECIPE, *overrides(data, run), *further],
        cwd=REPOSITORY,
        stdout=(run / 'log.txt').open('a'),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1', **environment},
    )


def finish(process: subprocess.Popen, run: Path) -> None:
    assert process.wait(timeout=400) == 0, (run / 'log.txt').read_text()[-4000:]


def final_weights(run: Path) -> dict[str, torch.Tensor]:
    path = run / 'checkpoints' / f'ep0-ba{STEPS}-rank0.pt'
    # Composer's checkpoints hold more than tensors; this one was written by this very test.
    return torch.load(path, weights_only=False)['state']['model']


def test_killed_run_resumes_to_the_same_weights(data: Path, whole: Path, tmp_path: Path) -> None:
    killed = tmp_path / 'killed'
    process = launch(data, killed)
    deadline = time.monotonic() + 400
    while not (killed / 'checkpoints' / 'latest-rank0.pt').exists():
        assert process.poll() is None and time.monotonic() < deadline, (killed / 'log.txt').read_text()[-4000:]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / 'checkpoints' / f'ep0-ba{STEPS}-rank0.pt').exists(), 'killed too late to prove anything'
    finish(launch(data, killed), killed)

    expected, actual = final_weights(whole), final_weights(killed)
    assert expected.keys() == actual.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, actual[name]), name

    rows = [[json.loads(line) for line in (run / 'metrics.jsonl').open()] for run in (whole, killed)]
    losses = [{row['step']: row['loss/train/total'] for row in run if 'loss/train/total' in row} for run in rows]
    assert losses[0] == losses[1] and sorted(losses[0]) == list(range(1, STEPS + 1))
    assert (killed / 'loss.png').stat().st_size > 10_000


def documented() -> set[str]:
    """Metrics of the table in docs/training.md, as a run of the tiny recipe on a CPU logs them."""
    table = (REPOSITORY / 'docs/training.md').read_text().split('| metric | what it tells |')[1].split('\n\n')[0]
    names = set()
    for name in re.findall(r'`([^`]+)`', '\n'.join(line.split('|')[1] for line in table.splitlines()[2:])):
        filled = name.replace('<name>', 'captions').replace('<label>', 'validation')
        for one in itertools.product(*(part.split(',') for part in re.split(r'[{}]', filled))):
            names |= {''.join(one).replace('<component>', c) for c in ('connector', 'vit', 'llm')}
    return {name for name in names if not name.endswith('…') and name != 'flops/device/mfu' and 'memory' not in name}


def test_every_metric_of_the_documents_is_logged(whole: Path) -> None:
    logged = {key for line in (whole / 'metrics.jsonl').open() for key in json.loads(line)}
    names = documented()
    assert len(names) > 30 and not names - logged, names - logged
    assert {'metrics/eval/validation/streams/captions/ce', 'throughput/device/tokens_per_second'} <= logged
    assert {
        f'{key}/{c}' for key in ('max_grad_norm', 'clip_coefficient') for c in ('connector', 'vit', 'llm')
    } <= logged


def test_console_logger(whole: Path) -> None:
    """On standard error, as Composer does."""
    log = (whole / 'log.txt').read_text()
    assert log.count('Train loss/train/total:') == STEPS
    assert 'Eval metrics/eval/validation/ce:' in log


def test_wandb_offline_has_metrics_and_a_table_of_samples(whole: Path) -> None:
    (record,) = whole.glob('wandb/offline-run-*/run-*.wandb')
    content = record.read_bytes()
    assert b'loss/train/total' in content and b'metrics/eval/validation/ce' in content
    tables = [json.loads(path.read_text()) for path in whole.glob('wandb/*/files/media/table/samples/*.table.json')]
    assert tables, 'no table'
    for table in tables:
        assert table['columns'] == ['step', 'id', 'prompt', 'prediction', 'reference', 'picture']
        assert [row[0] for row in table['data']] == [STEPS] * 4


def test_mlflow_has_metrics_samples_and_pictures(whole: Path) -> None:
    client = mlflow.MlflowClient(f'{whole}/mlflow')
    experiment = client.get_experiment_by_name('molmo')
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, 'loss/train/total')
    rows = [json.loads(line) for line in (whole / 'metrics.jsonl').open()]
    logged = [row['loss/train/total'] for row in rows if 'loss/train/total' in row]
    assert [point.value for point in history] == pytest.approx(logged)
    folder = whole / 'mlflow' / experiment.experiment_id / run.info.run_id / 'artifacts'
    assert len(json.loads((folder / 'samples/validation.json').read_text())['data']) == 4
    assert len(list((folder / 'images').glob('*.png'))) == 4


@pytest.mark.skipif('tensorboard' not in LOGGERS, reason="needs pip install 'tensorboard<2.20'")
def test_tensorboard_has_metrics_and_pictures(whole: Path) -> None:
    content = b''.join(path.read_bytes() for path in whole.glob('tensorboard/**/events.*') if path.is_file())
    assert content.count(b'loss/train/total') >= STEPS and b'samples/validation' in content


def test_page_of_samples_shows_pictures_and_what_they_are_about(whole: Path) -> None:
    page = (whole / 'samples' / f'validation-step{STEPS}.html').read_text()
    assert page.count('<img') == page.count('data:image/jpeg;base64,/9j/') == 4
    examples = list(make_examples('validation', 8, 0))
    for example in examples[::2]:  # spread evenly, and divided between the ranks
        caption = next(a['text'] for a in example.annotations if a['style'] == 'long_caption')
        assert example.id in page and html.escape(caption) in page
    places = [page.index(example.id) for example in examples[::2]]
    assert places == sorted(places)


ERRORS = {
    'unknown_key': (['max_duraton=3ba'], ["Unknown key 'max_duraton'", "'max_duration'"]),
    'unknown_model_key': (['model.lm=tiny'], ["Unknown key 'lm' in `model`", "'llm'"]),
    'unknown_preset': (['variables.llm=qwen3_7b'], ["no language model preset 'qwen3_7b'", 'qwen2_7b']),
    'missing_data': (['variables.data=/nowhere/shapes'], ['/nowhere/shapes', 'molmo-foundry data']),
    'wrong_tokenizer': (['tokenizer.kwargs.vocab_size=1100'], ['<im_start>', '1100', '1024']),
    'corrupt_image': (['variables.data={corrupt}'], ['corrupt-7', 'image']),
}

DRIVER = """
import json, sys, io, contextlib
from molmo_foundry.cli.train import main
results = {}
for name, argv in json.load(sys.stdin).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(argv)
    results[name] = [status, err.getvalue()]
print('RESULTS' + json.dumps(results))
"""


def test_errors_name_what_is_wrong(data: Path, tmp_path: Path) -> None:
    """One process runs all cases, so that Composer is imported once."""
    from streaming import MDSWriter

    from molmo_foundry.data.schema import COLUMNS, to_sample

    corrupt = tmp_path / 'corrupt'
    for split in ('train', 'validation'):
        with MDSWriter(out=str(corrupt / split), columns=COLUMNS) as writer:
            for example in make_examples(split, 4, 0):
                example.id, example.images = 'corrupt-7', [example.images[0][:200]]
                writer.write(to_sample(example, [(128, 128)]))
    cases = {
        name: [RECIPE, *overrides(data, tmp_path / name), *(o.format(corrupt=corrupt) for o in changed)]
        for name, (changed, _) in ERRORS.items()
    }
    done = subprocess.run(
        [sys.executable, '-c', DRIVER],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=400,
        check=False,
    )
    assert 'RESULTS' in done.stdout, done.stderr[-4000:]
    results = json.loads(done.stdout.split('RESULTS')[1])
    for name, (_, expected) in ERRORS.items():
        status, message = results[name]
        assert status == 1, name
        assert message.startswith('error: ') and 'Traceback' not in message, (name, message)
        for part in expected:
            assert part in message, (name, message)
