# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Packs of data that lies in a bucket: fetched ahead of the plan, and within a budget of disk."""

import time
from pathlib import Path
from typing import Any, Iterator

import boto3
import pytest
from planned_data import leave_no_traces, planned_dataset
from torch.utils.data import DataLoader

from molmo_foundry.data.mds import write_mds
from molmo_foundry.data.synthetic import make_examples

moto = pytest.importorskip('moto.server', reason='needs the extra "test"')

RECORDS = 24


@pytest.fixture(autouse=True)
def without_traces(tmp_path: Path) -> Iterator[None]:
    yield from leave_no_traces(tmp_path / 'tmp')


@pytest.fixture
def uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The local copy of what lies at ``s3://far/mds``: small shards, and the length index."""
    write_mds(make_examples('train', RECORDS), tmp_path / 'mds', shard_bytes=1 << 14)
    planned_dataset({'a': {'local': str(tmp_path / 'mds')}})  # makes the index
    server = moto.ThreadedMotoServer('127.0.0.1', port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        'S3_ENDPOINT_URL': f'http://{host}:{port}',
        'AWS_ACCESS_KEY_ID': 'test',
        'AWS_SECRET_ACCESS_KEY': 'test',
        'AWS_DEFAULT_REGION': 'us-east-1',
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client('s3', endpoint_url=f'http://{host}:{port}')
    client.create_bucket(Bucket='far')
    for file in (tmp_path / 'mds').iterdir():
        client.upload_file(str(file), 'far', f'mds/{file.name}')
    yield tmp_path / 'mds'
    server.stop()


def stream(local: Path) -> dict[str, Any]:
    return {'a': {'remote': 's3://far/mds', 'local': str(local), 'download_retry': 1}}


def shards(folder: Path) -> list[Path]:
    return [file for file in folder.glob('*.mds') if file.stat().st_size]


def test_workers_read_a_bucket_within_a_disk_budget(uploaded: Path, tmp_path: Path) -> None:
    sizes = [shard.stat().st_size for shard in shards(uploaded)]
    limit = 4 * max(sizes) + (uploaded / 'index.json').stat().st_size
    # Streaming counts a shard when it has arrived, so each further process may be one shard ahead of the limit.
    most = limit + max(sizes)
    assert sum(sizes) > most, 'the test needs more data'
    dataset = planned_dataset(stream(tmp_path / 'cache'), cache_limit=limit, shuffle_block_size=8)
    assert not shards(tmp_path / 'cache'), 'the index must spare reading the shards'
    loader = DataLoader(dataset, batch_size=4, num_workers=2, collate_fn=list)
    rows = [row for batch in loader for row in batch]
    ids = sorted(name for row in rows for name in row.metadata['ids'] if name)
    assert ids == [f'shapes-train-{i:06d}' for i in range(RECORDS)]
    assert not any(row.metadata['stats']['placeholders'] for row in rows)
    assert sum(shard.stat().st_size for shard in shards(tmp_path / 'cache')) <= most


def test_shards_are_fetched_ahead_of_the_plan(uploaded: Path, tmp_path: Path) -> None:
    dataset = planned_dataset(stream(tmp_path / 'cache'))
    rows = iter(dataset)
    examples = next(rows).metadata['stats']['examples']
    assert examples < RECORDS <= dataset.predownload, 'eight batches ahead'
    deadline = time.monotonic() + 60
    while len(shards(tmp_path / 'cache')) < len(shards(uploaded)):
        assert time.monotonic() < deadline, 'only what was read is there'
    assert sum(row.metadata['stats']['examples'] for row in rows) == RECORDS - examples
