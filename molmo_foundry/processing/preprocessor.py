# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""From an example to model inputs: text and images as one sequence of tokens, several annotations as a message tree.

A sequence is BOS, the token blocks of the images, then the branches, one an annotation::

    BOS <im_start>…<im_end> | User: q1 Assistant: a1 EOS | User: q2 Assistant: a2 EOS | …
    segment 10000           | 1                          | 2                          | …

Each branch sees the images and itself, and its positions continue from the images' as if it were alone. The inputs are
this sequence but for its last token, the labels the same but for its first. Responses and the EOS behind each of them
are learned.

Where images go: in front, which is where released models were trained to see them. Only if an example has several
images and one annotation whose prompts contain the string ``<|image|>`` exactly once an image, each image replaces
its placeholder. In any other text ``<|image|>``, like all special tokens, is spelled out in ordinary tokens.

Shapes: T tokens, C crops of all images, N patches of a crop, P pooled tokens of a crop.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, Callable, Iterable, Optional, Sequence, Union

import numpy as np

from molmo_foundry.processing.annotation import ImageSize
from molmo_foundry.processing.choices import Choices, RandomChoice, long_ways
from molmo_foundry.processing.formatter import Formatter
from molmo_foundry.processing.image import ImagePreprocessor
from molmo_foundry.processing.image_io import ImageError, decode_image
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import (
    IGNORED_SLOT,
    IMAGE_PLACEHOLDER,
    PREFIX_SEGMENT_ID,
    Conversation,
    Example,
    ImageInputs,
    ModelInputs,
)

if TYPE_CHECKING:
    from molmo_foundry.model.config import MolmoConfig

NO_LABEL = -100
"""Label of a position that predicts nothing."""


class ExampleTooLongError(ValueError):
    """An example of which not even one annotation fits into ``max_seq_len``."""


