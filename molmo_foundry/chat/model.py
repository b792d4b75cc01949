# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that answers: loading it, and its answers as they are written."""

import json
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generator, Optional

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

from molmo_foundry.chat.conversation import Chat
from molmo_foundry.convert.checkpoint import Checkpoint, open_checkpoint
from molmo_foundry.data.collator import collate
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import Conversation

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}

_INPUTS = ('input_ids', 'images', 'image_masks', 'image_input_idx', 'crop_counts')


@dataclass(frozen=True)
class Generation:
    """How an answer is written.

    Attributes:
        max_new_tokens: Longest answer.
        temperature: Of sampling; 0 takes the likeliest token.
        top_p: Sample from the likeliest tokens that have this probability together.
    """

    max_new_tokens: int = 448
    temperature: float = 0.0
    top_p: float = 1.0


class ChatModel:
    """A model with what prepares its prompts.

    Args:
        model (MolmoForCausalLM): The model, where it is to run.
        tokenizer (MolmoTokenizer): Its tokenizer.
        pixels (str): `exact` or `fast`, see `processing.image`.
    """

    def __init__(self, model: MolmoForCausalLM, tokenizer: MolmoTokenizer, pixels: str = 'exact'):
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.preprocessor = Preprocessor.from_config(model.config, tokenizer, pixels=pixels)

    @property
    def has_roles(self) -> bool:
        """Whether it was trained on conversations; a captioner before instruction tuning was not."""
        return self.model.config.message_formatting == 'role'

    def answer(self, chat: Chat, options: Generation) -> Generator[str, None, None]:
        """Answers what was asked last.

        Args:
            chat (Chat): The conversation, which ends with a question.
            options (Generation): How to write.

        Yields:
            str: The answer so far, longer each time. To close the generator stops the model.

        Raises:
            ValueError: If an image cannot be read; names it.
        """
        inputs = self.prompt(chat)
        tokenizer: Any = self.tokenizer
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        stop, errors = threading.Event(), []
        sampling: dict[str, Any] = (
            {'temperature': options.temperature, 'top_p': options.top_p} if options.temperature else {}
        )

        def run() -> None:
            try:
                self.model.generate(
                    **inputs,
                    max_new_tokens=options.max_new_tokens,
                    do_sample=bool(options.temperature),
                    eos_token_id=self.tokenizer.eos_token_id,
                    pad_token_id=self.tokenizer.pad_token_id,
                    streamer=streamer,
                    stopping_criteria=StoppingCriteriaList([_Stopped(stop)]),
                    **sampling,
                )
            except Exception as error:  # of any kind: it is raised where it is waited for
                errors.append(error)
                streamer.on_finalized_text('', stream_end=True)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        text = ''
        try:
            for piece in streamer:
                text += piece
                yield text.strip()
        finally:
            stop.set()
            thread.join()
        if errors:
            raise errors[0]

    def prompt(self, chat: Chat) -> dict[str, Any]:
        """What the model reads of a conversation: keyword arguments of its `generate`."""
        images, _ = self.preprocessor.load_images(chat.images, record='this chat')
        turns = self.preprocessor.formatter.add_roles(chat.turns)
        batch = collate([self.preprocessor.assemble([Conversation(turns)], images, record='this chat')])
        kept = {key: batch[key] for key in _INPUTS if key in batch and (images or key == 'input_ids')}
        device = self.model.device
        return {key: value.to(device) if isinstance(value, Tensor) else value for key, value in kept.items()}


class _Stopped(StoppingCriteria):
    """Ends an answer that nobody waits for any more."""

    def __init__(self, stop: threading.Event):
        self.stop = stop

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return torch.full((len(input_ids),), self.stop.is_set(), device=input_ids.device)


def load_chat_model(
    source: str,
    *,
    device: Optional[str] = None,
    dtype: Optional[str] = None,
    tokenizer: Optional[str] = None,
    max_crops: Optional[int] = None,
    pixels: str = 'exact',
) -> ChatModel:
    """Loads a checkpoint of any kind that `convert.checkpoint` knows. No code in it is run.

    Args:
        source (str): Path or hub id.
        device (str, optional): Where to run. Default: CUDA if there is any, else the CPU.
        dtype (str, optional): A key of `DTYPES`. Default: bf16 on CUDA, fp32 on the CPU.
        tokenizer (str, optional): Directory, hub id, or `tiny`. Default: the one saved with the checkpoint.
        max_crops (int, optional): Most tiles of an image. Default: as the model was trained.
        pixels (str): `exact` or `fast`.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If it cannot be used, or an argument is wrong; says why.
    """
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    dtype = dtype or ('fp32' if device == 'cpu' else 'bf16')
    if dtype not in DTYPES:
        raise ValueError(f'dtype={dtype!r} does not exist; choose one of: {", ".join(DTYPES)}.')
    with open_checkpoint(source, merge_adapters=True) as checkpoint:
        found = _tokenizer_of(checkpoint, tokenizer)
        with torch.device('meta'):
            model: Any = MolmoForCausalLM(checkpoint.config)
            model.to(DTYPES[dtype])
        checkpoint.load_into(model)
    if max_crops is not None:
        model.config.vision.max_crops = max_crops
    return ChatModel(model.to(device), found, pixels)


def _tokenizer_of(checkpoint: Checkpoint, name: Optional[str]) -> MolmoTokenizer:
    """The tokenizer called ``name``, or the one that was saved with the model."""
    config = checkpoint.config
    options = {'vocab_size': config.vocab_size, 'image_token_start': config.image_token_start}
    if name is not None:
        return MolmoTokenizer(name, **options)
    if not checkpoint.tokenizer:
        raise ValueError(f'No tokenizer is saved beside {checkpoint.source}; name one with --tokenizer.')
    with tempfile.TemporaryDirectory() as folder:
        for file, content in checkpoint.tokenizer.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (Path(folder) / Path(file).name).write_text(text, encoding='utf-8')
        return MolmoTokenizer(folder, **options)
