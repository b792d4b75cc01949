# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The chat page in a browser: images, answers as they are written, points drawn and listed, text that stays text.

Skips where there is no Gradio or no Chromium.
"""

import json
import re
import socket
import threading
from pathlib import Path
from typing import Any, Generator, Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from browser import SECONDS, Tab, open_tab
from PIL import Image

pytest.importorskip('gradio', reason="Gradio is not installed; pip install 'molmo-foundry[demo]'")

from molmo_foundry.chat.conversation import Chat
from molmo_foundry.chat.model import ChatModel, Generation
from molmo_foundry.chat.page import EXAMPLES, build_page, launch
from molmo_foundry.data.synthetic import make_example
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.tokenizer import MolmoTokenizer

ATTACK = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
POINTING = f'Here: <points x1="25.0" y1="50.0" x2="75.0" y2="50.0" alt="cup">cup</points> {ATTACK}'


ENDLESS = 'And so on'
DOT = (0xE6, 0x00, 0x7E)
"""Colour of points."""


class Scripted(ChatModel):
    """A tiny model that says something else: what it is told, word by word. It notes what it was asked."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.said = POINTING
        self.asked: list[tuple[list[str], int, Generation]] = []
        self.closed = threading.Event()

    def answer(self, chat: Chat, options: Generation) -> Generator[str, None, None]:
        self.preprocessor.load_images(chat.images, record='this chat')
        self.asked.append((chat.turns, len(chat.images), options))
        if self.said == ENDLESS:
            try:
                while True:
                    yield ENDLESS
                    self.closed.wait(0.05)
            finally:
                self.closed.set()
        words = self.said.split(' ')
        yield from (' '.join(words[: count + 1]) for count in range(len(words)))


def tiny(kind: type[ChatModel]) -> ChatModel:
    model = MolmoForCausalLM(build_config('tiny', 'tiny', initializer_range=0.3))
    return kind(model, MolmoTokenizer('tiny', vocab_size=model.config.vocab_size))


@pytest.fixture(scope='module')
def model() -> Scripted:
    model = tiny(Scripted)
    assert isinstance(model, Scripted)
    return model


