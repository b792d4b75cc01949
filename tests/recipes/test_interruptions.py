# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A run of two ranks that keeps its checkpoints in a bucket: killed, told to end, and each time begun on an empty disk.

It ends with the weights of a run that nobody disturbed. The bucket is moto's, on this machine.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import boto3
import psutil
import pytest
import torch

from molmo_foundry.data.mds import write_mds
from molmo_foundry.data.synthetic import make_examples
from molmo_foundry.model.composer_model import ComposerMolmo
from molmo_foundry.train.preemption import SIGNALS

moto_server = pytest.importorskip('moto.server', reason='needs moto[server], of the extra "test"')
pytestmark = pytest.mark.proof

REPOSITORY = Path(__file__).parents[2]
STEPS, SAVED, PATIENCE = 24, 4, 400
GRACE = 30
"""Seconds between a signal and the end of the run; Composer's launcher and clusters leave no more."""

BUCKET, LATEST = 'molmo', 'interrupted/latest-sharded-rank0.symlink'


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('shapes')
    for split, count in (('train', 40), ('validation', 7)):
        write_mds(make_examples(split, count, 0), folder / split)
    return folder


@pytest.fixture(scope='module')
def bucket(monkeypatch_module: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 with one empty bucket, which child processes find by their environment."""
    server = moto_server.ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        'AWS_ACCESS_KEY_ID': 'test',
        'AWS_SECRET_ACCESS_KEY': 'test',
        'AWS_DEFAULT_REGION': 'us-east-1',
        'S3_ENDPOINT_URL': f'http://{host}:{port}',
    }
    for name, value in environment.items():
        monkeypatch_module.setenv(name, value)
    client = boto3.client('s3', endpoint_url=environment['S3_ENDPOINT_URL'])
    client.create_bucket(Bucket=BUCKET)
    yield client
    server.stop()


@pytest.fixture(scope='module')
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


class Run:
    """One start of the run; its disk is a folder of its own."""

    def __init__(self, data: Path, disk: Path, save_folder: str):
        disk.mkdir(parents=True)
        self.scratch = tempfile.TemporaryDirectory()  # its path is short, as those of sockets below it have to be
        self.disk, self.log = disk, disk / 'log.txt'
        overrides = [
            f'variables.data={data}',
            f'variables.run_folder={disk}',
            f'save_folder={save_folder}',
            'run_name=interrupted',
            f'max_duration={STEPS}ba',
            f'save_interval={SAVED}ba',
            f'eval_interval={STEPS}ba',
            'global_train_batch_size=4',
            'device_train_microbatch_size=1',
            'device_eval_batch_size=2',
            'fsdp_config.state_dict_type=sharded',
            'model.init_device=mixed',
            'model.activation_checkpointing={blocks: all}',
            'load_path=null',
        ]
        script = [str(REPOSITORY / 'scripts/train.py'), str(REPOSITORY / 'yamls/tiny/pretrain.yaml')]
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'composer.cli.launcher', '-n', '2', *script, *overrides],
            cwd=disk,
            stdout=self.log.open('w'),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'TMPDIR': self.scratch.name},
        )

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.02)

    def finish(self, status: int = 0) -> None:
        assert self.process.wait(timeout=PATIENCE) == status, self.log.read_text()[-4000:]

    def rows(self) -> list[dict[str, float]]:
        path = self.disk / 'metrics.jsonl'
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith('\n')]

    def losses(self) -> dict[int, float]:
        return {row['step']: row['loss/train/total'] for row in self.rows() if 'loss/train/total' in row}


class Watch:
    """Looks at the bucket while runs write to it: what `latest` points to must be whole, with its index and shards."""

    def __init__(self, bucket: Any):
        self.bucket, self.seen, self.wrong = bucket, set(), []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self.over.wait(0.1):
            if LATEST in keys(self.bucket):
                latest = self.bucket.get_object(Bucket=BUCKET, Key=LATEST)['Body'].read().decode().strip()
                found = {key.removeprefix(f'{latest}/') for key in keys(self.bucket) if key.startswith(f'{latest}/')}
                self.seen.add(latest)
                if not {'.metadata', '__0_0.distcp', '__1_0.distcp'} <= found:
                    self.wrong.append((latest, found))

    def __enter__(self) -> 'Watch':
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.over.set()
        self.thread.join()


def keys(bucket: Any) -> set[str]:
    return {entry['Key'] for entry in bucket.list_objects_v2(Bucket=BUCKET).get('Contents', [])}


def name_of(step: int) -> str:
    """Folder of a step's checkpoint; ten steps go through the forty records."""
    return f'ep{(step - 1) // 10}-ba{step}'


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return ComposerMolmo(llm='tiny', vit='tiny', pretrained=str(checkpoint)).state_dict()


def test_run_survives_kill_and_preemption_on_empty_disks(data: Path, bucket: Any, tmp_path: Path) -> None:
    whole = Run(data, tmp_path / 'whole', str(tmp_path / 'whole/checkpoints'))
    whole.finish()
    remote = f's3://{BUCKET}/interrupted'

    with Watch(bucket) as watch:
        killed = Run(data, tmp_path / 'killed', remote)
        killed.wait_until(lambda: LATEST in keys(bucket))
        os.killpg(killed.process.pid, signal.SIGKILL)
        killed.process.wait()
        assert max(killed.losses()) < STEPS, 'killed too late to prove anything'
        shutil.rmtree(killed.disk)

        told, last = [], 0
        for number in SIGNALS:
            run = Run(data, tmp_path / f'told-{number}', remote)
            run.wait_until(lambda run=run: len(run.losses()) >= 2)
            sent = time.monotonic()
            for process in psutil.Process(run.process.pid).children(recursive=True):
                process.send_signal(number)  # ranks, loaders and uploaders alike, as a cluster does
            run.finish(status=75)
            assert time.monotonic() - sent < GRACE
            assert min(run.losses()) > max(1, last), 'the bucket was not resumed from'
            last = max(run.losses())
            assert last < STEPS, 'told too late to prove anything'
            assert f'interrupted/{name_of(last)}/.metadata' in keys(bucket)
            latest = bucket.get_object(Bucket=BUCKET, Key=LATEST)['Body'].read().decode().strip()
            assert latest == f'interrupted/{name_of(last)}'
            assert f'step {last} is saved' in run.log.read_text()
            told.append(run)

        resumed = Run(data, tmp_path / 'resumed', remote)
        resumed.finish()
    assert len(watch.seen) >= 3 and not watch.wrong, watch.wrong
    assert min(resumed.losses()) == last + 1
    expected = whole.losses()
    for run in (*told, resumed):
        assert run.losses() == {step: expected[step] for step in run.losses()}

    kept = {key.split('/')[1] for key in keys(bucket) if key.endswith('/.metadata')}
    assert {name_of(step) for step in range(SAVED, STEPS + 1, SAVED)} <= kept, 'checkpoints of a bucket stay'
    final = tmp_path / 'final'
    for key in keys(bucket):
        if key.startswith(f'interrupted/{name_of(STEPS)}/'):
            final.mkdir(exist_ok=True)
            bucket.download_file(BUCKET, key, str(final / Path(key).name))
    actual = weights(final)
    for name, tensor in weights(tmp_path / 'whole/checkpoints/latest-sharded-rank0').items():
        assert torch.equal(tensor, actual[name]), name

    metrics = [row for row in whole.rows() if 'metrics/eval/validation/ce' in row][-1]
    assert metrics['metrics/eval/validation/ce'] == pytest.approx(held_out_loss(data, final), rel=1e-5)


def held_out_loss(data: Path, checkpoint: Path) -> float:
    """Cross-entropy by loss weight over the seven held-out records, one at a time on one process."""
    from molmo_foundry.cli.recipe import load_recipe
    from molmo_foundry.data.dataloader import build_molmo_dataloader
    from molmo_foundry.processing.tokenizer import MolmoTokenizer

    recipe = load_recipe('tiny/pretrain', [f'variables.data={data}'])
    block = {key: value for key, value in recipe.eval_loader[0].items() if key not in ('label', 'name')}
    loader = build_molmo_dataloader(MolmoTokenizer('tiny', vocab_size=1024), 1, **block).dataloader
    overrides = dict(recipe.variables.overrides)
    model = ComposerMolmo(llm='tiny', vit='tiny', overrides=overrides, pretrained=str(checkpoint)).eval()
    with torch.no_grad():
        sums = [model(batch).loss_sums for batch in loader]
    assert len(sums) == 7
    return (sum(s.ce for s in sums) / sum(s.weight for s in sums)).item()
