# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The pages of results: what is on them, that model output stays text, and in a browser how they look and behave.

The tests in a browser skip where there is no Chromium.
"""

import html
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from benchmark_records import SIZE, picture
from PIL import Image
from result_folders import prediction, write_results
from typer.testing import CliRunner

from molmo_foundry.cli.eval import app
from molmo_foundry.data.mds import write_mds
from molmo_foundry.eval.report import write_report
from molmo_foundry.processing.types import Example

ATTACK = '</script><script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'
COUNT = 5000
STATED, TRUE = (0x1F, 0x6F, 0xFF), (0x17, 0xB2, 0x6A)
"""Colours of points."""

Dom = Callable[..., str]


@pytest.fixture(scope='module')
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three tasks: points, an attack in every text, and thousands of predictions."""
    home = tmp_path_factory.mktemp('report')
    records = [Example(f'r{i}', [picture('white')], [{'question': '?', 'answer': '!'}]) for i in range(COUNT)]
    write_mds(records, home / 'data')
    points = [
        prediction(
            0,
            '<point x="25.0" y="50.0" alt="cat">cat</point>',
            scores={'pointing': {'precision': 0.0, 'recall': 0.0, 'f1': 0.0}},
            image_size=SIZE,
            points=[[48, 24]],
        )
    ]
    attack = [
        prediction(0, ATTACK, id=ATTACK, prompt=ATTACK, references=[ATTACK], scores={'vqa_score': 1.0}, finished=False)
    ]
    many = [
        prediction(i, f'word{i} ' * 20, references=[str(i)], scores={'vqa_score': (0.0, 1 / 3, 1 - 5e-11)[i % 3]})
        for i in range(COUNT)
    ]
    folders = [
        write_results(home / name, task, rows, home / 'data')
        for name, task, rows in (
            ('pointing', 'pointing_eval', points),
            ('attack', 'okvqa', attack),
            ('many', 'text_vqa', many),
        )
    ]
    return write_report(folders, home / 'pages').parent


class Tags(HTMLParser):
    """Collects addresses and scripts."""

    def __init__(self, page: str):
        super().__init__()
        self.addresses: list[str] = []
        self.scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self.scripts += tag == 'script'
        self.addresses += [value for name, value in attrs if name in ('src', 'href')]


