# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The images of a row of own data: what names them, and the bytes behind a name.

An image is a path relative to the file, absolute or as ``file://``; a ``data:…;base64,`` URL; a URL that
`molmo-foundry data download` has fetched; bytes; or a mapping of ``bytes`` and ``path``, as tables of the hub have it,
whose paths may be ``hf://…`` or ``zip://…``.
"""

import base64
import binascii
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Mapping, Optional

from molmo_foundry.data.download import CachedImages
from molmo_foundry.data.sources.file_slice import FileSlice

IMAGE_KEYS = ('image', 'images', 'file_name')

_REMOTE = ('http://', 'https://')
_DATA = 'data:'
_FILE = 'file://'


class RowError(ValueError):
    """What is wrong with a row.

    Args:
        reason (str): A word to count it by: ``bad_row``, ``bad_conversation``, ``image_missing``, ….
        detail (str): What is missing or wrong.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def images_of(values: Mapping[str, Any]) -> list[Any]:
    """What a row says of its images.

    Raises:
        RowError: If it says it twice, or `images` is no list.
    """
    given = [key for key in IMAGE_KEYS if key in values]
    if len(given) > 1:
        raise RowError('bad_row', f'has both {" and ".join(given)}; let one of them name all images.')
    if given != ['images']:
        return [values[key] for key in given]
    if not isinstance(values['images'], (list, tuple)):
        raise RowError('bad_row', f'image must be a path, images a list of paths, not {values["images"]!r:.200}.')
    return list(values['images'])


def image_bytes(image: Any, folder: Path, cache: Optional[Path], where: str) -> bytes:
    """The encoded file of an image.

    Args:
        image: What the row says; see the top of this file.
        folder (Path): What paths are relative to.
        cache (Path, optional): Folder of downloaded images.
        where (str): Which image of the row, for errors.

    Raises:
        RowError: If it cannot be had.
    """
    if isinstance(image, dict) and ('bytes' in image or 'path' in image):
        image = image['path'] if image.get('bytes') is None else image['bytes']
    if isinstance(image, bytes):
        return image
    try:
        if isinstance(image, FileSlice):
            return image.read()
        if isinstance(image, str) and not image.startswith((*_REMOTE, _DATA)):
            path = image.removeprefix(_FILE)
            return _read_by_datasets(path) if '://' in path else (folder / path).read_bytes()
    except (OSError, ValueError) as error:
        raise RowError('image_missing', f'{where} cannot be read: {error}; paths are relative to {folder}.') from error
    if not isinstance(image, str):
        raise RowError('bad_row', f'image must be a path, images a list of paths, not {image!r:.200}.')
    return _decode_data_url(image, where) if image.startswith(_DATA) else _downloaded(image, cache, where)


def _decode_data_url(url: str, where: str) -> bytes:
    head, _, data = url.partition(',')
    if not head.endswith(';base64'):
        raise RowError('bad_row', f'{where} is a data: URL that is not in base64: {head!r:.50}.')
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise RowError('bad_row', f'{where} is no valid data: URL: {error}.') from error


def _read_by_datasets(url: str) -> bytes:
    from datasets.utils.file_utils import xopen

    with xopen(url, 'rb') as file:
        return file.read()


def _downloaded(url: str, cache: Optional[Path], where: str) -> bytes:
    if cache is None:
        raise RowError(
            'image_missing',
            f'{where} is a URL; get it by `molmo-foundry data download … --cache FOLDER`, then give --image-cache '
            'FOLDER.',
        )
    image = _opened(cache, os.getpid()).read(url)
    if image is None:
        raise RowError('image_missing', f'{where} was not downloaded to {cache}: {url}')
    return image


@lru_cache(maxsize=1)
def _opened(cache: Path, process: int) -> CachedImages:
    """The cache, opened once a process; a child must not use what its parent opened."""
    return CachedImages(cache)
