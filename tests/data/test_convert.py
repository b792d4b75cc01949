# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Conversion part by part: the bytes do not depend on how it went, and what is wrong is said exactly."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import files, open_rows, run, write_own
from streaming import LocalDataset

from molmo_foundry.data.convert import Settings, convert_parts, merge, open_inputs, open_store
from molmo_foundry.data.convert.duplicates import Place, agreeing_hashes
from molmo_foundry.data.convert.inputs import HubOptions, Input, Library, OwnOptions
from molmo_foundry.data.mds import MDSRecords
from molmo_foundry.data.schema import RecordError
from molmo_foundry.data.sources import registry
from molmo_foundry.data.synthetic import make_examples

ROWS = 70
"""Four full parts of 16, and six rows more."""


@pytest.fixture(scope='module')
def done(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('done') / 'mds'
    run(source, out)
    return out


def test_records_are_what_they_were(done: Path) -> None:
    records = list(MDSRecords(done))
    assert [(r.id, r.images, r.annotations) for r in records] == [
        (e.id, e.images, e.annotations) for e in make_examples('train', ROWS)
    ]


def test_shards_are_small_and_hashed(done: Path) -> None:
    shards = json.loads((done / 'index.json').read_text())['shards']
    assert len(shards) > 5 and len({shard['raw_data']['basename'] for shard in shards}) == len(shards)
    assert all(shard['raw_data']['bytes'] <= 1 << 15 and 'xxh64' in shard['raw_data']['hashes'] for shard in shards)


def test_card(source: Path, done: Path) -> None:
    card = json.loads((done / 'dataset_card.json').read_text())
    assert {key: card[key] for key in ('name', 'rows', 'records', 'images', 'text_only', 'parts', 'rejects')} == {
        'name': 'own',
        'rows': ROWS,
        'records': ROWS,
        'images': ROWS,
        'text_only': 0,
        'parts': 5,
        'rejects': {},
    }
    of_a_scene = {'long_caption': 1, 'transcript': 1, 'pointing': 2, 'point_count': 1, 'a_okvqa_mc': 4}
    written = [annotation['style'] for record in make_examples('train', ROWS) for annotation in record.annotations]
    assert card['annotations'] == Counter(written)
    assert card['annotations'].items() > {style: ROWS * count for style, count in of_a_scene.items()}.items()
    assert card['image_bytes'] == sum(path.stat().st_size for path in (source.parent / 'images').iterdir())
    assert card['origin']['bytes'] == source.stat().st_size and card['molmo_foundry']


@pytest.mark.parametrize('rows', [0, 1, 15, 16, 17, 32])
def test_any_number_of_rows(source: Path, tmp_path: Path, rows: int) -> None:
    if rows == 0:
        (tmp_path / 'empty.jsonl').touch()
        with pytest.raises(RecordError, match='There is no good record to write'):
            run(tmp_path / 'empty.jsonl', tmp_path / 'mds')
        return
    assert run(source, tmp_path / 'mds', limit=rows).report.records == rows
    assert [r.id for r in MDSRecords(tmp_path / 'mds')] == [e.id for e in make_examples('train', rows)]


def test_processes_change_nothing(source: Path, done: Path, tmp_path: Path) -> None:
    run(source, tmp_path / 'mds', processes=2)
    assert files(tmp_path / 'mds') == files(done)


def test_workers_and_merge_change_nothing(source: Path, done: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / 'mds')
    for worker in (2, 0, 1):
        with pytest.raises((ValueError, FileNotFoundError), match='no conversion was begun|there is no part-0000'):
            merge(store)
        settings = Settings(worker=worker, num_workers=3, rows_per_part=16, shard_bytes=1 << 15)
        convert_parts(open_rows(source), store, settings, lambda rows: None)
    merge(store)
    assert files(tmp_path / 'mds') == files(done)


def test_merge_says_which_worker_is_missing(source: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / 'mds')
    settings = Settings(worker=0, num_workers=2, rows_per_part=16)
    convert_parts(open_rows(source), store, settings, lambda rows: None)
    with pytest.raises(ValueError, match='not finished: there is no part-00001, part-00003. Run the same .* modulo N'):
        merge(store)


def test_a_worker_that_is_none(source: Path) -> None:
    with pytest.raises(ValueError, match='worker 3/3: workers are 0 to 2'):
        Settings(worker=3, num_workers=3)


def test_done_is_done(source: Path, done: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.rglob('shard*')}
    assert run(source, done).report.records == ROWS
    assert {path: path.stat().st_mtime_ns for path in done.rglob('shard*')} == before


def test_a_lost_part_is_made_again(source: Path, done: Path, tmp_path: Path) -> None:
    out = tmp_path / 'mds'
    run(source, out)
    (out / 'index.json').unlink()
    (out / 'part-00002' / 'part.json').unlink()
    kept = {path: path.stat().st_mtime_ns for path in out.glob('part-0000[013]/shard*')}
    run(source, out)
    assert files(out) == files(done)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_progress_counts_rows(source: Path, tmp_path: Path) -> None:
    for _ in range(2):  # the second passes over what is there
        steps: list[int] = []
        (tmp_path / 'mds' / 'index.json').unlink(missing_ok=True)
        settings = Settings(rows_per_part=16)
        convert_parts(open_rows(source), open_store(tmp_path / 'mds'), settings, steps.append)
        assert sum(steps) == ROWS


@pytest.mark.parametrize(
    'change, names',
    [({'limit': 20}, 'limit: it was None, it is 20'), ({'rows_per_part': 8}, 'rows_per_part: it was 16, it is 8')],
)
def test_another_conversion_is_not_mixed_in(source: Path, done: Path, change: dict[str, Any], names: str) -> None:
    with pytest.raises(ValueError, match=f'holds another conversion.*\n  {names}\n.*choose another --out'):
        run(source, done, **change)


def test_changed_source_is_not_mixed_in(tmp_path: Path) -> None:
    source = write_own(tmp_path / 'own', 20)
    run(source, tmp_path / 'mds')
    source.write_text(source.read_text().replace('circle', 'circles'))
    with pytest.raises(ValueError, match='origin.digest: it was'):
        run(source, tmp_path / 'mds')


def test_what_is_there_stays(source: Path, tmp_path: Path) -> None:
    (tmp_path / 'keep.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='not an empty folder; choose another --out'):
        run(source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['keep.txt']


def test_one_process_at_a_time(source: Path, tmp_path: Path) -> None:
    store, settings = open_store(tmp_path / 'mds'), Settings()
    with pytest.raises(ValueError, match='Another process is converting to .*mds'):
        convert_parts(
            open_rows(source), store, settings, lambda rows: convert_parts(open_rows(source), store, settings, print)
        )


BAD = {'image': 'images/none.jpg'}
WORSE = {'annotations': [{'style': 'vqa2'}]}


def test_a_bad_record_stops_and_leaves_nothing(tmp_path: Path) -> None:
    source = write_own(tmp_path / 'own', 10, row_7=BAD)
    with pytest.raises(RecordError, match=r"train-000007': image_missing: .*own.jsonl:8: images\[0\] cannot be read"):
        run(source, tmp_path / 'mds')
    assert not (tmp_path / 'mds').exists()


def test_a_bad_record_keeps_the_parts_before_it(tmp_path: Path) -> None:
    source = write_own(tmp_path / 'own', 40, row_37=BAD)
    with pytest.raises(RecordError, match='train-000037'):
        run(source, tmp_path / 'mds')
    assert sorted(path.name for path in (tmp_path / 'mds').iterdir()) == ['conversion.json', 'part-00000', 'part-00001']
    assert run(source, tmp_path / 'mds', skip_bad=True).report.records == 39


def test_rejects_are_counted_by_reason(tmp_path: Path) -> None:
    changes = {'row_3': BAD, 'row_5': WORSE, 'row_20': BAD, 'row_21': {'id': 'shapes-train-000017'}}
    source = write_own(tmp_path / 'own', 40, **changes)
    (source.parent / 'images' / '6.jpg').write_bytes((source.parent / 'images' / '6.jpg').read_bytes()[:500])
    report = run(source, tmp_path / 'mds', skip_bad=True).report
    counts = {reason: rejects.count for reason, rejects in report.rejects.items()}
    assert counts == {'image_missing': 2, 'bad_record': 1, 'bad_image': 1, 'same_id': 1}
    assert (report.rows, report.records) == (40, 35) and len(MDSRecords(tmp_path / 'mds')) == 35
    assert "record 'shapes-train-000006': images[0]: " in report.rejects['bad_image'].examples[0]
    assert "record 'shapes-train-000017': id is used twice" in report.rejects['same_id'].examples[0]
    card = json.loads((tmp_path / 'mds' / 'dataset_card.json').read_text())
    assert card['rejects']['image_missing']['count'] == 2


def test_an_id_twice_in_far_parts(tmp_path: Path) -> None:
    changes = {'row_40': {'id': 'shapes-train-000002'}, 'row_41': {'id': 'shapes-train-000003'}}
    source = write_own(tmp_path / 'own', 50, row_49={'id': 'shapes-train-000002'}, **changes)
    names = r"000002': id is used twice.* \(part-00000 and part-00002\)\n.*000003.*\n.*000002.*\n.*--skip-bad"
    with pytest.raises(RecordError, match=names):
        run(source, tmp_path / 'mds')
    report = run(source, tmp_path / 'mds', skip_bad=True).report
    assert (report.records, report.rows, report.rejects['same_id'].count) == (47, 50, 3)
    ids = [record.id for record in MDSRecords(tmp_path / 'mds')]
    assert ids == [e.id for number, e in enumerate(make_examples('train', 50)) if number not in (40, 41, 49)]
    assert files(tmp_path / 'mds').keys() >= {'index.json', 'part-00003/part.json'}


def test_duplicates_are_found_class_by_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('molmo_foundry.data.convert.duplicates._HASHES_AT_ONCE', 7)
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 60, size, dtype=np.uint64) for size in (30, 0, 20, 1)]
    seen: dict[int, Place] = {}
    expected = set()
    for part, ids in enumerate(parts):
        for position, value in enumerate(ids.tolist()):
            first = seen.setdefault(value, Place(part, position))
            expected |= {(first, Place(part, position))} - {(first, first)}
    found = agreeing_hashes(lambda: parts, sum(map(len, parts)))
    assert len(found) == len(expected) > 10 and set(found) == expected


def test_an_id_that_is_no_utf8(tmp_path: Path) -> None:
    source = write_own(tmp_path / 'own', 3, row_1={'id': 'half \ud83d'})
    report = run(source, tmp_path / 'mds', skip_bad=True).report
    assert report.records == 2 and 'the id cannot be written' in report.rejects['bad_record'].examples[0]


def _published(tmp_path: Path, **options: Any) -> list[tuple[Input, str]]:
    """ChartQA from a table of four rows: three good ones, and one without image."""
    datasets = pytest.importorskip('datasets')
    images = [example.images[0] for example in make_examples('train', 3)]
    rows = [
        {'image': {'bytes': image, 'path': None}, 'query': f'{i}?', 'label': [str(i)]} for i, image in enumerate(images)
    ]
    rows = [{**row, 'human_or_machine': 0} for row in [*rows, rows[0]]]
    features = datasets.Features(
        image=datasets.Image(),
        query=datasets.Value('string'),
        label=datasets.Sequence(datasets.Value('string')),
        human_or_machine=datasets.ClassLabel(names=['human', 'machine']),
    )
    folder = tmp_path / 'hub' / 'data'
    folder.mkdir(parents=True)
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / 'val-00000.parquet')
    library = Library(tmp_path / 'root', {'HuggingFaceM4/ChartQA': tmp_path / 'hub'})
    kwargs = {'splits': ['validation'], 'out': str(tmp_path / 'out'), 'own': OwnOptions(), 'hub': HubOptions()}
    return list(open_inputs(['chart_qa'], **{**kwargs, **options}, library=library))


