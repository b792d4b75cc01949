# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Own data as tables, arrays and data sets of `datasets`, with columns of any name."""

import csv
import json
import pickle
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Iterator

import pytest
from own_images import png

from molmo_foundry.data.download import CachedImages, DownloadOptions, download_images
from molmo_foundry.data.sources import read_source
from molmo_foundry.data.sources.columns import ColumnMap
from molmo_foundry.data.sources.hub_table import HubData
from molmo_foundry.data.sources.own import OwnData, OwnHubData
from molmo_foundry.data.sources.records import Rejected


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in 'ab':
        (tmp_path / f'{name}.png').write_bytes(png(name))
    return tmp_path


def _csv(path: Path, *rows: list[Any]) -> Path:
    with open(path, 'w', newline='', encoding='utf-8') as file:
        csv.writer(file, delimiter='\t' if path.suffix == '.tsv' else ',').writerows(rows)
    return path


@pytest.mark.parametrize('suffix', ['.csv', '.tsv'])
def test_table_of_text(images: Path, suffix: str) -> None:
    rows = [
        ['id', 'image', 'question', 'answer', 'weight', 'options', 'height'],
        ['x', 'a.png', 'Which,\nexactly?', 'blue', '0.5', '["red", "blue"]', '6'],
        ['', 'b.png', 'Which?', 'red', '', '', '8'],
    ]
    first, second = read_source(_csv(images / f'own{suffix}', *rows))
    assert (first.id, first.images) == ('x', [png('a')])
    assert first.annotations == [
        {'question': 'Which,\nexactly?', 'weight': 0.5, 'options': ['red', 'blue'], 'answer_idx': 1}
    ]
    assert (second.id, second.annotations) == ('own-00000002', [{'question': 'Which?', 'answer': 'red'}])


def test_columns_of_any_name(images: Path) -> None:
    path = _csv(images / 'own.csv', ['img', 'q', 'a', 'key'], ['a.png', 'What?', '["A dot", "dot"]', '17'])
    columns = ColumnMap.parse('image=img, question=q,answers=a,metadata.question_id=key')
    (example,) = read_source(path, columns=columns)
    assert example.annotations == [{'question': 'What?', 'answers': ['A dot', 'dot']}]
    assert example.metadata == {'question_id': '17'}
    (images / 'map.yaml').write_text('image: img\ntext: a\n')
    (example,) = read_source(path, columns=ColumnMap.parse(str(images / 'map.yaml')))
    assert example.annotations == [{'style': 'long_caption', 'text': '["A dot", "dot"]'}]


def test_columns_of_json(images: Path) -> None:
    (images / 'own.jsonl').write_text(json.dumps({'file': 'a.png', 'caption': 'A dot.', 'other': 1}))
    (example,) = read_source(images / 'own.jsonl', columns=ColumnMap.parse('image=file,text=caption'))
    assert example.annotations == [{'style': 'long_caption', 'text': 'A dot.'}] and example.images == [png('a')]


@pytest.mark.parametrize(
    'text, error',
    [
        ('question', "'question' is not of the form key=column"),
        ('question=', "'question' is not of the form"),
        ('qestion=q', 'qestion is no key of a record; did you mean question'),
        ('metadata.=q', 'metadata. is no key'),
        ('none.yaml', 'none.yaml'),
    ],
)
def test_a_map_that_is_none(text: str, error: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=error):
        ColumnMap.parse(text)


def test_a_yaml_file_that_is_no_map(tmp_path: Path) -> None:
    (tmp_path / 'map.yaml').write_text('- question')
    with pytest.raises(ValueError, match='map.yaml must map keys to names of columns'):
        ColumnMap.parse(str(tmp_path / 'map.yaml'))


def test_columns_that_are_not_there(images: Path) -> None:
    path = _csv(images / 'own.csv', ['img', 'question'], ['a.png', 'What?'])
    with pytest.raises(ValueError, match="own.csv has no column 'imgs'; did you mean img"):
        list(read_source(path, columns=ColumnMap.parse('image=imgs')))
    path = _csv(images / 'own.csv', ['img', 'q'], ['a.png', 'What?'])
    with pytest.raises(ValueError, match='has the columns img, q, none of which is named like a key.*--columns'):
        list(read_source(path))


