# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A language model's tokenizer, with Molmo's five image tokens at the ids the model has rows for.

The language model's own tokens keep their ids. Unused ids up to the image tokens are filled with dummy tokens
``|<EXTRA_TOKENS_i>|``, as in the released checkpoints, so that the ids never depend on the tokenizer's length.

`MolmoTokenizer.encode_text` takes text as text: ``<im_patch>`` or ``<|endoftext|>`` in a question is spelled out in
ordinary tokens. Special tokens enter a sequence by id only, from `processing.preprocessor` and the image layout.
"""

import json
from pathlib import Path
from typing import Any, Optional, Sequence, Union

from transformers import AddedToken, AutoTokenizer, PreTrainedTokenizerFast

from molmo_foundry.processing.types import IMAGE_TOKENS

TINY = Path(__file__).parent / 'tiny_tokenizer'
"""Home of the built-in tokenizer ``tiny``: 1024 byte-level BPE tokens that ``<|endoftext|>`` leads."""

CHAT_TEMPLATE = """
{%- for message in messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) or message['role'] not in ['user', 'assistant'] -%}
        {{- raise_exception('Roles must alternate user, assistant, user, ...; Molmo has no system turn.') -}}
    {%- endif -%}
    {%- set asks = message['role'] == 'user' -%}
    {{- ' User: ' if asks else ' ' -}}
    {%- if message['content'] is string -%}
        {{- message['content'] -}}
    {%- else -%}
        {%- for part in message['content'] -%}
            {{- '<|image|>' if part['type'] == 'image' else part['text'] -}}
        {%- endfor -%}
    {%- endif -%}
    {{- eos_token if not asks else ' Assistant:' if add_generation_prompt or not loop.last -}}
{%- endfor -%}
"""


class MolmoTokenizer(PreTrainedTokenizerFast):
    """A fast tokenizer whose image tokens are in place; LLM-Foundry's tokenizer ``molmo``.

    Args:
        name_or_path (str | Path): Directory or hub id of a tokenizer, or ``tiny`` for the built-in one.
        vocab_size (int, optional): The model's ``vocab_size``, which the tokenizer must not exceed.
            Default: the tokenizer's own length.
        image_token_start (int, optional): Id of ``<im_start>``; the other four follow. Default: where the tokenizer
            already has it, else ``vocab_size``.
        **kwargs: Passed on to ``AutoTokenizer.from_pretrained``: ``revision``, ``cache_dir``, ``padding_side``, …

    Raises:
        ValueError: If the tokenizer cannot serve such a model; says why and what to do.
    """

    def __init__(
        self,
        name_or_path: Union[str, Path],
        vocab_size: Optional[int] = None,
        image_token_start: Optional[int] = None,
        **kwargs: Any,
    ):
        source = TINY if str(name_or_path) == 'tiny' else name_or_path
        options = {**kwargs, 'use_fast': True, 'trust_remote_code': False}
        try:
            base = AutoTokenizer.from_pretrained(source, **options)
        except (OSError, ValueError) as error:
            raise ValueError(
                f'Cannot load tokenizer {name_or_path}. It must be tiny, a directory with the files of a tokenizer, or '
                f'the id of a hub repository within reach: {error}'
            ) from error
        if not base.is_fast:
            raise ValueError(f'Tokenizer {name_or_path} has no fast (tokenizers) version, which Molmo needs.')
        if base.eos_token_id is None:
            raise ValueError(f'Tokenizer {name_or_path} has no EOS token, which ends every response; set eos_token=.')
        super().__init__(
            tokenizer_object=base.backend_tokenizer,
            bos_token=base.bos_token,
            eos_token=base.eos_token,
            pad_token=base.pad_token or base.eos_token,
            unk_token=base.unk_token,
            additional_special_tokens=base.additional_special_tokens,
            model_max_length=base.model_max_length,
            padding_side=base.padding_side,
            clean_up_tokenization_spaces=False,
            chat_template=CHAT_TEMPLATE,
            add_prefix_space=getattr(base, 'add_prefix_space', False),
        )
        self.name_or_path = str(name_or_path)
        self._place_image_tokens(vocab_size, image_token_start)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Union[str, Path], **kwargs: Any) -> 'MolmoTokenizer':
        """Loads a tokenizer; the same as calling the class."""
        return cls(pretrained_model_name_or_path, **kwargs)

    @property
    def image_token_ids(self) -> dict[str, int]:
        """Molmo's special strings with their ids."""
        return dict(zip(IMAGE_TOKENS, self._ids_of(IMAGE_TOKENS)))

    @property
    def bos_id(self) -> int:
        """Id that starts every sequence: BOS, or EOS where there is none, as the released weights were trained."""
        return self._ids_of([str(self.bos_token or self.eos_token)])[0]

    def encode_text(self, text: str) -> list[int]:
        """Token ids of plain text: no special token is added, and none is read out of the text.

        Args:
            text (str): Any string. Halves of surrogate pairs, which UTF-8 cannot express, are joined or, where the
                other half is missing, replaced by U+FFFD.
        """
        try:
            text.encode('utf-8')
        except UnicodeEncodeError:
            text = text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')
        return self(text, add_special_tokens=False, split_special_tokens=True, verbose=False).input_ids

    def save_pretrained(self, save_directory: Union[str, Path], *args: Any, **kwargs: Any) -> tuple[str, ...]:
        """Saves files that ``AutoTokenizer`` loads anywhere, with or without this package; returns their paths."""
        files = super().save_pretrained(save_directory, *args, **kwargs)
        for path in map(Path, files):
            if path.name.endswith('tokenizer_config.json'):
                config = json.loads(path.read_text(encoding='utf-8'))
                config['tokenizer_class'] = PreTrainedTokenizerFast.__name__
                path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
        return files

    def _place_image_tokens(self, vocab_size: Optional[int], image_token_start: Optional[int]) -> None:
        """Adds dummy and image tokens, or checks those that are there."""
        expected = vocab_size if image_token_start is None else image_token_start
        vocabulary = self.get_vocab()
        if not any(token in vocabulary for token in IMAGE_TOKENS):
            start = len(self) if expected is None else expected
            limit = start if vocab_size is None else min(vocab_size, start)
            if len(self) > limit:
                raise ValueError(
                    f'Tokenizer {self.name_or_path} has {len(self)} tokens, more than the {limit} ids below the '
                    "model's image tokens. It is not the tokenizer of this language model: set name_or_path= to "
                    'the one it was trained with, or vocab_size= to what the model has.'
                )
            extra = [f'|<EXTRA_TOKENS_{i}>|' for i in range(start - len(self))]
            self._add_special([*extra, *IMAGE_TOKENS])
        found = self._ids_of(IMAGE_TOKENS)
        start = found[0] if expected is None else expected
        if found != list(range(start, start + len(IMAGE_TOKENS))):
            raise ValueError(
                f'Tokenizer {self.name_or_path} has the image tokens {", ".join(IMAGE_TOKENS)} at ids {found}, but the '
                f"model needs them in a row from {start} on: set image_token_start= to the tokenizer's id, or take the "
                "language model's own tokenizer."
            )
        # Special tokens that came with the tokenizer may not be flagged as such, and would then be read out of text.
        self._add_special([*IMAGE_TOKENS, *self.all_special_tokens])

    def _add_special(self, tokens: Sequence[str]) -> None:
        self.add_tokens([AddedToken(token, normalized=False, special=True) for token in tokens], special_tokens=True)

    def _ids_of(self, tokens: Sequence[str]) -> list[int]:
        return [self._tokenizer.token_to_id(token) for token in tokens]
