# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Chat in a terminal: images by path, answers as they are written, points as a list."""

import shlex
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Callable, Sequence

from PIL import Image

from molmo_foundry.chat.conversation import Chat
from molmo_foundry.chat.model import ChatModel, Generation
from molmo_foundry.chat.points import draw_points, find_points
from molmo_foundry.processing.image_io import load_image

HELP = """\
Write a question and press Enter. The model sees the whole conversation. Ctrl-C stops an answer, Ctrl-D ends the chat.

  /image PATH…       images for the next question (quote paths with spaces)
  /again             answer the last question again
  /points FILE       save the last image with the points of the last answer
  /max-tokens N      longest answer, now {max_new_tokens}
  /temperature T     0 takes the likeliest token, 1 samples as the model thinks; now {temperature:g}
  /clear             forget the conversation and its images
  /help, /quit"""


class Terminal:
    """One conversation in a terminal.

    Args:
        model (ChatModel): Who answers.
        options (Generation): How, to begin with.
        write (Callable): Prints text as it is, without a newline.
    """

    def __init__(self, model: ChatModel, options: Generation, write: Callable[[str], None]):
        self.model, self.options, self.write = model, options, write
        self.chat, self.waiting = Chat(), list[str]()

    def run(self, read: Callable[[str], str], images: Sequence[str] = ()) -> None:
        """Talks until there is no more input.

        Args:
            read (Callable): Shows a prompt and returns a line; EOFError ends the chat.
            images (Sequence[str]): Paths of images for the first question.

        Raises:
            ValueError: If one of these cannot be read; names it.
        """
        self._add_images(images)
        self.write('Ask something, or write /help.\n')
        while True:
            try:
                line = read('> ').strip()
            except (EOFError, KeyboardInterrupt):
                self.write('\n')
                return
            if line in ('/quit', '/exit'):
                return
            try:
                if line.startswith('/'):
                    self._command(*line.partition(' ')[::2])
                elif line:
                    self.chat.ask(line, self.waiting)
                    self.waiting = []
                    self._answer()
            except (OSError, ValueError) as error:
                self.write(f'error: {error}\n')

    def _answer(self) -> None:
        """Writes the answer to the last question, and its points."""
        shown = ''
        try:
            with closing(self.model.answer(self.chat, self.options)) as answers:
                for text in answers:
                    self.write(text[len(shown) :])
                    shown = text
        except KeyboardInterrupt:
            self.write(' …')
        except (OSError, ValueError):
            self.chat.exchanges.pop()
            raise
        self.write('\n')
        self.chat.exchanges[-1].answer = shown
        points = find_points(shown)
        if points and self.chat.images:
            height, width = load_image(self.chat.images[-1]).shape[:2]
            for number, point in enumerate(points, start=1):
                x, y = point.pixels(width, height)
                self.write(f'  {number}. {point.name}  {point.x:.1f} %, {point.y:.1f} %  (pixel {x:.0f}, {y:.0f})\n')

    def _command(self, name: str, argument: str) -> None:
        if name in ('/image', '/images'):
            self._add_images(shlex.split(argument))
        elif name == '/again':
            self.chat.ask_again()
            self._answer()
        elif name == '/points':
            self._save_points(argument)
        elif name == '/max-tokens':
            self.options = replace(self.options, max_new_tokens=_number(int, argument, '/max-tokens', 1))
        elif name == '/temperature':
            self.options = replace(self.options, temperature=_number(float, argument, '/temperature', 0))
        elif name == '/clear':
            self.chat, self.waiting = Chat(), []
        elif name == '/help':
            self.write(HELP.format(**vars(self.options)) + '\n')
        else:
            raise ValueError(f'There is no command {name}; /help lists them.')

    def _add_images(self, paths: Sequence[str]) -> None:
        for path in paths:
            height, width = load_image(path).shape[:2]
            self.waiting.append(path)
            self.write(f'[{path}: {width} x {height}]\n')

    def _save_points(self, file: str) -> None:
        answers = [exchange.answer for exchange in self.chat.exchanges if exchange.answer is not None]
        if not (answers and self.chat.images and file.strip()):
            raise ValueError('/points needs a file to write, and an answer about an image.')
        image = Image.fromarray(load_image(self.chat.images[-1]))
        draw_points(image, find_points(answers[-1])).save(Path(file.strip()))
        self.write(f'[{file.strip()}: written]\n')


def _number(kind: type, text: str, command: str, least: float) -> float:
    try:
        value = kind(text)
    except ValueError as error:
        raise ValueError(f'{command} needs a number, not {text!r}.') from error
    if not least <= value < float('inf'):
        raise ValueError(f'{command} must be at least {least}, not {text!r}.')
    return value
