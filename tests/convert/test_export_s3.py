# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints and exports in an object store, which moto stands in for."""

from pathlib import Path
from typing import Any, Iterator

import boto3
import checkpoint_worker
import pytest
import torch
from checkpoint_states import assert_equal, expected_of
from hub_models import random_molmo
from moto import mock_aws
from moto.server import ThreadedMotoServer
from safetensors.torch import load_file
from typer.testing import CliRunner

from molmo_foundry import MolmoForCausalLM
from molmo_foundry.cli.convert import app
from molmo_foundry.convert.export import export
from molmo_foundry.model.composer_model import ComposerMolmo


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket called ``runs``."""
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', 'testing')
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', 'testing')
    monkeypatch.setenv('AWS_DEFAULT_REGION', 'us-east-1')
    monkeypatch.delenv('S3_ENDPOINT_URL', raising=False)
    with mock_aws():
        client = boto3.client('s3')
        client.create_bucket(Bucket='runs')
        yield client


def names(bucket: Any) -> list[str]:
    return [item['Key'] for item in bucket.list_objects_v2(Bucket='runs').get('Contents', [])]


@pytest.mark.parametrize('by', ['name', 'link', 'folder'])
def test_a_checkpoint_in_s3(run: Path, bucket: Any, tmp_path: Path, by: str) -> None:
    """Named itself, by Composer's link to the last one, or by the folder of a run, which holds older ones too."""
    latest = (run / 'checkpoints' / 'latest-rank0.pt').resolve()
    link = 'latest-rank0.pt' if latest.is_file() else 'latest-sharded-rank0'
    for path in [latest] if latest.is_file() else latest.iterdir():
        bucket.upload_file(str(path), 'runs', f'mine/{path.relative_to(latest.parent)}')
    bucket.put_object(Bucket='runs', Key=f'mine/{link}.symlink', Body=f'mine/{latest.name}'.encode())
    bucket.put_object(Bucket='runs', Key='mine/ep0-ba0-rank0.pt', Body=b'older')
    bucket.put_object(Bucket='runs', Key='mine2/ep0-ba0-rank0.pt', Body=b"another run's")
    name = {'name': f'mine/{latest.name}', 'link': f'mine/{link}', 'folder': 'mine'}[by]
    export(f's3://runs/{name}', tmp_path / 'out')
    expected = torch.load(run / 'expected.pt', weights_only=True)
    actual = load_file(tmp_path / 'out' / 'model.safetensors')
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[key], value) for key, value in expected.items())


def test_what_is_not_in_s3_is_named(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='s3://runs/mine/absent.pt: there are no such objects'):
        export('s3://runs/mine/absent.pt', tmp_path / 'out')
    assert list(tmp_path.iterdir()) == []


def test_to_s3_and_back(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_molmo()
    model.save_pretrained(tmp_path / 'ours')
    arguments = ['export', str(tmp_path / 'ours'), '--out', 's3://runs/exports/mine/']
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert names(bucket) == [f'exports/mine/{path}' for path in ('README.md', *FILES)]
    export('s3://runs/exports/mine', tmp_path / 'back')
    back = MolmoForCausalLM.from_pretrained(tmp_path / 'back').state_dict()
    assert all(torch.equal(back[key], value) for key, value in model.state_dict().items())
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1 and 's3://runs/exports/mine/ exists already and is not empty' in again.output


FILES = ('config.json', 'generation_config.json', 'model.safetensors')


def test_an_upload_that_breaks_off_leaves_no_model(bucket: Any, tmp_path: Path, monkeypatch: Any) -> None:
    from composer.utils import S3ObjectStore

    random_molmo().save_pretrained(tmp_path / 'ours')
    upload = S3ObjectStore.upload_object

    def broken(store: Any, object_name: str, filename: str, **kwargs: Any) -> None:
        if object_name.endswith('.safetensors'):
            raise OSError('the network is gone')
        upload(store, object_name, filename, **kwargs)

    monkeypatch.setattr(S3ObjectStore, 'upload_object', broken)
    with pytest.raises(OSError, match='the network is gone'):
        export(tmp_path / 'ours', 's3://runs/mine')
    assert 'mine/config.json' not in names(bucket)
    with pytest.raises(FileNotFoundError, match=r'No checkpoint at .*mine: it has none of \.metadata'):
        export('s3://runs/mine', tmp_path / 'back')


@pytest.fixture
def served_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket called ``runs`` that other processes reach too."""
    server = ThreadedMotoServer('127.0.0.1', port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {'S3_ENDPOINT_URL': f'http://{host}:{port}', 'AWS_DEFAULT_REGION': 'us-east-1'}
    for name, value in {**settings, 'AWS_ACCESS_KEY_ID': 'testing', 'AWS_SECRET_ACCESS_KEY': 'testing'}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client('s3', endpoint_url=settings['S3_ENDPOINT_URL'])
    client.create_bucket(Bucket='runs')
    yield client
    server.stop()


@pytest.mark.proof
def test_a_run_exports_to_s3(served_bucket: Any, tmp_path: Path) -> None:
    """By the callback, whose uploads run in processes of their own; then back, and on from it by `pretrained`."""
    checkpoint_worker.run(tmp_path, exports='s3://runs/exports', save_folder='s3://runs/checkpoints')
    source = 's3://runs/exports/huggingface/ba1'
    export(source, tmp_path / 'back')
    back = MolmoForCausalLM.from_pretrained(tmp_path / 'back', torch_dtype='auto')
    assert_equal(back.state_dict(), expected_of(tmp_path), torch.bfloat16)
    for start, dtype in ((source, torch.bfloat16), ('s3://runs/checkpoints', torch.float32)):
        model = ComposerMolmo(llm='tiny', vit='tiny', overrides=checkpoint_worker.OVERRIDES, pretrained=start)
        expected = {key: value.to(dtype).float() for key, value in expected_of(tmp_path).items()}
        assert_equal(dict(model.model.state_dict()), expected)