def data_of(page: Path) -> list[dict[str, Any]]:
    """The predictions that a page carries."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(found[1]) if found else []


def test_table_has_the_papers_numbers(pages: Path) -> None:
    text = (pages / 'index.html').read_text()
    cells = [re.findall(r'<td class="number.*?">(?:<b>)?(.*?)(?:</b>)?</td>', row) for row in text.split('<tr>')[2:]]
    assert cells == [
        ['1', '0', '0.0', '72.2', '75.1', '74.3', '75.2'],
        ['1', '1', '100.0', '–', '–', '–', '–'],
        [f'{COUNT:,}', '0', '44.4', '78.8', '80.4', '81.7', '83.1'],
    ]


def test_pages_need_nothing_else_and_carry_no_foreign_script(pages: Path) -> None:
    for page in pages.glob('*.html'):
        tags = Tags(page.read_text())
        assert tags.scripts == (0 if page.name == 'index.html' else 2), 'the data and the script'
        shown = [picture for row in data_of(page) for picture in row['pictures']]
        assert all((pages / address).exists() for address in [*tags.addresses, *shown]), page.name
        assert "default-src 'none'" in page.read_text()


def test_thousands_of_predictions_stay_small(pages: Path) -> None:
    """At most 1 KB a prediction; its picture is a file of its own."""
    assert (pages / 'many.html').stat().st_size < COUNT * 1000
    assert len(list((pages / 'pictures').rglob('*.jpg'))) == COUNT, 'tasks on the same data share pictures'


def test_command(pages: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ['report', str(pages.parent), '--out', str(tmp_path / 'out')])
    assert done.exit_code == 0 and '3 tasks' in done.output
    assert (tmp_path / 'out/index.html').exists()
    nothing = CliRunner().invoke(app, ['report', str(tmp_path / 'out')])
    assert nothing.exit_code == 1 and 'There are no results of tasks' in nothing.output


@pytest.fixture
def dom(chromium: Callable[..., subprocess.CompletedProcess], tmp_path: Path) -> Dom:
    """The document after its scripts, and one more that its own policy would refuse, have run."""

    def run(page: Path, script: str = '', fragment: str = '') -> str:
        if script:
            text = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', '', page.read_text())
            page = page.with_name(f'scripted-{page.name}')
            page.write_text(text.replace('</body>', f'<script>{script}</script></body>'))
        return chromium(page.as_uri() + fragment, '--dump-dom').stdout

    return run


def shown(document: str) -> list[str]:
    """Ids of the cards on a page."""
    return [html.unescape(name) for name in re.findall(r'<article class="card \w+"><h2>(.*?)<b>', document)]


def test_filters_search_and_paging(pages: Path, dom: Dom) -> None:
    page = pages / 'many.html'
    document = dom(page)
    assert shown(document) == [f'q{i}' for i in range(50)]
    assert '1 of 100 (5000)' in document
    assert (
        '<output id="count-wrong">1667</output>' in document and '<output id="count-partly">1667</output>' in document
    )
    assert shown(dom(page, fragment='#show=wrong&page=2'))[:2] == ['q150', 'q153']
    assert shown(dom(page, fragment='#show=right&search=word4997')) == ['q4997']
    assert shown(dom(page, fragment='#page=999'))[-1] == 'q4999'
    clicked = dom(page, "document.getElementById('next').click(); document.title = location.hash;")
    assert shown(clicked)[0] == 'q50' and 'page=2' in re.findall('<title>(.*?)</title>', clicked)[0]


def test_model_output_stays_text(pages: Path, dom: Dom) -> None:
    for fragment in ('', '#show=cut'):
        document = dom(pages / 'attack.html', fragment=fragment)
        assert '<title>owned' not in document
        assert shown(document) == [ATTACK]
        assert '<img src="x"' not in document


def test_points_are_drawn(pages: Path, chromium: Callable[..., subprocess.CompletedProcess], tmp_path: Path) -> None:
    """A white picture of 64 × 48, shown 240 wide: predicted at a quarter of its width, right at three quarters."""
    out = tmp_path / 'page.png'
    chromium((pages / 'pointing.html').as_uri(), f'--screenshot={out}', '--window-size=1200,900')
    pixels = np.asarray(Image.open(out).convert('RGB')).astype(int)
    assert pixels.shape == (900, 1200, 3)
    card = pixels[270:]  # below the legend, which has the same colours
    centers = []
    for colour in (STATED, TRUE):
        ys, xs = np.nonzero((np.abs(card - np.array(colour)) <= 12).all(axis=-1))
        assert len(xs) >= 20, 'a dot of 1.5 or 2.2 percent of the width as its radius'
        centers.append((xs.mean(), ys.mean()))
    (x1, y1), (x2, y2) = centers
    assert x2 - x1 == pytest.approx(120, abs=1.5) and y2 == pytest.approx(y1, abs=1.5)


def test_picture_of_the_table(
    pages: Path, chromium: Callable[..., subprocess.CompletedProcess], tmp_path: Path
) -> None:
    out = tmp_path / 'page.png'
    chromium((pages / 'index.html').as_uri(), f'--screenshot={out}', '--window-size=1300,500')
    pixels = np.asarray(Image.open(out).convert('RGB')).astype(int)
    assert ((pixels - np.array([0x1D, 0x5F, 0xD1])).__abs__().sum(-1) < 30).sum() > 50, 'links to the tasks'


def test_pictures_load(pages: Path, dom: Dom) -> None:
    script = """
        window.addEventListener('load', () => {
          const images = [...document.images].slice(0, 3);
          document.title = JSON.stringify(images.map((image) => [image.naturalWidth, image.naturalHeight]));
        });"""
    titles = re.findall(r'<title>(.*?)</title>', dom(pages / 'pointing.html', script))
    assert json.loads(html.unescape(titles[0])) == [list(SIZE)]