def test_bad_rows_do_not_hide_the_others(images: Path) -> None:
    rows = [['text', 'points'], ['x', '[1'], ['y', ''], ['z', '', 'more']]
    points, good, more = read_source(_csv(images / 'own.csv', *rows))
    assert 'own.csv:2: points must be JSON' in str(points) and points.reason == 'bad_row'
    assert good.annotations[0]['text'] == 'y'
    assert 'own.csv:4: has more cells than the header' in str(more)


def test_parquet(images: Path) -> None:
    pyarrow = pytest.importorskip('pyarrow')
    from pyarrow import parquet

    table = {
        'image': [{'bytes': png('a'), 'path': None}, {'bytes': None, 'path': 'b.png'}],
        'answers': [['dot', 'red dot'], None],
        'question': ['What?', 'Where?'],
        'answer': [None, 'Here.'],
        'points': [None, [[1.0, 2.0]]],
    }
    parquet.write_table(pyarrow.table(table), images / 'own.parquet')
    first, second = read_source(images / 'own.parquet')
    assert (first.images, first.annotations) == (
        [png('a')],
        [{'answers': ['dot', 'red dot'], 'question': 'What?'}],
    )
    assert second.images == [png('b')] and second.annotations[0]['points'] == [[1.0, 2.0]]
    assert OwnData(images / 'own.parquet').count() == 2
    (images / 'own.parquet').write_bytes(b'PAR1 no')
    with pytest.raises(ValueError, match='own.parquet cannot be read as Parquet'):
        list(read_source(images / 'own.parquet'))


def test_json_array(images: Path) -> None:
    (images / 'own.json').write_text(json.dumps([{'image': 'a.png', 'text': 'Red.'}, 3, {'id': 'z', 'text': 'x'}]))
    first, bad, last = read_source(images / 'own.json')
    assert (first.id, first.images) == ('own-00000001', [png('a')]) and last.id == 'z'
    assert 'own.json: element 2: must be a JSON object' in str(bad)
    (images / 'own.json').write_text('{"a": 1}')
    with pytest.raises(ValueError, match='own.json: no JSON array'):
        list(read_source(images / 'own.json'))


def test_image_folder_with_a_table(images: Path) -> None:
    """As `datasets` has it: a metadata file that names files beside it."""
    _csv(images / 'metadata.csv', ['file_name', 'text'], ['a.png', 'Red.'], ['b.png', 'Blue.'])
    records = list(read_source(images))
    assert [(r.images[0], r.annotations[0]['text']) for r in records] == [(png('a'), 'Red.'), (png('b'), 'Blue.')]


def test_rows_of_one_image_make_one_record(images: Path) -> None:
    rows = [
        *([{'id': i, 'image': 'a.png', 'question': f'{i}?', 'answer': 'x'} for i in range(3)]),
        {'id': 3, 'image': 'b.png', 'question': '3?', 'answer': 'x'},
        *({'id': i, 'question': f'{i}?', 'answer': 'x'} for i in (4, 5)),
        {'id': 6, 'image': 'a.png', 'annotations': [{'text': 'x'}, {'text': 'y'}]},
        {'id': 7, 'image': 'a.png', 'text': 'z'},
    ]
    (images / 'own.jsonl').write_text('\n'.join(map(json.dumps, rows)) + '\n{"broken')
    *records, broken = read_source(images / 'own.jsonl', by_image=True)
    assert [(r.id, len(r.images), len(r.annotations)) for r in records] == [
        ('0', 1, 3),
        ('3', 1, 1),
        ('4', 0, 1),
        ('5', 0, 1),
        ('6', 1, 3),
    ]
    assert [a['question'] for a in records[0].annotations] == ['0?', '1?', '2?'] and broken.reason == 'bad_json'
    assert len(list(read_source(images / 'own.jsonl'))) == len(rows) + 1


@pytest.mark.parametrize(
    'image, error',
    [
        ('http://a/b.png', r'images\[0\] is a URL; get it by .molmo-foundry data download'),
        ('data:image/png;base64,@@', r'images\[0\] is no valid data: URL'),
        ('data:image/png,abc', r'images\[0\] is a data: URL that is not in base64'),
        ('zip://none.png::none.zip', r'images\[0\] cannot be read'),
        ('none.png', r'images\[0\] cannot be read: .*paths are relative to'),
    ],
)
def test_images_that_cannot_be_had(images: Path, image: str, error: str) -> None:
    (images / 'own.jsonl').write_text(json.dumps({'image': image, 'text': 'x'}))
    (rejected,) = read_source(images / 'own.jsonl')
    assert isinstance(rejected, Rejected)
    with pytest.raises(Rejected, match=error):
        raise rejected


