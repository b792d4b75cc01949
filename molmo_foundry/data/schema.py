# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The record schema: what a data set may say about its images, and how a record lies in MDS.

A record is a `processing.types.Example`; in MDS it has the five columns of `COLUMNS`. The images are the *original*
encoded files, so nothing is lost or re-encoded: N times (uint32 little-endian length, bytes), N = 0 for text only.

An annotation is a mapping with keys of `ANNOTATION_KEYS`: one way to ask and one way to answer. Its `style` is free,
since own data may have styles of its own. What only scoring needs belongs in the record's `metadata`.
"""

import json
import struct
from typing import Any, Optional

from molmo_foundry.processing.formatter import Formatter
from molmo_foundry.processing.image_io import ImageError, decode_image
from molmo_foundry.processing.types import Example

COLUMNS = {'id': 'str', 'images': 'bytes', 'sizes': 'json', 'annotations': 'json', 'metadata': 'json'}
"""MDS columns with their encodings. `sizes` is [[width, height], …] in pixels as displayed, EXIF rotation applied."""

CARD = 'dataset_card.json'
"""File beside the shards of converted data that says what they hold; see `data.convert.card`."""

ANNOTATION_KEYS = {
    'style': 'kind of task; named in the prompt, see `processing.styles`; without it, text is as a user would write it',
    'weight': 'factor on the loss, at least 0; 1 if left out',
    'messages': 'a whole conversation: texts in turn, the user first, or mappings with role and content',
    'prompt': 'what is asked, word for word',
    'question': 'what is asked; options follow it',
    'label': 'what to point at or count, written in lower case; a sentence that asks for it is made up',
    'label_cased': 'the same, its case kept',
    'options': 'choices of a multiple-choice question, lettered A, B, …',
    'unlabelled_options': 'choices shown without letters',
    'answer_idx': 'index of the right option, from 0',
    'points': '[[x, y], …] that answer a style pointing or point_count; may be empty',
    'point_scale': 'what a side of the image measures in the units of points, 100 for percent; pixels if left out',
    'answers': 'several answers, of which the most common one is learned',
    'answer': 'one answer',
    'answer_annotations': 'mappings of points (percent), inline_text and alt_text for each <|POINT|> in answer',
    'answer_with_points': 'one answer with point tags written out',
    'text': 'one answer that needs no question, such as a caption',
}
"""What an annotation may hold, and what it means."""

Sizes = list[tuple[int, int]]
"""Width and height of each image in pixels, as displayed."""

_FORMATTER = Formatter()


class RecordError(ValueError):
    """A record that cannot be used; the message names the record, the key and what is wrong with it."""


def validate(example: Example, image_size: Optional[tuple[int, int]] = None) -> None:
    """Check a record against the schema, by writing it out as training would; images are left to `data.mds`.

    Args:
        example (Example): The record.
        image_size (tuple[int, int], optional): Width and height of its image, which points in pixels need.

    Raises:
        RecordError: With the record's id, the annotation, the key and what is wrong with it.
    """
    if not isinstance(example.id, str) or not example.id.strip():
        raise RecordError(f'record {example.id!r}: id must be a string that is not empty.')
    for index, annotation in enumerate(example.annotations):
        where = f'record {example.id!r}, annotations[{index}]'
        if not isinstance(annotation, dict):
            raise RecordError(f'{where} must be a mapping, not {type(annotation).__name__}.')
        for key in annotation:
            if key not in ANNOTATION_KEYS:
                raise RecordError(
                    f'{where}: {key} is no key of the schema; there are {", ".join(ANNOTATION_KEYS)}. '
                    "What only scoring needs goes into the record's metadata."
                )
        if not isinstance(annotation.get('style', ''), str):
            raise RecordError(f'{where}: style must be a string, not {annotation["style"]!r:.100}.')
    try:
        _FORMATTER(example, image_size=image_size)
    except ValueError as error:
        raise RecordError(str(error)) from error
    if not isinstance(example.metadata, dict):
        raise RecordError(f'record {example.id!r}: metadata must be a mapping, not {type(example.metadata).__name__}.')
    try:
        json.dumps([example.annotations, example.metadata], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RecordError(f'record {example.id!r} cannot be written as JSON: {error}.') from error


def image_sizes(example: Example) -> Sizes:
    """Sizes of images that really decode.

    JPEG files are decoded at an eighth of their size, which reads all of their bytes in a quarter of the time.

    Raises:
        ImageError: If one does not decode; says which.
    """
    sizes = []
    for index, image in enumerate(example.images):
        if not isinstance(image, bytes):
            raise ImageError(f'images[{index}] must be the bytes of a file, not {type(image).__name__}')
        try:
            height, width = decode_image(image, enough=lambda height, width: (1, 1)).size
        except ImageError as error:
            raise ImageError(f'images[{index}]: {error}') from error
        sizes.append((width, height))
    return sizes


def pack_images(images: list[bytes]) -> bytes:
    """Join encoded images into the `images` column: N times (uint32 little-endian length, bytes)."""
    return b''.join(struct.pack('<I', len(image)) + image for image in images)


def unpack_images(column: bytes) -> list[bytes]:
    """Split the `images` column into encoded images.

    Raises:
        ValueError: If the lengths do not add up to the column's.
    """
    images, start = [], 0
    while start < len(column):
        if start + 4 > len(column):
            raise ValueError(f'the images column is cut off at byte {start} of {len(column)}')
        (length,) = struct.unpack_from('<I', column, start)
        image = column[start + 4 : start + 4 + length]
        if len(image) < length:
            raise ValueError(f'the images column is cut off: image {len(images)} should have {length} bytes')
        images.append(image)
        start += 4 + length
    return images


def to_sample(example: Example, sizes: list[tuple[int, int]]) -> dict[str, Any]:
    """Lay a record out in the MDS columns.

    Args:
        example (Example): A valid record; its images are encoded files.
        sizes (list[tuple[int, int]]): Width and height of each image in pixels, as displayed.
    """
    return {
        'id': example.id,
        'images': pack_images(example.images),
        'sizes': [list(size) for size in sizes],
        'annotations': example.annotations,
        'metadata': example.metadata,
    }


def from_sample(sample: dict[str, Any]) -> Example:
    """Make a record of an MDS sample; the images stay encoded.

    Raises:
        RecordError: If the sample does not have the columns of `COLUMNS`, or its images column is cut off.
    """
    missing = [column for column in COLUMNS if column not in sample]
    if missing:
        raise RecordError(
            f'sample {sample.get("id", "without id")!r}: no column {", ".join(missing)}; '
            'this MDS was not written by `molmo-foundry data`.'
        )
    try:
        images = unpack_images(sample['images'])
    except ValueError as error:
        raise RecordError(f'record {sample["id"]!r}: {error}.') from error
    return Example(sample['id'], images, sample['annotations'], sample['metadata'])
