# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Conversion to a bucket, on a server of this machine that speaks S3, and training data streamed back from it."""

from pathlib import Path
from typing import Any, Iterator

import boto3
import pytest
from conversions import files, open_rows, run, write_own
from tiny_runs import TRAINED_STEPS, train_tiny

from molmo_foundry.data.convert import Settings, convert_parts, merge, open_store
from molmo_foundry.data.convert.s3 import S3Error, S3Store
from molmo_foundry.data.dataloader import build_molmo_dataloader
from molmo_foundry.processing.tokenizer import MolmoTokenizer

moto = pytest.importorskip('moto.server', reason='needs the extra "test"')

ROWS = 50
URL = 's3://data/own/train'


@pytest.fixture(scope='module')
def endpoint() -> Iterator[str]:
    server = moto.ThreadedMotoServer('127.0.0.1', port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f'http://{host}:{port}'
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket ``data``."""
    environment = {
        'S3_ENDPOINT_URL': endpoint,
        'AWS_ACCESS_KEY_ID': 'test',
        'AWS_SECRET_ACCESS_KEY': 'test',
        'AWS_DEFAULT_REGION': 'us-east-1',
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    bucket = boto3.resource('s3', endpoint_url=endpoint).create_bucket(Bucket='data')
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()


def _objects(bucket: Any) -> dict[str, bytes]:
    objects = {found.key: found.get()['Body'].read() for found in bucket.objects.all()}
    return {key.removeprefix('own/train/'): data for key, data in objects.items()}


def test_a_bucket_holds_what_a_folder_would(bucket: Any, source: Path, done: dict[str, bytes]) -> None:
    assert run(source, URL).report.records == ROWS
    assert _objects(bucket) == done
    assert run(source, URL).report.records == ROWS, 'a second run finds it done'


def test_streaming_from_the_bucket(bucket: Any, source: Path, tmp_path: Path) -> None:
    run(source, URL)
    block = {
        'streams': {'own': {'remote': 's3://data/own', 'local': str(tmp_path / 'cache'), 'split': 'train'}},
        **{'llm': 'tiny', 'vit': 'tiny', 'max_seq_len': 1024, 'shuffle': True, 'seed': 3},
    }
    tokenizer = MolmoTokenizer('tiny', vocab_size=1024)
    loader = build_molmo_dataloader(tokenizer, 5, block, drop_last=True, num_workers=0).dataloader
    batches = list(loader)
    ids = [metadata['id'] for batch in batches for metadata in batch['metadata']]
    assert len(batches) == ROWS // 5 and sorted(ids) == [f'shapes-train-{i:06d}' for i in range(ROWS)]
    assert all(batch['images'].any() for batch in batches)


def test_training_on_the_bucket(bucket: Any, source: Path, tmp_path: Path) -> None:
    """The tiny recipe, by its script, reads its records from the bucket and learns from them."""
    run(source, URL)
    streams = {
        split: {'remote': URL, 'local': str(tmp_path / 'cache' / split), 'styles': ['long_caption']}
        for split in ('train', 'validation')
    }
    rows = train_tiny(tmp_path, streams, global_train_batch_size=4)
    losses = [row['loss/train/total'] for row in rows if 'loss/train/total' in row]
    assert len(losses) == TRAINED_STEPS and losses[-1] < losses[0] - 0.3, losses
    assert len(list((tmp_path / 'cache/train').rglob('*.mds'))) > 1, 'several shards came from the bucket'


def test_going_on_in_a_bucket(bucket: Any, source: Path, done: dict[str, bytes], tmp_path: Path) -> None:
    """What counts as finished is a part.json, whatever else was uploaded of a part."""
    run(source, URL)
    for name in ('index.json', 'part-00001/part.json'):
        bucket.Object(f'own/train/{name}').delete()
    kept = bucket.Object('own/train/part-00000/shard.00000.mds').last_modified
    run(source, URL)
    assert _objects(bucket) == done
    assert bucket.Object('own/train/part-00000/shard.00000.mds').last_modified == kept


def test_workers_in_a_bucket(bucket: Any, source: Path, done: dict[str, bytes]) -> None:
    for worker in (1, 0):
        settings = Settings(worker=worker, num_workers=2, rows_per_part=16, shard_bytes=1 << 15)
        convert_parts(open_rows(source), open_store(URL), settings, lambda rows: None)
    merge(open_store(URL))
    assert _objects(bucket) == done


def test_same_ids_in_a_bucket(bucket: Any, tmp_path: Path) -> None:
    source = write_own(tmp_path / 'own', 40, row_39={'id': 'shapes-train-000000'})
    assert run(source, URL, skip_bad=True).report.records == 39
    run(source, tmp_path / 'mds', skip_bad=True)
    assert _objects(bucket) == files(tmp_path / 'mds')


def test_a_bucket_in_use(bucket: Any, source: Path) -> None:
    bucket.put_object(Key='own/train/notes.txt', Body=b'mine')
    with pytest.raises(FileExistsError, match='s3://data/own/train is not an empty folder'):
        run(source, URL)
    assert _objects(bucket) == {'notes.txt': b'mine'}


def test_no_bucket(bucket: Any, endpoint: str) -> None:
    with pytest.raises(S3Error, match=rf'Cannot open s3://other/x \(at {endpoint}\): .*404'):
        S3Store('s3://other/x')
    with pytest.raises(ValueError, match='s3://data must name a bucket and a prefix'):
        S3Store('s3://data')