@pytest.fixture(scope='module')
def tab(model: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    options, folder = Generation(max_new_tokens=64), tmp_path_factory.mktemp('pictures')
    page = build_page(model, options, title='tiny <b>model', folder=folder)
    url = launch(page, host='127.0.0.1', port=0)
    with open_tab(url, tmp_path_factory.mktemp('profile'), '--window-size=1300,900') as tab:
        tab.wait_for("document.querySelector('textarea') !== null")
        yield tab
    page.close()


def ask(tab: Tab, text: str, *images: Path) -> None:
    """Drops images, types, and presses Enter."""
    if images:
        tab.choose_files('input[type=file]', *images)
        tab.wait_for(f"document.querySelectorAll('.thumbnails img, .thumbnail-item img').length === {len(images)}")
    tab.run(f"""(() => {{
        const area = document.querySelector('textarea');
        area.value = {text!r};
        area.dispatchEvent(new Event('input', {{ bubbles: true }}));
    }})()""")
    send(tab)


def send(tab: Tab) -> None:
    tab.wait_for("document.querySelector('.generating') === null")
    tab.wait_for("!document.querySelector('.submit-button').disabled")
    tab.run("document.querySelector('.submit-button').click()")


def press(tab: Tab, name: str) -> None:
    tab.run(f"[...document.querySelectorAll('button')].find((b) => b.innerText.trim() === {name!r}).click()")


def messages(tab: Tab, role: str) -> list[str]:
    """Texts of the conversation."""
    return tab.run(f"[...document.querySelectorAll('.message.{role}')].map((part) => part.innerText.trim())")


def test_images_points_and_text(tab: Tab, model: Scripted, tmp_path: Path) -> None:
    """Two images go with a question; the points are drawn on the last one and listed, and no markup is obeyed."""
    for name in ('red', 'white'):
        Image.new('RGB', (400, 300), name).save(tmp_path / f'{name}.png')
    ask(tab, 'Point <b>here</b>', tmp_path / 'red.png', tmp_path / 'white.png')
    tab.wait_for("document.querySelectorAll('.points tr').length === 3")
    tab.wait_for(f"document.querySelector('.message.bot').innerText.trim() === {POINTING!r}")
    assert model.asked[-1] == (['Point <b>here</b>'], 2, Generation(max_new_tokens=64))
    assert messages(tab, 'user')[-1] == 'Point <b>here</b>'
    assert tab.run("document.querySelectorAll('.message.user img').length") == 2
    cells = tab.run("[...document.querySelectorAll('.points td')].map((cell) => cell.innerText)")
    assert cells[6:] == ['1', 'cup', '25.0', '50.0', '100', '150', '2', 'cup', '75.0', '50.0', '300', '150']
    assert tab.run("document.querySelector('.message.bot img, .message.user b')") is None
    assert 'owned' not in tab.run('document.title')

    tab.wait_for("document.querySelector('.image-frame img')?.naturalWidth === 400")
    tab.screenshot(tmp_path / 'page.png')
    pixels = np.asarray(Image.open(tmp_path / 'page.png').convert('RGB')).astype(int)
    ys, xs = np.nonzero((np.abs(pixels - np.array(DOT)) <= 8).all(-1))
    left, right = xs < xs.mean(), xs > xs.mean()
    assert xs[right].mean() - xs[left].mean() == pytest.approx(200, abs=2), 'shown at its own size'
    assert ys[right].mean() == pytest.approx(ys[left].mean(), abs=1)


def test_again_clear_and_options(tab: Tab, model: Scripted) -> None:
    """A conversation goes on, an answer is given again with other options, and then all is forgotten."""
    model.said = 'A word.'
    ask(tab, 'And now?')
    tab.wait_for("document.querySelectorAll('.message.bot').length === 2")
    tab.wait_for("[...document.querySelectorAll('.message.bot')].at(-1)?.innerText.trim() === 'A word.'")
    assert model.asked[-1][0] == ['Point <b>here</b>', POINTING, 'And now?']
    tab.wait_for("document.querySelector('.points') === null")

    tab.run("[...document.querySelectorAll('button')].find((b) => b.innerText.includes('How to answer')).click()")
    set_number = """((label, value) => {
        const block = [...document.querySelectorAll('.block')].find((b) => b.innerText.startsWith(label));
        const input = block.querySelector('input[type=number]');
        input.value = value;
        for (const name of ['input', 'change', 'blur']) input.dispatchEvent(new Event(name, { bubbles: true }));
    })"""
    tab.run(f"{set_number}('Longest answer', 7)")
    tab.run(f"{set_number}('Temperature', 0.5)")
    model.said = 'Another.'
    press(tab, 'Answer again')
    tab.wait_for("[...document.querySelectorAll('.message.bot')].at(-1)?.innerText.trim() === 'Another.'")
    assert model.asked[-1] == (['Point <b>here</b>', POINTING, 'And now?'], 2, Generation(7, 0.5))

    press(tab, 'Clear')
    tab.wait_for("document.querySelectorAll('.message').length === 0")
    ask(tab, 'Who am I?')
    tab.wait_for("document.querySelectorAll('.message.bot').length === 1")
    assert model.asked[-1][:2] == (['Who am I?'], 0)


def test_stop(tab: Tab, model: Scripted) -> None:
    """An answer without end is stopped; what there is of it stays, and the conversation goes on."""
    model.said = ENDLESS
    ask(tab, 'Go on.')
    tab.wait_for(f"[...document.querySelectorAll('.message.bot')].at(-1)?.innerText.trim() === {ENDLESS!r}")
    press(tab, 'Stop')
    assert model.closed.wait(SECONDS)
    model.said = 'Done.'
    ask(tab, 'Enough?')
    tab.wait_for("[...document.querySelectorAll('.message.bot')].at(-1)?.innerText.trim() === 'Done.'")
    assert model.asked[-1][0][-3:] == ['Go on.', ENDLESS, 'Enough?']
    press(tab, 'Clear')
    tab.wait_for("document.querySelectorAll('.message').length === 0")


def test_errors_are_shown_and_forgotten(tab: Tab, model: Scripted, tmp_path: Path) -> None:
    """A broken image is named; the question is not part of the conversation."""
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    before = len(model.asked)
    ask(tab, 'What is it?', tmp_path / 'broken.png')
    tab.wait_for("document.body.innerText.includes('images[0]')")
    assert len(model.asked) == before
    tab.wait_for("document.querySelectorAll('.message.user').length === 0")


def test_nothing_is_fetched_from_elsewhere(tab: Tab) -> None:
    """No address of another host is asked for; the policy would refuse it."""
    hosts = {urlsplit(url).hostname for url in tab.requests if url.startswith('http')}
    assert hosts == {'127.0.0.1'}
    refused = tab.run("fetch('https://example.org').then(() => 'loaded', () => 'refused')")
    assert refused == 'refused'


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    page = build_page(tiny(ChatModel), Generation(), title='tiny', folder=tmp_path)
    with socket.create_server(('127.0.0.1', 0)) as taken, pytest.raises(OSError, match='choose another with --port'):
        launch(page, host='127.0.0.1', port=taken.getsockname()[1])


def test_a_real_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is on the page is what the model writes without one, here to the first example, which is clicked."""
    torch.manual_seed(4)  # which rambles
    model, options = tiny(ChatModel), Generation(max_new_tokens=24)
    chat = Chat()
    chat.ask(EXAMPLES[True][0], [make_example('test', 0).images[0]])
    *parts, expected = model.answer(chat, options)
    assert len(parts) > 3 and expected.startswith(parts[1])
    page = build_page(model, options, title='tiny', folder=tmp_path_factory.mktemp('pictures'))
    url = launch(page, host='127.0.0.1', port=0)
    with open_tab(url, tmp_path_factory.mktemp('profile')) as tab:
        tab.wait_for("document.querySelector('.gallery-item') !== null")
        tab.wait_for("""new Promise((done) => {  // a click that comes before the page listens is lost
            document.querySelector('.gallery-item').click();
            setTimeout(() => done(document.querySelector('textarea').value !== ''), 1000);
        })""")
        send(tab)
        # Control characters are left aside: Python takes some of them for spaces, a browser does not.
        visible = ' '.join(re.sub(r'[\x00-\x08\x0e-\x1f]', '', expected).split())
        tab.wait_for(f"""document.querySelector('.message.bot')?.innerText
            .replace(/[\\x00-\\x08\\x0e-\\x1f]/g, '').replace(/\\s+/g, ' ').trim() === {json.dumps(visible)}""")
    page.close()
