# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A conversation about images, as the page and the terminal keep it."""

from dataclasses import dataclass, field
from typing import Any, Optional, Sequence

from molmo_foundry.processing.chat import chat_turns
from molmo_foundry.processing.image_io import ImageSource


@dataclass
class Exchange:
    """What the user said and what the model answered.

    Attributes:
        text: The user's words.
        images: The images that came with them.
        answer: The model's; None until it has answered.
    """

    text: str
    images: list[ImageSource] = field(default_factory=list)
    answer: Optional[str] = None


@dataclass
class Chat:
    """A conversation.

    Attributes:
        exchanges: In turn; only the last may be without an answer.
    """

    exchanges: list[Exchange] = field(default_factory=list)

    def ask(self, text: str, images: Sequence[ImageSource]) -> None:
        """Adds what the user says. A question that was never answered counts as answered by nothing.

        Raises:
            ValueError: If it is nothing.
        """
        if not text.strip():
            raise ValueError('There is no question. Write one beside the images.')
        if self.exchanges and self.exchanges[-1].answer is None:
            self.exchanges[-1].answer = ''
        self.exchanges.append(Exchange(text.strip(), list(images)))

    def ask_again(self) -> None:
        """Takes the last answer back.

        Raises:
            ValueError: If nothing was asked yet.
        """
        if not self.exchanges:
            raise ValueError('There is nothing to answer again: nothing was asked yet.')
        self.exchanges[-1].answer = None

    @property
    def images(self) -> list[ImageSource]:
        """All images so far."""
        return [image for exchange in self.exchanges for image in exchange.images]

    @property
    def turns(self) -> list[str]:
        """The texts in turn, with a placeholder for each image if several do not all come first."""
        messages: list[dict[str, Any]] = []
        for exchange in self.exchanges:
            parts = [*({'type': 'image'} for _ in exchange.images), {'type': 'text', 'text': exchange.text}]
            messages.append({'role': 'user', 'content': parts})
            if exchange.answer is not None:
                messages.append({'role': 'assistant', 'content': exchange.answer})
        return chat_turns(messages)
