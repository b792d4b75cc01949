# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The texts of a conversation, whichever of the usual ways it is written down."""

from typing import Any, Optional, Sequence

from molmo_foundry.processing.types import IMAGE_PLACEHOLDER


def chat_turns(messages: Sequence[Any]) -> list[str]:
    """The texts of a conversation in turn.

    Several images among the parts become placeholders, unless all of them come first; a single one needs none. See
    `processing.preprocessor` for where images go.

    Args:
        messages (sequence): Strings, or mappings of ``role`` (user and assistant in turn) and ``content`` (a string,
            or a list of ``{'type': 'text', 'text': …}`` and ``{'type': 'image'}``).

    Raises:
        ValueError: If it is anything else.
    """
    if not isinstance(messages, (list, tuple)) or not messages:
        raise ValueError(f'messages must be a list of turns, not {messages!r:.100}.')
    parts = [_message_parts(message, index) for index, message in enumerate(messages)]
    first_text = next((i for i, part in enumerate(parts[0]) if part is not None), len(parts[0]))
    num_images = sum(part is None for turn in parts for part in turn)
    marker = '' if num_images == 1 or first_text == num_images else IMAGE_PLACEHOLDER
    if marker and num_images and any(part and IMAGE_PLACEHOLDER in part for turn in parts for part in turn):
        raise ValueError(f'messages has image parts and the text {IMAGE_PLACEHOLDER}, which would stand for one more.')
    return [''.join(marker if part is None else part for part in turn) for turn in parts]


def _message_parts(message: Any, index: int) -> list[Optional[str]]:
    """The texts of a message; None stands for an image."""
    if isinstance(message, dict):
        expected = 'assistant' if index % 2 else 'user'
        if message.get('role') != expected:
            raise ValueError(f'messages[{index}].role must be {expected!r}, not {message.get("role")!r}.')
        message = message.get('content')
    if isinstance(message, str):
        return [message]
    if not isinstance(message, (list, tuple)):
        raise ValueError(f'messages[{index}] must be text, not {message!r:.100}.')
    parts = []
    for part in message:
        kind = part.get('type') if isinstance(part, dict) else None
        if kind != 'image' and not (kind == 'text' and isinstance(part.get('text'), str)):
            raise ValueError(f'messages[{index}].content has a part that is neither text nor image: {part!r:.100}.')
        parts.append(None if kind == 'image' else part['text'])
    return parts
