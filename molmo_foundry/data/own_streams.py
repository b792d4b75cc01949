# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Streams of a recipe that name a source instead of MDS; they are converted before the first batch.

```yaml
streams:
  photos: {source: photos.csv, columns: {image: file, question: q, answer: a}}
```

reads what `molmo-foundry data convert photos.csv --columns …` would write. That is kept: the next run finds it, and
one that was killed goes on. A source that has changed is converted anew, to another folder.
"""

from typing import Any, Mapping

SOURCE_KEYS = (
    'source',
    'columns',
    'group_by_image',
    'hold_out_every',
    'image_cache',
    'config',
    'revision',
    'skip_bad',
)
"""Keys of a stream that only a source takes; they mean what the options of `molmo-foundry data convert` mean."""


def convert_sources(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert the sources that a `dataset` block names.

    Args:
        dataset (Mapping): The block.

    Returns:
        Mapping: The block with MDS in place of sources.

    Raises:
        ValueError: If a key is wrong, or a record is bad; names it.
        FileNotFoundError: If there is nothing at a source.
    """
    streams = dataset.get('streams')
    if not isinstance(streams, Mapping):
        return dataset
    converted = {
        name: _converted(f'dataset.streams.{name}', keys)
        for name, keys in streams.items()
        if isinstance(keys, Mapping) and set(keys) & {*SOURCE_KEYS}
    }
    return {**dataset, 'streams': {**streams, **converted}} if converted else dataset


def without_sources(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """The block as if its sources were MDS already; for who asks how a recipe reads, not what."""
    streams = dataset.get('streams')
    if not isinstance(streams, Mapping):
        return dataset
    named = {
        name: {'local': keys['source'], **{key: value for key, value in keys.items() if key not in SOURCE_KEYS}}
        for name, keys in streams.items()
        if isinstance(keys, Mapping) and 'source' in keys
    }
    return {**dataset, 'streams': {**streams, **named}}


def _converted(where: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a stream that reads what its source was converted to."""
    from molmo_foundry.data.convert.for_stream import convert_source  # imports what most runs do not need

    own = {key: keys[key] for key in SOURCE_KEYS if key in keys}
    stream = {key: value for key, value in keys.items() if key not in SOURCE_KEYS}
    if 'source' not in own:
        raise ValueError(f'{where}.{next(iter(own))} is about a source, but the stream names none; set {where}.source.')
    if stream.get('remote'):
        raise ValueError(
            f'{where} has both source and remote; let `molmo-foundry data convert` write to the bucket first.'
        )
    local = convert_source(where, split=stream.get('split'), local=stream.get('local'), **own)
    return {**stream, 'local': local, 'split': None}
