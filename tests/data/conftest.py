# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Small MDS folders that the data tests read."""

import os
from pathlib import Path
from typing import Iterator

import pytest
from conversions import files, run, write_own

from molmo_foundry.data.mds import write_mds
from molmo_foundry.data.packing.node_files import FOLDER_VARIABLE
from molmo_foundry.data.synthetic import make_examples
from molmo_foundry.processing.types import Example

os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')  # workers are forked


@pytest.fixture(scope='session', autouse=True)
def own_node_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Plans that fixtures make go to a folder of this session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp('node')))
        yield


@pytest.fixture(scope='session')
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in data set, small: 40 records in train/, 7 in validation/, over several shards."""
    folder = tmp_path_factory.mktemp('shapes')
    for split, count in (('train', 40), ('validation', 7)):
        write_mds(make_examples(split, count), folder / split, shard_bytes=1 << 15)
    return folder


@pytest.fixture(scope='session')
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight records without images."""
    folder = tmp_path_factory.mktemp('texts') / 'mds'
    write_mds((Example(f'text-{i}', [], [{'question': f'{i}?', 'answer': str(i)}]) for i in range(8)), folder)
    return folder


@pytest.fixture(scope='module')
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Own data to convert: as many rows as `ROWS` of the test module says."""
    return write_own(tmp_path_factory.mktemp('own'), request.module.ROWS)


@pytest.fixture(scope='module')
def done(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files that a conversion of `source` makes that nothing disturbs."""
    out = tmp_path_factory.mktemp('done') / 'mds'
    run(source, out)
    return files(out)
