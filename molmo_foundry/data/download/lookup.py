# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""From a URL to its file in the cache."""

from contextlib import closing
from pathlib import Path
from typing import Iterable, Iterator, Optional, Union

from molmo_foundry.data.download.manifest import StoredImages
from molmo_foundry.data.download.options import ImageUrl
from molmo_foundry.data.download.store import ImageStore


class CachedImages:
    """What `download_images` has put into a cache directory; opens its manifest once.

    Pickled, it is no more than the path: each process opens the manifest for itself.

    Args:
        cache_dir (str | Path): The cache directory.

    Raises:
        FileNotFoundError: If the cache directory has no manifest.
    """

    def __init__(self, cache_dir: Union[str, Path]):
        self.cache_dir = Path(cache_dir)
        self._stored = StoredImages(self.cache_dir)
        self._files = ImageStore(self.cache_dir)

    def __reduce__(self) -> tuple[type['CachedImages'], tuple[Path]]:
        return CachedImages, (self.cache_dir,)

    def path(self, image: Union[ImageUrl, str]) -> Optional[Path]:
        """The verified file of an image, or None if it was not downloaded.

        Args:
            image (ImageUrl | str): The image, or its URL. Where a SHA-256 is given, only bytes with that SHA-256 count.
        """
        sha256 = self._stored.find(image if isinstance(image, ImageUrl) else ImageUrl(image))
        path = None if sha256 is None else self._files.path(sha256)
        return path if path is not None and path.exists() else None

    def read(self, url: str, sha256: Optional[str] = None) -> Optional[bytes]:
        """The bytes of an image, or None if it was not downloaded."""
        path = self.path(ImageUrl(url, sha256))
        return None if path is None else path.read_bytes()

    def close(self) -> None:
        """Close the manifest."""
        self._stored.close()


def cached_paths(images: Iterable[Union[ImageUrl, str]], cache_dir: Union[str, Path]) -> Iterator[Optional[Path]]:
    """Find the files of many images; see `CachedImages`."""
    with closing(CachedImages(cache_dir)) as cached:
        yield from map(cached.path, images)


def cached_path(image: Union[ImageUrl, str], cache_dir: Union[str, Path]) -> Optional[Path]:
    """Find the file of one image; see `CachedImages`, which is quicker for many."""
    return next(cached_paths([image], cache_dir))