def test_a_published_data_set(tmp_path: Path) -> None:
    ((data, out),) = _published(tmp_path)
    assert out == f'{tmp_path}/out/chart_qa/validation'
    card = run(tmp_path, out, data)
    source = registry.get('chart_qa')
    assert card.plan.licence == source.licence and card.plan.home == source.home
    assert card.plan.origin['needs'][0]['hub'] == 'HuggingFaceM4/ChartQA'
    expected = source.records('validation', tmp_path, hub={'HuggingFaceM4/ChartQA': tmp_path / 'hub'})
    assert list(MDSRecords(out)) == list(expected)


def test_rows_that_a_published_data_set_leaves_out_do_not_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from molmo_foundry.data.sources.records import Rejected

    ((data, out),) = _published(tmp_path)
    records = list(
        registry.get('chart_qa').records('validation', tmp_path, hub={'HuggingFaceM4/ChartQA': tmp_path / 'hub'})
    )
    items = iter([*records[:2], Rejected('chart_qa/gone', 'image_missing', 'http://gone'), *records[2:]])
    monkeypatch.setattr('molmo_foundry.data.sources.source.Source.records', lambda *_, **__: items)
    report = run(tmp_path, out, data).report
    assert (report.records, report.rejects['image_missing'].count) == (4, 1)


