# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The image half of a transformers processor: the fields of ``preprocessor_config.json``, and what they mean here.

Shapes: C crops of all images, N patches of a crop, P pooled tokens of a crop.
"""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional, Sequence

import numpy as np
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor

from molmo_foundry.processing.image import ImagePreprocessor
from molmo_foundry.processing.image_io import load_image
from molmo_foundry.processing.pixels import PIXEL_STATS
from molmo_foundry.processing.types import IMAGE_TOKENS

if TYPE_CHECKING:
    from molmo_foundry.model.config import MolmoConfig

Images = Any
"""Nothing, one image, or a list of images: Pillow, uint8 arrays and tensors, paths, bytes."""


class MolmoImageProcessor(BaseImageProcessor):
    """How images are cut, in the fields of the released ``preprocessor_config.json``.

    Args:
        base_image_input_size (sequence): Height and width of a crop in pixels.
        image_patch_size (int): Edge of a patch in pixels.
        image_token_length_h (int): Rows of pooled tokens of a crop.
        image_token_length_w (int): Columns of pooled tokens of a crop.
        max_crops (int): Most tiles of one image, the global crop not counted.
        overlap_margins (sequence): Patches before and after that neighbouring tiles share.
        image_padding_mask (bool): Whether the model reads which pixels are padding.
        do_normalize (bool): Whether crops are normalised, the exact way; otherwise they are uint8, and the model
            normalises them.
        image_mean (sequence): Mean of normalised pixels, which tells the vision tower.
        image_std (sequence): Their standard deviation.
        resize_mode (str): See `processing.image`.
        crop_mode (str): ``overlap-and-resize-c2`` or ``resize``.
        pad_value (float): Value in [0, 1] of padding pixels.
        use_col_tokens (bool): Whether every row of pooled tokens ends with ``<im_col>``.
        **kwargs: What transformers keeps in such files.
    """

    model_input_names = ['images', 'image_masks', 'image_input_idx', 'crop_counts']

    def __init__(
        self,
        base_image_input_size: Sequence[int] = (336, 336),
        image_patch_size: int = 14,
        image_token_length_h: int = 12,
        image_token_length_w: int = 12,
        max_crops: int = 12,
        overlap_margins: Sequence[int] = (4, 4),
        image_padding_mask: bool = True,
        do_normalize: bool = True,
        image_mean: Sequence[float] = PIXEL_STATS['openai'].mean,
        image_std: Sequence[float] = PIXEL_STATS['openai'].std,
        resize_mode: str = 'default',
        crop_mode: str = 'overlap-and-resize-c2',
        pad_value: float = 0.0,
        use_col_tokens: bool = True,
        **kwargs: Any,
    ):
        kwargs.pop('auto_map', None)  # names code that this class replaces
        super().__init__(**kwargs)
        self.base_image_input_size = list(base_image_input_size)
        self.image_patch_size = image_patch_size
        self.image_token_length_h = image_token_length_h
        self.image_token_length_w = image_token_length_w
        self.max_crops = max_crops
        self.overlap_margins = list(overlap_margins)
        self.image_padding_mask = image_padding_mask
        self.do_normalize = do_normalize
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        self.resize_mode = resize_mode
        self.crop_mode = crop_mode
        self.pad_value = pad_value
        self.use_col_tokens = use_col_tokens

    @classmethod
    def from_config(cls, config: 'MolmoConfig', pixels: str = 'exact') -> 'MolmoImageProcessor':
        """The image processor of a model; ``pixels`` as for `ImagePreprocessor`."""
        vision, (rows, cols) = config.vision, config.pooled_grid
        return cls(
            base_image_input_size=vision.image_size,
            image_patch_size=vision.patch_size,
            image_token_length_h=rows,
            image_token_length_w=cols,
            max_crops=vision.max_crops,
            overlap_margins=vision.overlap_margins,
            image_padding_mask=config.connector.padding_embed is not None,
            do_normalize=pixels == 'exact',
            image_mean=PIXEL_STATS[vision.vit_type].mean,
            image_std=PIXEL_STATS[vision.vit_type].std,
            resize_mode=vision.resize_mode,
            crop_mode=vision.crop_mode,
            pad_value=vision.pad_value,
            use_col_tokens=vision.use_col_tokens,
        )

    def cutter(self, token_ids: dict[str, int]) -> ImagePreprocessor:
        """What cuts the images, for a tokenizer with these image tokens."""
        grid = tuple(pixels // self.image_patch_size for pixels in self.base_image_input_size)
        pooled = (self.image_token_length_h, self.image_token_length_w)
        vision: Any = SimpleNamespace(
            vit_type=self._vit_type(),
            image_size=tuple(self.base_image_input_size),
            patch_size=self.image_patch_size,
            patch_grid=grid,
            patch_pixels=3 * self.image_patch_size**2,
            resize_mode=self.resize_mode,
            crop_mode=self.crop_mode,
            max_crops=self.max_crops,
            overlap_margins=tuple(self.overlap_margins),
            pad_value=self.pad_value,
            use_col_tokens=self.use_col_tokens,
        )
        connector: Any = SimpleNamespace(
            pooling_size=tuple(-(-patches // tokens) for patches, tokens in zip(grid, pooled)),
            padding_embed='pad_and_partial_pad' if self.image_padding_mask else None,
        )
        return ImagePreprocessor(vision, connector, token_ids, 'exact' if self.do_normalize else 'fast')

    def preprocess(self, images: Images, return_tensors: Optional[str] = None) -> BatchFeature:
        """Cuts images without any text.

        Args:
            images (Images): What to cut.
            return_tensors (str, optional): ``pt`` or ``np``.

        Returns:
            BatchFeature: ``images`` (C, N, patch pixels), ``image_masks`` (C, N) if the model reads them,
            ``image_input_idx`` (C, P) positions within each image's own token block, ``crop_counts`` by image.
        """
        cut = self.cutter({token: i for i, token in enumerate(IMAGE_TOKENS)})
        inputs = [cut(load_image(image)) for image in image_list(images)]
        data = {
            'images': np.concatenate([image.crops for image in inputs]),
            'image_input_idx': np.concatenate([image.input_idx for image in inputs]),
            'crop_counts': [len(image.crops) for image in inputs],
        }
        masks = [image.masks for image in inputs if image.masks is not None]
        if masks:
            data['image_masks'] = np.concatenate(masks)
        return BatchFeature(data, tensor_type=return_tensors)

    def _vit_type(self) -> str:
        for vit_type, stats in PIXEL_STATS.items():
            if np.allclose([self.image_mean, self.image_std], stats, atol=1e-4):
                return vit_type
        raise ValueError(
            f'image_mean={self.image_mean} and image_std={self.image_std} belong to no vision tower of Molmo: '
            f'{", ".join(PIXEL_STATS)}.'
        )


def image_list(images: Images) -> list[Any]:
    """The images as a list."""
    if images is None:
        return []
    return list(images) if isinstance(images, (list, tuple)) else [images]
