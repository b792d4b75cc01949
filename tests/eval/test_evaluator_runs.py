# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`scripts/eval.py` through the real launcher: every task, one and two ranks under FSDP2, killed and resumed.

Every process imports Composer for some ten seconds, so there are four runs and they share what they compute.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from benchmark_records import SHAPES, save_model, write_benchmarks

from molmo_foundry.data.mds import write_mds
from molmo_foundry.data.synthetic import DATASETS, make_examples
from molmo_foundry.eval.predictions import METRICS_FILE, PREDICTIONS
from molmo_foundry.eval.tasks import TASKS

REPOSITORY = Path(__file__).parents[2]
MANY = 61
"""Records of a task that is long enough to be killed in the middle."""

Results = dict[str, Path]


@pytest.fixture(scope='module')
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data of all tasks and a model."""
    home = tmp_path_factory.mktemp('eval')
    write_benchmarks(home / 'data')
    write_mds(make_examples('train', MANY), home / 'data' / 'many' / 'validation')
    save_model(home / 'model')
    return home


def launch(home: Path, out: str, ranks: int, *tasks: str) -> subprocess.Popen:
    many = '{dataset: many, split: validation, metrics: [caption], style: long_caption, headline: word_f1}'
    (home / out).mkdir(exist_ok=True)
    return subprocess.Popen(
        [
            *(sys.executable, '-m', 'composer.cli.launcher', '-n', str(ranks), 'scripts/eval.py'),
            'yamls/tiny/eval.yaml',
            f'variables.run_folder={home / out}',
            f'load_path={home / "model"}',
            'name=model',
            'model={name: molmo}',
            'tokenizer=null',
            f'evaluator.tasks=[{",".join(tasks)}]',
            f'evaluator.custom_tasks.many={many}',
            f'evaluator.data={home}/data/{{dataset}}/{{split}}',
            'evaluator.batch_size=2',
            'evaluator.max_new_tokens=24',
            'evaluator.max_crops=4',
            f'evaluator.report={str(ranks == 1).lower()}',
        ],
        cwd=REPOSITORY,
        stdout=(home / out / 'log.txt').open('a'),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )


def finish(process: subprocess.Popen, home: Path, out: str) -> Results:
    """Waits for a run; its results by task."""
    assert process.wait(timeout=400) == 0, (home / out / 'log.txt').read_text()[-4000:]
    return {json.loads(path.read_text())['task']['label']: path.parent for path in (home / out).rglob(METRICS_FILE)}


def summary(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / METRICS_FILE).read_text())
    del content['date']
    return content


def predictions(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / PREDICTIONS).read_text().splitlines()]


@pytest.fixture(scope='module')
def whole(home: Path) -> Results:
    """All tasks on one rank, in one piece."""
    return finish(launch(home, 'whole', 1, *TASKS, 'many'), home, 'whole')


def test_every_task_runs(home: Path, whole: Results) -> None:
    assert set(whole) == {*TASKS, 'many'}
    for name, task in TASKS.items():
        expected = SHAPES if task.dataset in DATASETS else 3 if task.dataset == 'coco_2014_vqa' else 1
        rows = predictions(whole[name])
        assert [row['index'][0] for row in rows] == list(range(expected)), 'each record once, in order'
        assert task.headline in summary(whole[name])['metrics']
        assert all(set(row['scores']) == set(task.metrics) for row in rows)
    assert (home / 'whole' / 'model' / 'index.html').exists()
    ends = [row['finished'] for row in predictions(whole['many'])]
    assert 5 < sum(ends) < MANY - 5, 'the model should end some responses and ramble in others'
    assert len({len(row['prediction']) for row in predictions(whole['many'])}) > 5


def test_two_ranks_under_fsdp2_give_the_same(home: Path, whole: Results) -> None:
    """Bit for bit: questions are batched alike. Most tasks have one chunk, so one rank has nothing to ask."""
    sharded = finish(launch(home, 'sharded', 2, *TASKS), home, 'sharded')
    assert set(sharded) == set(TASKS)
    for name, folder in sharded.items():
        assert (folder / PREDICTIONS).read_bytes() == (whole[name] / PREDICTIONS).read_bytes()
        assert summary(folder) == summary(whole[name])
        assert folder.name == whole[name].name, 'the key of results does not depend on ranks'
        assert sorted(path.name for path in folder.iterdir()) == [METRICS_FILE, PREDICTIONS]


@pytest.mark.proof
def test_killed_run_resumes(home: Path, whole: Results) -> None:
    process = launch(home, 'killed', 2, 'many')
    deadline = time.monotonic() + 400

    def logs() -> list[Path]:
        return sorted((home / 'killed').rglob('under-way-*'))

    while sum(log.read_bytes().count(b'\n') for log in logs()) < 6:
        assert process.poll() is None and time.monotonic() < deadline, (home / 'killed' / 'log.txt').read_text()[-4000:]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not list((home / 'killed').rglob(METRICS_FILE)), 'killed too late to prove anything'

    # What is done is marked, and the last line of a file torn, as a kill may leave it.
    done = 0
    for index, log in enumerate(logs()):
        rows = [json.loads(line) for line in log.read_bytes().split(b'\n')[:-1]]
        for row in rows:
            for prediction in row['predictions']:
                prediction['metadata']['done before'] = True
        done += sum(len(row['predictions']) for row in rows[: len(rows) - (index == 0)])
        text = ''.join(json.dumps(row) + '\n' for row in rows)
        log.write_text(text[:-30] if index == 0 else text)

    resumed = finish(launch(home, 'killed', 2, 'many'), home, 'killed')['many']
    rows = predictions(resumed)
    assert sum(row['metadata'].pop('done before', False) for row in rows) == done > 0
    assert rows == predictions(whole['many'])
    assert summary(resumed) == summary(whole['many'])
    assert len({tuple(row['index']) for row in rows}) == len(rows) == MANY