@pytest.mark.parametrize(
    'names, splits, error',
    [
        (['chart_qaa'], [], "no data set 'chart_qaa': did you mean chart_qa"),
        (['chart_qa'], ['val'], "chart_qa has no split 'val'; choose of: train, validation, test"),
        (['own/photos.jsonl'], [], 'No data at own/photos.jsonl: there is no such file'),
        (['chart_qa', 'photos.jsonl'], [], 'one source at a time'),
    ],
)
def test_names_that_mean_nothing(names: list[str], splits: list[str], error: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=error):
        for data, _ in open_inputs(
            names, splits=splits, out='x', own=OwnOptions(), hub=HubOptions(), library=Library(download=False)
        ):
            list(data.work())


def test_where_things_go(source: Path, tmp_path: Path) -> None:
    def places(*splits: str) -> list[str]:
        return [
            out
            for _, out in open_inputs(
                [str(source)], splits=splits, out='a/b/', own=OwnOptions(), hub=HubOptions(), library=Library()
            )
        ]

    assert (places(), places('train')) == (['a/b'], ['a/b/train'])
    with pytest.raises(ValueError, match='is one split'):
        places('train', 'test')


def test_other_urls_are_refused() -> None:
    with pytest.raises(ValueError, match='gs://bucket/x: output goes to a folder or to s3://'):
        open_store('gs://bucket/x')


def test_columns_are_the_schemas(done: Path) -> None:
    assert set(LocalDataset(str(done))[0]) == {'id', 'images', 'sizes', 'annotations', 'metadata'}


def test_another_version(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / 'mds')
    plan = tmp_path / 'mds' / 'conversion.json'
    plan.write_text(plan.read_text().replace('"version": 1', '"version": 0'))
    with pytest.raises(ValueError, match='was begun by another version of molmo_foundry'):
        run(source, tmp_path / 'mds')