@pytest.fixture
def site(images: Path) -> Iterator[str]:
    """A server of the images on this machine."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(SimpleHTTPRequestHandler, directory=str(images)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def test_images_that_were_downloaded(images: Path, site: str) -> None:
    cache = images / 'cache'
    download_images(
        [f'{site}/a.png', f'{site}/none.png'], cache, options=DownloadOptions(allowed_networks=('127.0.0.0/8',))
    )
    rows = [{'image': f'{site}/{name}.png', 'text': 'x'} for name in ('a', 'none', 'b', 'a')]
    (images / 'own.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    good, lost, unknown, again = read_source(images / 'own.jsonl', image_cache=cache)
    assert good.images == again.images == [png('a')]
    assert all(f'was not downloaded to {cache}' in str(row) for row in (lost, unknown))
    reader = pickle.loads(pickle.dumps(CachedImages(cache)))
    assert reader.read(f'{site}/a.png') == png('a') and reader.read(f'{site}/a.png', '0' * 64) is None


def test_images_in_a_zip(images: Path) -> None:
    with zipfile.ZipFile(images / 'images.zip', 'w') as file:
        file.write(images / 'a.png', 'a.png')
    (images / 'own.jsonl').write_text(json.dumps({'image': f'zip://a.png::{images}/images.zip', 'text': 'x'}))
    (example,) = read_source(images / 'own.jsonl')
    assert example.images == [png('a')]


@pytest.fixture
def hub_data(tmp_path: Path) -> HubData:
    """A data set with two splits, images in lists and alone, and class labels."""
    datasets = pytest.importorskip('datasets')
    features = datasets.Features(
        img=datasets.Image(),
        more=datasets.Sequence(datasets.Image()),
        q=datasets.Value('string'),
        color=datasets.ClassLabel(names=['red', 'blue']),
    )
    row = {'img': {'bytes': png('a'), 'path': None}, 'q': 'Color?', 'color': 1}
    row['more'] = [row['img'], {'bytes': png('b'), 'path': None}]
    for split, count in (('train', 3), ('test', 1)):
        (tmp_path / 'hub' / 'data').mkdir(parents=True, exist_ok=True)
        table = datasets.Dataset.from_list([row] * count, features=features)
        table.to_parquet(tmp_path / 'hub' / 'data' / f'{split}-00000-of-00001.parquet')
    return HubData(str(tmp_path / 'hub'))


def test_any_data_set(hub_data: HubData) -> None:
    assert sorted(hub_data.splits()) == ['test', 'train']
    one = OwnHubData(hub_data, 'train', ColumnMap.parse('image=img,question=q,answer=color'))
    records = [record() for record in one.records()]
    assert [r.id for r in records] == ['train-00000000', 'train-00000001', 'train-00000002']
    assert records[0].images == [png('a')] and records[0].annotations == [{'question': 'Color?', 'answer': 'blue'}]
    several = OwnHubData(hub_data, 'test', ColumnMap.parse('images=more,question=q,answer=color'))
    assert next(several.records())().images == [png('a'), png('b')]


def test_a_data_set_with_other_columns(hub_data: HubData) -> None:
    with pytest.raises(ValueError, match="split train, has no column 'question'; there are img, q, color, more"):
        list(OwnHubData(hub_data, 'train', ColumnMap.parse('question=question')).records())
    with pytest.raises(ValueError, match='cannot be loaded as a data set of the hub'):
        HubData(f'{hub_data.id}/nowhere').splits()


def test_code_of_a_data_set_is_never_run(tmp_path: Path) -> None:
    folder = tmp_path / 'scripted'
    folder.mkdir()
    (folder / 'scripted.py').write_text(f'open({str(tmp_path / "ran")!r}, "w")\n')
    with pytest.raises(ValueError, match='cannot be loaded'):
        HubData(str(folder)).splits()
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('change', ['grown', 'touched', 'added'])
def test_revision_tells_changes(images: Path, change: str) -> None:
    (images / 'own.jsonl').write_text('{"text": "x"}\n')
    before = OwnData(images).revision()
    assert OwnData(images).revision() == before
    if change == 'grown':
        (images / 'own.jsonl').write_text('{"text": "xy"}\n')
    elif change == 'touched':
        (images / 'own.jsonl').touch()
    else:
        (images / 'more.jsonl').write_text('{"text": "x"}\n')
    assert OwnData(images).revision()['digest'] != before['digest']
