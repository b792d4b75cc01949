# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Chat without a browser: points, answers that are stopped, checkpoints, and the terminal's conversation."""

from contextlib import closing
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from molmo_foundry.chat.conversation import Chat
from molmo_foundry.chat.model import ChatModel, Generation, load_chat_model
from molmo_foundry.chat.points import NamedPoint, draw_points, find_points
from molmo_foundry.chat.terminal import Terminal
from molmo_foundry.cli.main import app
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.tokenizer import MolmoTokenizer


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that rambles, as save_pretrained leaves it, and two pictures."""
    folder = tmp_path_factory.mktemp('model')
    torch.manual_seed(4)
    model = MolmoForCausalLM(build_config('tiny', 'tiny', initializer_range=0.3))
    model.save_pretrained(folder)
    MolmoTokenizer('tiny', vocab_size=model.config.vocab_size).save_pretrained(folder)
    for name in ('red', 'blue sky'):
        Image.new('RGB', (200, 100), name.split()[0]).save(folder / f'{name}.png')
    return folder


@pytest.fixture(scope='module')
def model(folder: Path) -> ChatModel:
    return load_chat_model(str(folder), device='cpu')


def talk(model: ChatModel, *lines: str, images: tuple[str, ...] = ()) -> str:
    """What is printed when these lines are typed."""
    typed, printed = iter(lines), list[str]()

    def read(prompt: str) -> str:
        printed.append(prompt)
        try:
            return next(typed)
        except StopIteration as error:
            raise EOFError from error

    Terminal(model, Generation(max_new_tokens=6), printed.append).run(read, images)
    return ''.join(printed)


class Scripted:
    """Says the next of its lines, in two pieces."""

    def __init__(self, *lines: str):
        self.lines = list(lines)
        self.asked: list[tuple[list[str], int, Generation]] = []

    def answer(self, chat: Chat, options: Generation) -> Iterator[str]:
        self.asked.append((chat.turns, len(chat.images), options))
        line = self.lines.pop(0)
        yield from (line[: len(line) // 2], line)


def test_points_and_their_names() -> None:
    text = (
        'A <point x="10.5" y="20.0" alt="cup">cup</point>, '
        '<points x1="1" y1="2" x2="3" y2="4" alt="b">bowls</points>, Click(50.0, 60.0) and <point x="7" y="8'
    )
    assert find_points(text) == [
        NamedPoint('cup', 10.5, 20.0),
        NamedPoint('bowls', 1, 2),
        NamedPoint('bowls', 3, 4),
        NamedPoint('', 50.0, 60.0),
    ]
    assert find_points('no points') == []
    drawn = draw_points(Image.new('L', (200, 100)), [NamedPoint('cup', 25.0, 50.0)])
    pixels = np.asarray(drawn)
    assert pixels[50, 50].tolist() == [0xE6, 0x00, 0x7E] and pixels[50, 150].tolist() == [0, 0, 0]


def test_a_conversation(folder: Path) -> None:
    """Turns, images in turn, regeneration, options and mistakes, as the model gets to see them."""
    red, blue = str(folder / 'red.png'), str(folder / 'blue sky.png')
    model: Any = Scripted('It is red.', '<point x="25.0" y="50.0" alt="sky">sky</point>', 'Both.', 'Well.')
    out = folder / 'points.png'
    printed = talk(
        model,
        'What color?',
        f'/image "{blue}"',
        '/temperature 0.5',
        'Where is the sky?',
        f'/points {out}',
        '/max-tokens 9',
        'Which one?',
        '/again',
        images=(red,),
    )
    assert model.asked == [
        (['What color?'], 1, Generation(6)),
        (['<|image|>What color?', 'It is red.', '<|image|>Where is the sky?'], 2, Generation(6, 0.5)),
        *[(model.asked[2][0], 2, Generation(9, 0.5))] * 2,
    ]
    assert model.asked[2][0][3:] == ['<point x="25.0" y="50.0" alt="sky">sky</point>', 'Which one?']
    assert f'[{red}: 200 x 100]' in printed and '> It is red.\n' in printed
    assert '  1. sky  25.0 %, 50.0 %  (pixel 50, 50)\n' in printed
    assert Image.open(out).getpixel((50, 50)) == (0xE6, 0x00, 0x7E)


@pytest.mark.parametrize(
    'line, message',
    [
        ('/image nowhere.png', 'nowhere.png'),
        ('/again', 'nothing was asked yet'),
        ('/max-tokens many', "/max-tokens needs a number, not 'many'"),
        ('/temperature -1', "/temperature must be at least 0, not '-1'"),
        ('/points x.png', '/points needs a file to write, and an answer about an image'),
        ('/hepl', 'There is no command /hepl; /help lists them'),
        ('/help', '/image PATH…       images for the next question'),
    ],
)
def test_commands(line: str, message: str) -> None:
    model: Any = Scripted()
    assert message in talk(model, line)


def test_cleared(folder: Path) -> None:
    model: Any = Scripted('One.', 'Two.')
    talk(model, 'First?', '/clear', 'Second?', '/quit', 'Third?', images=(str(folder / 'red.png'),))
    assert [asked[:2] for asked in model.asked] == [(['First?'], 1), (['Second?'], 0)]


def test_answers_are_those_of_generation(folder: Path, model: ChatModel) -> None:
    """Streamed pieces grow into what `generate` writes; a generator that is closed stops the model."""
    chat = Chat()
    chat.ask('What is it?', [str(folder / 'red.png'), str(folder / 'blue sky.png')])
    pieces = list(model.answer(chat, Generation(12)))
    inputs = model.prompt(chat)
    tokens = model.model.generate(
        **inputs, max_new_tokens=12, do_sample=False, eos_token_id=model.tokenizer.eos_token_id
    )
    text = model.tokenizer.decode(tokens[0, inputs['input_ids'].shape[1] :], skip_special_tokens=True).strip()
    assert pieces[-1] == text and all(text.startswith(piece) for piece in pieces) and len(pieces) > 4
    torch.manual_seed(0)
    assert list(model.answer(chat, Generation(12, temperature=1.5)))[-1] != text
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    hook = model.model.register_forward_hook(count)
    with closing(model.answer(chat, Generation(400))) as answers:
        next(answers)
    hook.remove()
    assert 0 < calls < 300


def test_errors_reach_the_user(folder: Path, model: ChatModel) -> None:
    (folder / 'broken.png').write_bytes(b'no picture')
    chat = Chat()
    chat.ask('What?', [str(folder / 'broken.png')])
    with pytest.raises(ValueError, match=r'images\[0\]'):
        next(model.answer(chat, Generation()))
    with pytest.raises(ValueError, match='There is no question'):
        chat.ask('  ', [])
    with pytest.raises(ValueError, match="dtype='fp8' does not exist; choose one of: fp32, bf16, fp16"):
        load_chat_model(str(folder), dtype='fp8')


def test_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint is loaded in bf16, asked about a picture, and its answer printed."""
    arguments = [
        'chat',
        str(folder),
        '--cli',
        '--image',
        str(folder / 'red.png'),
        '--dtype',
        'bf16',
        '--max-tokens',
        '5',
    ]
    done = CliRunner().invoke(app, arguments, input='What is it?\n/quit\n')
    assert done.exit_code == 0, done.output
    assert 'red.png: 200 x 100]' in done.stdout and len(done.stdout.split('> ')[1].strip()) > 3
    missing = CliRunner().invoke(app, ['chat', str(folder / 'nowhere'), '--cli'])
    assert missing.exit_code == 1 and 'No checkpoint at' in missing.output
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    bare = CliRunner().invoke(app, ['chat', str(folder)])
    assert bare.exit_code == 1 and "pip install 'molmo-foundry[demo]'" in bare.output
