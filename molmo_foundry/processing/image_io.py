# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""From whatever holds an image to RGB pixels: uint8 (H, W, 3), upright.

| source | what is read |
| --- | --- |
| encoded file (bytes or path), Pillow image | the first frame, turned as its EXIF orientation says |
| numpy array, uint8 or uint16 | (H, W) grey or (H, W, 1 to 4) grey, grey and alpha, RGB, RGB and alpha |
| torch tensor, uint8 | the same with channels first, as torchvision has it |

8-bit levels are kept, 16-bit ones scaled to 8. Transparent pixels show a white page. (The reference drops the alpha
channel, which turns the background of many a diagram black; opaque images come out equal.)
"""

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional, Union

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

ImageSource = Union[bytes, bytearray, memoryview, str, os.PathLike, Image.Image, np.ndarray, 'torch.Tensor']

DEFAULT_MAX_PIXELS = 89_478_485
"""Pillow's own limit of what is no decompression bomb: a quarter of a gigabyte of RGB."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""

_ORIENTATION_TAG = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
"""Orientations whose stored rows are columns."""

_HEADROOM = 1.5
"""How much larger than needed an image is decoded at least; with none, text loses 6 levels on average."""


class ImageError(ValueError):
    """An image that cannot be used. The message says why; callers put the record's id in front."""


@dataclass(frozen=True)
class DecodedImage:
    """Pixels, and how large the picture they show really is.

    Attributes:
        pixels: (H, W, 3) uint8.
        size: Height and width in the file. Larger than H and W if the image was decoded at a reduced scale.
    """

    pixels: np.ndarray
    size: tuple[int, int]


def load_image(source: ImageSource, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Decodes an image at its full size.

    Args:
        source (ImageSource): See the table above.
        max_pixels (int): Refuse files with more pixels than this, before decoding them. Pillow itself refuses twice
            the default unless ``PIL.Image.MAX_IMAGE_PIXELS`` is raised too. Default: ``DEFAULT_MAX_PIXELS``.

    Returns:
        np.ndarray: (H, W, 3) uint8.

    Raises:
        ImageError: If the source is missing, not an image, corrupt, truncated, too large or of a type not listed.
    """
    return decode_image(source, max_pixels=max_pixels).pixels


def decode_image(
    source: ImageSource,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    enough: Optional[Callable[[int, int], tuple[int, int]]] = None,
) -> DecodedImage:
    """Decodes an image, large JPEG files at a reduced scale if ``enough`` allows it.

    libjpeg can decode at a half, a quarter or an eighth of the size, which halves the time of a 12-megapixel
    photograph. It averages blocks where the resize that follows would use its kernel, so crops differ: by 0.3 levels
    of 255 on average and 7 at most on photographs, by 2 and 20 on pages of text.

    Args:
        source (ImageSource): See `load_image`.
        max_pixels (int): See `load_image`.
        enough (Callable[[int, int], tuple[int, int]], optional): Given the height and width of the image, those that
            are needed of it, such as `ImagePreprocessor.largest_use`. Half as much again is decoded, or more.
            Default: decode at full size.

    Raises:
        ImageError: See `load_image`.
    """
    if not isinstance(source, (bytes, bytearray, memoryview, str, os.PathLike, Image.Image, np.ndarray)):
        source = _tensor_to_array(source)
    if isinstance(source, np.ndarray):
        pixels = _array_to_rgb(source)
        return DecodedImage(pixels, pixels.shape[:2])
    try:
        if isinstance(source, Image.Image):
            return _decode(source, max_pixels)
        return _decode(_open(source), max_pixels, enough)
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise almost anything on corrupt files
        raise ImageError(f'cannot decode the image: {error or type(error).__name__}') from error


def _open(source: Union[bytes, bytearray, memoryview, str, os.PathLike]) -> Image.Image:
    """Reads a file's header; no pixels yet."""
    name = 'the image'
    if isinstance(source, (str, os.PathLike)):
        name = f'image file {os.fspath(source)!r}'
        try:
            source = Path(source).read_bytes()
        except OSError as error:
            raise ImageError(f'cannot read {name}: {error.strerror}') from error
    try:
        return Image.open(io.BytesIO(source))
    except Image.UnidentifiedImageError as error:
        raise ImageError(f'{name} ({len(source)} bytes) is corrupt or in no format that Pillow reads') from error


def _decode(
    image: Image.Image, max_pixels: int, enough: Optional[Callable[[int, int], tuple[int, int]]] = None
) -> DecodedImage:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(f'the image has {width} x {height} pixels, more than max_pixels={max_pixels} allows')
    if enough is not None and image.format == 'JPEG':
        sideways = _orientation(image) in _SIDEWAYS
        needed = enough(width, height) if sideways else enough(height, width)
        needed_h, needed_w = (math.ceil(edge * _HEADROOM) for edge in needed)
        image.draft(None, (needed_h, needed_w) if sideways else (needed_w, needed_h))
    image.load()
    orientation = _orientation(image)
    rgb = _to_rgb(image)
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    return DecodedImage(np.array(rgb), (width, height) if orientation in _SIDEWAYS else (height, width))


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a broken EXIF block says nothing against the pixels; the reference ignores it too
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == 'F':
        raise ImageError('the image has floating-point pixels, whose range is unknown; store 8 or 16 bits a channel')
    if image.mode.startswith('I'):  # 16-bit levels, which Pillow also keeps in 32-bit integers
        image = Image.fromarray(_scale_to_8_bits(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
    return image if image.mode == 'RGB' else image.convert('RGB')


def _tensor_to_array(tensor: object) -> np.ndarray:
    import torch  # takes a second, which who has no tensor need not wait

    if not isinstance(tensor, torch.Tensor):
        raise ImageError(f'an image may be bytes, a path, a Pillow image, an array or a tensor, not {type(tensor)}')
    if tensor.dtype != torch.uint8:
        raise ImageError(f'an image tensor must be uint8, not {tensor.dtype}')
    array = tensor.cpu().numpy()
    return array.transpose(1, 2, 0) if array.ndim == 3 else array


def _array_to_rgb(array: np.ndarray) -> np.ndarray:
    if array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f'an image array must be uint8 or uint16, not {array.dtype}')
    if array.ndim not in (2, 3) or 0 in array.shape or array.shape[2:] not in ((), (1,), (2,), (3,), (4,)):
        raise ImageError(f'an image array must be (height, width) or (height, width, 1 to 4), not {array.shape}')
    array = np.ascontiguousarray(array if array.dtype == np.uint8 else _scale_to_8_bits(array))
    if array.shape[2:] == (3,):
        return array
    return np.array(_to_rgb(Image.fromarray(array[:, :, 0] if array.shape[2:] == (1,) else array)))


def _scale_to_8_bits(levels: np.ndarray) -> np.ndarray:
    if levels.min() < 0 or levels.max() > 65535:
        raise ImageError(f'the pixels run from {levels.min()} to {levels.max()}, outside of 16 bits')
    return ((levels.astype(np.int32) + 128) // 257).astype(np.uint8)
