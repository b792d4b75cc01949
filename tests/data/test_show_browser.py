# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The page of `data show` in a browser: how it looks, and what its script does. Skips where there is no Chromium."""

import colorsys
import html
import json
import re
import subprocess
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from PIL import Image
from show_pages import ATTACK, COLOURS, Page, show_page, write_records

from molmo_foundry.data.show.tokens import BRANCH_HUES

Browser = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope='module')
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp('page')
    return show_page(folder / 'page.html', write_records(folder / 'mds'))


def _dom(chromium: Browser, page: Path, script: str = '', fragment: str = '') -> str:
    """The page's document after its scripts, and one more that its own policy would refuse, have run."""
    if script:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', '', page.read_text(encoding='utf-8'))
        page = page.with_name('scripted.html')
        page.write_text(text.replace('</body>', f'<script>{script}</script></body>'), encoding='utf-8')
    return chromium(page.as_uri() + fragment, '--dump-dom').stdout


def _screenshot(chromium: Browser, page: Path, *options: str) -> np.ndarray:
    out = page.with_suffix('.png')
    chromium(page.as_uri(), f'--screenshot={out}', '--window-size=1400,1500', *options)
    return np.asarray(Image.open(out).convert('RGB'))


def _hidden(dom: str) -> list[bool]:
    return ['hidden' in tag for tag in re.findall(r'<article[^>]*>', dom)]


def _count(pixels: np.ndarray, colour: tuple[float, ...], tolerance: int = 3) -> int:
    return int((np.abs(pixels.astype(int) - np.array(colour)) <= tolerance).all(axis=-1).sum())


def _hue(index: int) -> tuple[float, ...]:
    """The colour of a branch's edge in the light theme."""
    return tuple(255 * part for part in colorsys.hls_to_rgb(BRANCH_HUES[index] / 360, 0.52, 0.85))


def test_picture_of_the_page(chromium: Browser, page: Page) -> None:
    pixels = _screenshot(chromium, page.path)
    assert pixels.shape == (1500, 1400, 3)
    assert _count(pixels, pixels[0, 0]) < pixels.shape[0] * pixels.shape[1] / 2
    for branch in range(3):  # an edge of three pixels along a line of text, and the attention picture
        assert _count(pixels, _hue(branch)) > 200
    for colour in COLOURS:  # a quarter of the picture, less what overlaps
        assert _count(pixels, colour, tolerance=8) > 2000
    assert _count(pixels, (0xF5, 0xA3, 0x00), tolerance=20) > 300  # edges of tiles


def test_dark_theme(chromium: Browser, page: Page) -> None:
    light, dark = (_screenshot(chromium, page.path, f'--blink-settings=preferredColorScheme={i}') for i in (1, 0))
    assert np.median(light) > 200 and np.median(dark) < 60


@pytest.mark.parametrize('words, left', [('ZEBRA', [3]), ('text+only', [3]), ('image+where', [2]), ('nowhere', [])])
def test_filter_in_the_url(chromium: Browser, page: Page, words: str, left: list[int]) -> None:
    dom = _dom(chromium, page.path, fragment=f'#filter={words}')
    assert [i for i, hidden in enumerate(_hidden(dom)) if not hidden] == left
    assert f'>{len(left)} of 7</output>' in dom


def test_filter_as_typed(chromium: Browser, page: Page) -> None:
    script = """
        filter.value = 'zebra';
        filter.dispatchEvent(new Event('input'));
        document.title = location.hash;"""
    dom = _dom(chromium, page.path, script)
    assert sum(not hidden for hidden in _hidden(dom)) == 1
    assert '<title>#filter=zebra</title>' in dom


def test_tooltip_of_a_token(chromium: Browser, page: Page) -> None:
    script = """
        const tokens = [...cards[0].querySelectorAll('[data-i] > i')];
        tokens[tokens.length - 3].dispatchEvent(new MouseEvent('mouseover', { bubbles: true }));"""
    dom = _dom(chromium, page.path, script)
    example, vocabulary = page.examples[0], page.data['vocabulary']
    index = len(example['ids']) - 2
    tip = re.findall(r'<d[td]>(.*?)</d[td]>', dom.split('id="tip"')[1].split('</dl>')[0])
    assert dict(zip(tip[::2], map(html.unescape, tip[1::2]))) == {
        'token': f'{example["ids"][index]} "{vocabulary[str(example["ids"][index])]}"',
        'at index': str(index),
        'position': str(example['positions'][index]),
        'segment': '3',
        'label': f'{example["labels"][index]} "{vocabulary[str(example["labels"][index])]}"',
        'weight': str(example['weights'][index]),
    }
    assert 0 < example['weights'][index] < 1


def test_shades(chromium: Browser, page: Page) -> None:
    """Either the learned tokens are dark, or the positions that predict them, one before."""
    script = """
        const tokens = [...cards[3].querySelectorAll('[data-i] > i')];
        const shades = () => tokens.map((token) => getComputedStyle(token).backgroundColor);
        const learned = shades();
        document.getElementById('by-position').click();
        document.title = JSON.stringify([learned, shades()]);"""
    dom = _dom(chromium, page.path, script)
    learned, predicting = json.loads(html.unescape(re.findall(r'<title>(.*?)</title>', dom)[0]))
    weights = page.examples[3]['weights']
    answer = [i for i, weight in enumerate(weights) if weight]
    assert len(answer) >= 2 and answer[-1] == len(weights) - 1
    assert len({learned[i + 1] for i in answer} | {predicting[i] for i in answer}) == 1
    assert learned[answer[0]] != predicting[answer[0]] and predicting[-1] != learned[-1]


def test_no_other_script_runs(chromium: Browser, page: Page, tmp_path: Path) -> None:
    injected = tmp_path / 'page.html'
    text = page.path.read_text(encoding='utf-8')
    injected.write_text(text.replace('</body>', f'{ATTACK}</body>'), encoding='utf-8')
    for path in (page.path, injected):
        assert '<title>owned' not in chromium(path.as_uri(), '--dump-dom').stdout


@pytest.mark.parametrize('width', [360, 900, 1600])
def test_fits_any_width(chromium: Browser, page: Page, width: int) -> None:
    """Nothing is wider than the window, and nothing sticks out of its card, where it would be cut off."""
    script = f"""
        const frame = document.createElement('iframe');
        frame.style.width = '{width}px';
        frame.onload = () => {{
          const root = frame.contentDocument.documentElement;
          const outside = [...root.querySelectorAll('.card *:not(svg *, .crop *, .grid *)')].filter(
            (part) => part.getBoundingClientRect().right > part.closest('.card').getBoundingClientRect().right);
          document.title = JSON.stringify([root.clientWidth, root.scrollWidth, outside.map((part) => part.outerHTML)]);
        }};
        frame.srcdoc = document.documentElement.outerHTML.replace(/<script>[^]*<.script>/, '');
        document.body.append(frame);"""
    report = re.findall(r'<title>(.*?)</title>', _dom(chromium, page.path, script))[0]
    client, scroll, outside = json.loads(html.unescape(report))
    assert width - 20 <= client <= width and scroll <= client
    assert outside == []