class Preprocessor:
    """Prepares examples for one model.

    Args:
        tokenizer (MolmoTokenizer): The model's tokenizer.
        image_preprocessor (ImagePreprocessor): Cuts its images.
        formatter (Formatter): Writes its prompts.
        max_seq_len (int, optional): Longest sequence. Annotations that would pass it are left out whole and counted in
            ``metadata['dropped_annotations']``. Default: no limit.
        root_subsegments (bool): Weight each of n annotations by the square root of 1/n. Default: ``True``.
        shuffle_annotations (bool): Whether to put annotations in random order while training. Default: ``True``.
    """

    def __init__(
        self,
        tokenizer: MolmoTokenizer,
        image_preprocessor: ImagePreprocessor,
        formatter: Formatter,
        *,
        max_seq_len: Optional[int] = None,
        root_subsegments: bool = True,
        shuffle_annotations: bool = True,
    ):
        self.tokenizer = tokenizer
        self.image_preprocessor = image_preprocessor
        self.formatter = formatter
        self.max_seq_len = max_seq_len
        self.root_subsegments = root_subsegments
        self.shuffle_annotations = shuffle_annotations

    @classmethod
    def from_config(
        cls,
        config: 'MolmoConfig',
        tokenizer: MolmoTokenizer,
        *,
        max_seq_len: Optional[int] = None,
        pixels: str = 'exact',
        select_answer: str = 'best',
        shuffle_annotations: bool = True,
    ) -> 'Preprocessor':
        """The preprocessor of a model; see the class, `ImagePreprocessor` and `Formatter` for the arguments.

        Raises:
            ValueError: If the tokenizer has the image tokens at other ids than the model.
        """
        if tokenizer.image_token_ids != config.image_token_ids:
            raise ValueError(
                f'the tokenizer {tokenizer.name_or_path} has the image tokens at {tokenizer.image_token_ids}, the '
                f'model at {config.image_token_ids}: build it with vocab_size={config.vocab_size} and '
                f'image_token_start={config.image_token_start}.'
            )
        return cls(
            tokenizer,
            ImagePreprocessor.from_config(config, pixels),
            Formatter.from_config(config, select_answer),
            max_seq_len=max_seq_len,
            root_subsegments=config.multi_annotation_weighting == 'root_subsegments',
            shuffle_annotations=shuffle_annotations,
        )

    def __call__(
        self, example: Example, *, rng: Optional[np.random.Generator] = None, inference: bool = False
    ) -> ModelInputs:
        """Prepares one example.

        Args:
            example (Example): The record.
            rng (np.random.Generator, optional): Source of all randomness of training: `choices.example_rng`.
                Default: none, everything is written in the first way there is.
            inference (bool): End with the last prompt, for the model to answer; there is nothing to learn.

        Raises:
            ExampleTooLongError: If not even one annotation fits.
            ValueError: If an image or an annotation cannot be used; names the record.
        """
        images, sizes = self.load_images(example.images, record=example.id)
        conversations, metadata = self.formatter(
            example,
            choices=RandomChoice(rng) if rng is not None else None,
            inference=inference,
            image_size=sizes[0] if len(sizes) == 1 else None,
        )
        if rng is not None and self.shuffle_annotations:
            conversations = [conversations[i] for i in rng.permutation(len(conversations))]
        inputs = self.assemble(conversations, images, record=example.id)
        if len(sizes) == 1:
            metadata['image_size'] = sizes[0]
        inputs.metadata = {**metadata, **example.metadata, **inputs.metadata}
        return inputs

    @cached_property
    def _blank(self) -> ImageInputs:
        """Any image; tells a text how wide its (absent) crops are."""
        return self.image_preprocessor(np.zeros((1, 1, 3), np.uint8))

    def load_images(self, sources: Sequence[Any], *, record: str) -> tuple[list[ImageInputs], list[ImageSize]]:
        """Decodes and cuts images.

        Args:
            sources (sequence): Whatever `image_io.load_image` takes.
            record (str): Id of the example, for errors.

        Returns:
            The images, and the width and height of each.

        Raises:
            ImageError: If one cannot be used; names the record and which one.
        """
        enough = self.image_preprocessor.largest_use if self.image_preprocessor.pixels == 'fast' else None
        images, sizes = [], []
        for index, source in enumerate(sources):
            try:
                decoded = decode_image(source, enough=enough)
            except ImageError as error:
                raise ImageError(f'record {record!r}, images[{index}]: {error}') from error
            images.append(self.image_preprocessor(decoded.pixels, decoded.size))
            sizes.append(decoded.size[::-1])
        return images, sizes

    def assemble(
        self, conversations: Sequence[Conversation], images: Sequence[ImageInputs], *, record: str
    ) -> ModelInputs:
        """Builds the arrays of formatted conversations about images that are cut already.

        Args:
            conversations (sequence): The branches. A conversation that ends with a prompt must be the only one.
            images (sequence): The images in order.
            record (str): Id of the example, for errors and metadata.

        Raises:
            ExampleTooLongError: If not even one conversation fits.
            ValueError: If there is no conversation, or several of which one is open.
        """
        is_open = any(len(conversation.turns) % 2 for conversation in conversations)
        if not conversations or (is_open and len(conversations) > 1):
            raise ValueError(
                f'record {record!r}: needs exactly one annotation for inference, not {len(conversations)}.'
            )
        in_text = _images_in_text(conversations, len(images))
        prefix = [_Piece([self.tokenizer.bos_id]), *(_image_piece(image) for image in images if not in_text)]
        branches = [self._branch(conversation, images if in_text else ()) for conversation in conversations]
        kept = self._select(prefix, branches, record, room_for_label=not is_open)
        dropped = len(branches) - len(kept)

        blocks = [prefix, *kept]
        lengths = [_length(block) for block in blocks]
        pieces = [piece for block in blocks for piece in block]
        tokens = np.concatenate([piece.tokens for piece in pieces]).astype(np.int64)
        scale = len(kept) ** -0.5 if self.root_subsegments else 1.0
        weights = np.repeat([0.0 if is_open else piece.weight * scale for piece in pieces], list(map(len, pieces)))
        weights[np.cumsum(lengths)[1:-1]] = 0  # the token before it belongs to another branch
        positions = [np.arange(lengths[0]), *(np.arange(length) + lengths[0] for length in lengths[1:])]
        segments = [PREFIX_SEGMENT_ID, *range(1, len(blocks))]
        size = len(tokens) if is_open else len(tokens) - 1
        crops, masks, slots = self._stack_images(pieces)
        return ModelInputs(
            input_ids=tokens[:size],
            labels=np.append(tokens[1:], NO_LABEL)[:size],
            loss_weights=np.append(weights[1:], 0).astype(np.float32)[:size],
            position_ids=np.concatenate(positions)[:size],
            segment_ids=np.repeat(segments, lengths)[:size],
            images=crops,
            image_masks=masks,
            image_input_idx=slots,
            metadata={'id': record, **({'dropped_annotations': dropped} if dropped else {})},
        )

    def length_bound(self, example: Example, image_sizes: Sequence[ImageSize]) -> tuple[int, int]:
        """How long an example can get, whatever is drawn for it; no pixel is looked at.

        Where nothing is drawn, that is how long it is. Of prompts that are drawn, it is the longest.

        Args:
            example (Example): The record; its images are not read.
            image_sizes (sequence): Width and height of each image, upright.

        Returns:
            tuple[int, int]: Tokens, above ``max_seq_len`` only if not even one annotation is sure to fit, and crops.

        Raises:
            ValueError: If an annotation cannot be written; names the record.
        """
        layouts = [self.image_preprocessor.layout(height, width) for width, height in image_sizes]
        image_size = image_sizes[0] if len(image_sizes) == 1 else None
        num_images = len(layouts) if len(example.annotations) == 1 else 0  # that may stand in the text
        self.formatter(example, image_size=image_size)  # calls an annotation that cannot be written by its number
        branches = [
            self._longest_branch(replace(example, annotations=[annotation]), image_size, num_images)
            for annotation in example.annotations
        ]
        prefix = sum(layout.num_tokens for layout in layouts)
        tokens, crops = prefix + sum(branches), sum(layout.num_crops for layout in layouts)
        if self.max_seq_len is not None and tokens > self.max_seq_len:
            tokens = max(self.max_seq_len, prefix + min(branches))
        return tokens, crops

    def _longest_branch(self, example: Example, image_size: Optional[ImageSize], num_images: int) -> int:
        """Most tokens that the branch of an example's only annotation can have."""

        def write(choices: Choices) -> Conversation:
            return self.formatter(example, choices=choices, image_size=image_size)[0][0]

        return max(self._branch_length(written, num_images) for written in long_ways(write, self._count_tokens))

    def _branch_length(self, conversation: Conversation, num_images: int) -> int:
        """Tokens of a branch, without those of images."""
        prompts, responses = conversation.turns[::2], conversation.turns[1::2]
        if _images_in_text([conversation], num_images):
            prompts = [text for prompt in prompts for text in prompt.split(IMAGE_PLACEHOLDER)]
        return sum(map(self._count_tokens, [*prompts, *responses])) + len(responses)  # an EOS each

    @cached_property
    def _count_tokens(self) -> Callable[[str], int]:
        return partial(_num_tokens, self.tokenizer)

    def _branch(self, conversation: Conversation, images: Sequence[ImageInputs]) -> list['_Piece']:
        """A conversation as pieces, with images in place of their placeholders if there are any."""
        pieces, waiting = [], iter(images)
        for index, turn in enumerate(conversation.turns):
            if index % 2:
                response = [*self.tokenizer.encode_text(turn), self.tokenizer.eos_token_id]
                pieces.append(_Piece(response, conversation.weight))
                continue
            first, *rest = turn.split(IMAGE_PLACEHOLDER) if images else [turn]
            pieces.append(_Piece(self.tokenizer.encode_text(first)))
            for text in rest:
                pieces += [_image_piece(next(waiting)), _Piece(self.tokenizer.encode_text(text))]
        return pieces

    def _select(
        self, prefix: list['_Piece'], branches: list[list['_Piece']], record: str, room_for_label: bool
    ) -> list[list['_Piece']]:
        """The branches that fit, in order. With labels, the last token is only predicted and takes no room."""
        if self.max_seq_len is None:
            return branches
        room = self.max_seq_len + room_for_label - _length(prefix)
        kept = []
        for branch in branches:
            if _length(branch) <= room:
                kept.append(branch)
                room -= _length(branch)
        if not kept:
            raise ExampleTooLongError(
                f'record {record!r}: {_length(prefix)} tokens of images and BOS and {min(map(_length, branches))} of '
                f'its shortest annotation do not fit into max_seq_len={self.max_seq_len}. Raise it, cut images into '
                'fewer crops, or leave the record out.'
            )
        return kept

    def _stack_images(self, pieces: Sequence['_Piece']) -> tuple[np.ndarray, Optional[np.ndarray], np.ndarray]:
        """Crops, masks and slots of a sequence, slots counted from its start."""
        starts = np.cumsum([0, *map(len, pieces)])
        placed = [(piece.image, start) for piece, start in zip(pieces, starts) if piece.image is not None]
        if not placed:
            blank = self._blank
            return blank.crops[:0], None if blank.masks is None else blank.masks[:0], blank.input_idx[:0]
        masks = [image.masks for image, _ in placed if image.masks is not None]
        slots = [np.where(image.input_idx < 0, IGNORED_SLOT, image.input_idx + start) for image, start in placed]
        crops = np.concatenate([image.crops for image, _ in placed])
        return crops, np.concatenate(masks) if masks else None, np.concatenate(slots)


@dataclass(frozen=True)
class _Piece:
    """Tokens in a row that are learned alike."""

    tokens: Union[list[int], np.ndarray]
    weight: float = 0.0
    image: Optional[ImageInputs] = None

    def __len__(self) -> int:
        return len(self.tokens)


def _length(pieces: Iterable[_Piece]) -> int:
    return sum(map(len, pieces))


def _image_piece(image: ImageInputs) -> _Piece:
    return _Piece(image.tokens, image=image)


def _images_in_text(conversations: Sequence[Conversation], num_images: int) -> bool:
    """Whether images replace placeholders; see the top of this file."""
    if num_images < 2 or len(conversations) > 1:
        return False
    return sum(prompt.count(IMAGE_PLACEHOLDER) for prompt in conversations[0].turns[::2]) == num_images


@lru_cache(maxsize=1024)
def _num_tokens(tokenizer: MolmoTokenizer, text: str) -> int:
    """Length of a text; the sentences of `prompts.yaml` come again and again."""
    return len(tokenizer.encode_text(text))
