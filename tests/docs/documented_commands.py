# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The commands that the documentation tells people to type."""

import re
import shlex
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Iterator

REPOSITORY = Path(__file__).parents[2]
PAGES = (REPOSITORY / 'README.md', *sorted((REPOSITORY / 'docs').glob('*.md')))

_BLOCK = re.compile(r'(?:<!-- not run: (?P<why>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$', re.M | re.S)


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        page: Name of the page.
        line: Where in the page its block begins, from 1.
        text: The command, lines that are continued joined.
        why_not_run: Why no test runs it; empty if one does.
    """

    page: str
    line: int
    text: str
    why_not_run: str

    @property
    def words(self) -> list[str]:
        """Its words; comments, redirections and settings of the environment left out, programs without their folder."""
        words = list(takewhile(lambda word: word not in ('<', '>', '|'), shlex.split(self.text, comments=True)))
        while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
            words.pop(0)
        return [Path(words[0]).name, *words[1:]] if words else []


def commands_of(page: Path) -> Iterator[Command]:
    """All commands in the blocks ``bash`` of a page, in order."""
    content = page.read_text(encoding='utf-8')
    for block in _BLOCK.finditer(content):
        if block['language'] == 'bash':
            line = content.count('\n', 0, block.start()) + 1
            for text in block['text'].replace('\\\n', ' ').splitlines():
                command = Command(page.name, line, text.strip(), (block['why'] or '').strip())
                if command.words:
                    yield command
