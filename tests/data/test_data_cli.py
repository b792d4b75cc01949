# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`molmo-foundry data` as a person types it."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from molmo_foundry.cli.data import app
from molmo_foundry.data.mds import MDSRecords
from molmo_foundry.data.sources import registry


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Two good lines, then one whose image is cut, then one without a file."""
    file = io.BytesIO()
    Image.effect_noise((40, 30), 90).save(file, 'JPEG')
    (tmp_path / 'good.jpg').write_bytes(file.getvalue())
    (tmp_path / 'cut.jpg').write_bytes(file.getvalue()[:300])
    rows = [{'id': name, 'image': f'{name}.jpg', 'text': name} for name in ('good', 'cut', 'gone')]
    rows.insert(1, {'id': 'text', 'question': 'Is it good?', 'answer': 'Yes.'})
    (tmp_path / 'own.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    return tmp_path / 'own.jsonl'


def test_render(tmp_path: Path) -> None:
    result = _run('render', '--out', tmp_path / 'shapes', '--train', 5, '--validation', 3)
    assert result.exit_code == 0, result.output
    assert f'{tmp_path}/shapes/train: 5 records written, 0 skipped' in result.stdout
    assert [len(MDSRecords(tmp_path / 'shapes' / split)) for split in ('train', 'validation')] == [5, 3]


def test_render_goes_on_where_it_was(tmp_path: Path) -> None:
    first = ('render', '--out', tmp_path, '--train', 5, '--validation', 3)
    assert _run(*first).exit_code == 0
    for file in (tmp_path / 'validation').iterdir():
        file.unlink()
    before = (tmp_path / 'train' / 'index.json').stat().st_mtime_ns
    again = _run(*first)
    assert again.exit_code == 0 and 'validation: 3 records written' in again.stdout
    assert (tmp_path / 'train' / 'index.json').stat().st_mtime_ns == before


@pytest.mark.parametrize('changes', [('--train', 6), ('--train', 5, '--seed', 1)])
def test_render_does_not_mix_data_sets(tmp_path: Path, changes: tuple) -> None:
    assert _run('render', '--out', tmp_path, '--train', 5, '--validation', 3).exit_code == 0
    result = _run('render', '--out', tmp_path, '--validation', 3, *changes)
    assert result.exit_code == 1 and 'train is not an empty folder' in result.stderr


def test_convert_stops_at_the_bad_record(own: Path, tmp_path: Path) -> None:
    result = _run('convert', own, '--out', tmp_path / 'mds')
    assert result.exit_code == 1
    assert "error: record 'cut': images[0]: " in result.stderr and 'Traceback' not in result.output
    assert not (tmp_path / 'mds').exists()


def test_convert_skips_and_reports(own: Path, tmp_path: Path) -> None:
    result = _run('convert', own, '--out', tmp_path / 'mds', '--skip-bad')
    assert result.exit_code == 0
    assert '2 records written, 2 skipped' in result.stdout
    assert "skipped: record 'cut'" in result.stderr and "record 'gone'" in result.stderr
    assert [record.id for record in MDSRecords(tmp_path / 'mds')] == ['good', 'text']


def test_convert_nothing(tmp_path: Path) -> None:
    result = _run('convert', tmp_path / 'nowhere', '--out', tmp_path / 'mds')
    assert result.exit_code == 1 and 'nowhere: there is no such file or folder' in result.stderr


def test_convert_again(own: Path, tmp_path: Path) -> None:
    first = _run('convert', own, '--out', tmp_path / 'mds', '--skip-bad')
    again = _run('convert', own, '--out', tmp_path / 'mds', '--skip-bad')
    assert again.exit_code == 0 and again.stdout == first.stdout
    other = _run('convert', own, '--out', tmp_path / 'mds', '--skip-bad', '--limit', 1)
    assert other.exit_code == 1 and 'limit: it was None, it is 1' in other.stderr


def test_convert_with_columns(own: Path, tmp_path: Path) -> None:
    (own.parent / 'own.csv').write_text('img,cap\ngood.jpg,A photograph.\n')
    result = _run('convert', own.parent / 'own.csv', '--columns', 'image=img,text=cap', '--out', tmp_path / 'mds')
    assert result.exit_code == 0, result.output
    (record,) = MDSRecords(tmp_path / 'mds')
    assert record.annotations == [{'style': 'long_caption', 'text': 'A photograph.'}] and len(record.images) == 1


def test_convert_by_workers(own: Path, tmp_path: Path) -> None:
    for worker in ('1/2', '0/2'):
        result = _run('convert', own, '--out', tmp_path / 'mds', '--skip-bad', '--worker', worker, '--part-rows', 1)
        assert result.exit_code == 0 and f'Worker {worker} is done' in result.stdout
    result = _run('merge', tmp_path / 'mds')
    assert result.exit_code == 0 and '2 records written, 2 skipped' in result.stdout
    assert [record.id for record in MDSRecords(tmp_path / 'mds')] == ['good', 'text']
    result = _run('merge', tmp_path)
    assert result.exit_code == 1 and 'Nothing to merge at' in result.stderr


def test_convert_measures_for_a_recipe(own: Path, tmp_path: Path) -> None:
    recipe = ('--recipe', 'yamls/tiny/pretrain.yaml')
    result = _run('convert', own, '--out', tmp_path / 'mds', '--skip-bad', *recipe)
    assert result.exit_code == 0 and len(list((tmp_path / 'mds').glob('lengths-*.npz'))) == 1


@pytest.mark.parametrize(
    'arguments, error',
    [
        (('pixmo_pionts',), "no data set 'pixmo_pionts': did you mean pixmo_points"),
        (('chart_qa', '--split', 'valid'), "chart_qa has no split 'valid'; choose of: train, validation, test"),
        (('info_qa', '--root', 'nowhere'), 'needs files that are not there'),
        (('x.csv', '--columns', 'q=question'), 'columns: q is no key of a record'),
        (('x.csv', '--worker', '3'), '--worker 3 is not of the form I/N'),
        (('x.csv', '--hub', 'x'), '--hub x is not of the form ID=FOLDER'),
    ],
    ids=lambda value: str(value)[:30],
)
def test_convert_what_is_wrong(tmp_path: Path, arguments: tuple, error: str) -> None:
    result = _run('convert', *arguments, '--out', tmp_path / 'mds')
    assert result.exit_code == 1 and error in result.stderr and 'Traceback' not in result.output
    assert not any(path.is_file() for path in tmp_path.rglob('*'))


def test_convert_ends_on_ctrl_c(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('molmo_foundry.data.convert.convert', interrupted)
    result = _run('convert', own, '--out', tmp_path / 'mds')
    assert result.exit_code == 130 and 'stopped; to go on: ' in result.stderr


def test_list(tmp_path: Path) -> None:
    folder = tmp_path / 'chart_qa' / 'train'
    folder.mkdir(parents=True)
    (folder / 'dataset_card.json').write_text('{"records": 28299}')
    lines = _run('list', '--data', tmp_path).stdout.splitlines()
    assert lines[0].split() == ['NAME', 'SPLITS', 'RECORDS', 'LICENCE', 'NEEDS']
    assert [line.split()[0] for line in lines[1:]] == registry.names()
    (charts,) = (line for line in lines if line.startswith('chart_qa '))
    assert charts.split() == ['chart_qa', 'train', 'validation', 'test', '28299', '-', '-', 'GPL-3.0', 'hub']


@pytest.mark.parametrize('name', registry.names())
def test_list_one(name: str, tmp_path: Path) -> None:
    source = registry.get(name)
    result = _run('list', name, '--data', tmp_path)
    assert result.exit_code == 0 and source.home in result.stdout and source.licence in result.stdout
    assert all(f'  split    {split}' in result.stdout for split in source.splits)


def test_list_an_alias_and_a_typo() -> None:
    assert _run('list', 'user_qa').stdout.startswith('pixmo_ask_model_anything (also user_qa)')
    result = _run('list', 'info_q')
    assert result.exit_code == 1 and 'did you mean info_qa' in result.stderr


@pytest.mark.parametrize('command', ['convert', 'download', 'list', 'merge', 'render', 'show', 'stats', 'validate'])
def test_help_has_an_example(command: str) -> None:
    result = _run(command, '--help')
    assert result.exit_code == 0 and 'Example: molmo-foundry data' in ' '.join(result.stdout.split())
