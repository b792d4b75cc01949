# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Directories that appear whole or not at all, here or in an object store."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Union

from composer.utils import maybe_create_object_store_from_uri, parse_uri

from molmo_foundry.convert.progress import tracked

LAST = ('config.json', 'model.pt')
"""Files without which a directory is no model: in an object store they come last."""


@contextmanager
def staged_output(target: Union[str, Path]) -> Iterator[Path]:
    """A temporary directory that goes to ``target`` when the block ends without an error.

    Args:
        target (str | Path): A directory that does not exist or is empty; or the URI of one in an object store
            (``s3://…``), to which files are uploaded from the disk's temporary directory. An upload that breaks off
            leaves neither of `LAST`, so what is there is not taken for a model.

    Yields:
        Path: Where to write. It is removed if the block fails.

    Raises:
        FileExistsError: If something is there already.
    """
    backend, _, remote = parse_uri(str(target))
    if not backend:
        with staged_directory(Path(target)) as staging:
            yield staging
        return
    store, prefix = maybe_create_object_store_from_uri(str(target)), remote.rstrip('/')
    assert store is not None, f'{backend} is an object store'
    with store, tempfile.TemporaryDirectory() as folder:
        if store.list_objects(f'{prefix}/'):
            raise FileExistsError(f'{target} exists already and is not empty; choose another directory.')
        yield Path(folder)
        files = sorted(Path(folder).iterdir(), key=lambda path: (path.name in LAST, path.name))
        for path in tracked(files, f'upload to {target}', unit='file'):
            store.upload_object(f'{prefix}/{path.name}', str(path))


@contextmanager
def staged_directory(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary directory beside ``target`` that takes its name when the block ends without an error.

    Args:
        target (Path): Must not exist, or be empty.
        overwrite (bool): Whether an existing directory is replaced instead.

    Yields:
        Path: Where to write. It is removed if the block fails.

    Raises:
        FileExistsError: If ``target`` is there already.
    """
    if target.exists() and not overwrite and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f'{target} exists already and is not empty; choose another directory.')
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f'.{target.name}.', dir=target.parent))
    try:
        yield staging
        staging.chmod(0o755)
        if overwrite and target.exists():
            with tempfile.TemporaryDirectory(prefix=f'.{target.name}.', dir=target.parent) as old:
                target.rename(Path(old) / target.name)
                staging.rename(target)
        else:
            staging.rename(target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
