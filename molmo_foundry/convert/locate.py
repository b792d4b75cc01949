# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What a path or an address means: which kind of checkpoint it is, and a local copy of what lies elsewhere."""

import posixpath
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Union

from composer.utils import maybe_create_object_store_from_uri, parse_uri
from composer.utils.object_store import ObjectStore

from molmo_foundry.convert.hub import find_directory
from molmo_foundry.convert.native import sharded_advice
from molmo_foundry.convert.progress import tracked

FULL, SHARDED, NATIVE, TRANSFORMERS = 'Composer file', 'Composer sharded', 'native', 'transformers directory'

MARKS = {'.metadata': SHARDED, 'model.pt': NATIVE, 'config.json': TRANSFORMERS}
"""Files that tell what a directory holds."""

LATEST = ('latest-rank0.pt', 'latest-sharded-rank0')
"""What points to the last checkpoint of a run in its folder; Composer appends ``.symlink`` in an object store."""

FORMS = (
    'Give a Composer file (ep1-ba100-rank0.pt), a sharded Composer folder (ep1-ba100, with .metadata), the folder that '
    f'a run saves to (with {" or ".join(LATEST)}), a folder of save_pretrained or a released one (with config.json), '
    'or a native one (with model.pt and model.yaml).'
)

_HUB_ID = re.compile(r'[\w.-]+/[\w.-]+(@[\w./-]+)?')


def kind_of(path: Path) -> str:
    """What kind of checkpoint lies at a path: ``FULL``, ``SHARDED``, ``NATIVE`` or ``TRANSFORMERS``.

    Raises:
        FileNotFoundError: If there is none; of a sharded native one it says what to do.
    """
    if path.is_file():
        return FULL
    for mark, kind in MARKS.items():
        if (path / mark).is_file():
            return kind
    if advice := sharded_advice(path):
        raise FileNotFoundError(advice)
    problem = f'has none of {", ".join(MARKS)}' if path.is_dir() else 'does not exist'
    raise FileNotFoundError(f'No checkpoint at {path}: it {problem}. {FORMS}')


def latest_of(path: Path) -> Path:
    """The last checkpoint of a run, if ``path`` is the run's folder of checkpoints; else ``path`` itself."""
    links = [path / name for name in LATEST if (path / name).exists()]
    return max(links, key=lambda link: link.stat().st_mtime).resolve() if links else path


@contextmanager
def local_copy(source: Union[str, Path]) -> Iterator[Path]:
    """A path to what lies at ``source``.

    Args:
        source (str | Path): A path; the URI of an object store (``s3://…``), from which a checkpoint, or the last one
            of a run's folder, is downloaded to a temporary directory; or the id of a repository of the Hugging Face
            hub (``id@revision``), which stays in the hub's cache.

    Yields:
        Path: Gone when the block ends, if it was temporary.

    Raises:
        FileNotFoundError: If there is nothing.
    """
    backend, _, remote = parse_uri(str(source))
    if not backend:
        is_hub_id = not Path(source).exists() and _HUB_ID.fullmatch(str(source))
        yield find_directory(source) if is_hub_id else Path(source)
        return
    store = maybe_create_object_store_from_uri(str(source))
    assert store is not None, f'{backend} is an object store'
    with tempfile.TemporaryDirectory() as folder, store:
        yield _download(store, remote.rstrip('/'), Path(folder), str(source))


def _download(store: ObjectStore, remote: str, folder: Path, source: str) -> Path:
    """Downloads the object called ``remote``, or all below it, or what Composer's link there points to."""
    names = set(store.list_objects(remote))
    links = [f'{name}.symlink' for name in (remote, *(f'{remote}/{latest}' for latest in LATEST))]
    if link := next((name for name in links if name in names), None):
        store.download_object(link, str(folder / 'link'))
        target = posixpath.basename((folder / 'link').read_text().strip())
        return _download(store, posixpath.join(posixpath.dirname(link), target), folder, source)
    found = [remote] if remote in names else [name for name in names if name.startswith(f'{remote}/')]
    if not found:
        raise FileNotFoundError(f'No checkpoint at {source}: there are no such objects. {FORMS}')
    root = folder / posixpath.basename(remote)
    for name in tracked(sorted(found), f'download {source}', unit='file'):
        store.download_object(name, str(root) + name.removeprefix(remote))
    return root
