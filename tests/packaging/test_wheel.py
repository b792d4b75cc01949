# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The wheel holds the whole package and works without the repository.

It is built without a network, and installed into a virtual environment of its own, which borrows the dependencies of
this one but not the package.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from molmo_foundry.cli.recipe import recipe_names

REPOSITORY = Path(__file__).parents[2]
SOURCES = ('molmo_foundry', 'yamls', 'pyproject.toml', 'README.md', 'LICENSE')


def _pip(*arguments: object, cwd: Path) -> None:
    command = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '--quiet', *map(str, arguments)]
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the repository, since building leaves files behind."""
    if importlib.util.find_spec('pip') is None:
        pytest.skip('there is no pip in this environment')
    folder = tmp_path_factory.mktemp('wheel')
    for name in SOURCES:
        if (REPOSITORY / name).is_dir():
            ignored = shutil.ignore_patterns('__pycache__')
            shutil.copytree(REPOSITORY / name, folder / 'source' / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(REPOSITORY / name, folder / 'source' / name)
    _pip('wheel', '--no-deps', '--no-index', '--no-build-isolation', '-w', folder, '.', cwd=folder / 'source')
    return next(folder.glob('*.whl'))


@pytest.fixture(scope='module')
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of a virtual environment in which the wheel is installed."""
    home = tmp_path_factory.mktemp('venv')
    venv.create(home)
    bin_folder = home / 'bin'
    _pip('--python', bin_folder / 'python', 'install', '--no-deps', '--no-index', wheel, cwd=home)
    own = next(home.glob('lib/python*/site-packages'))
    # A path alone: .pth files in that folder, such as that of an editable install, are not read.
    (own / 'dependencies.pth').write_text(sysconfig.get_path('purelib') + '\n')
    return bin_folder


def _run(program: Path, *arguments: object, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith('PYTHON')}
    command = [str(program), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_is_left_out(wheel: Path) -> None:
    package = REPOSITORY / 'molmo_foundry'
    folders = [package, *(path for path in package.iterdir() if path.is_symlink())]
    files = {path for folder in folders for path in folder.rglob('*') if path.is_file()}
    names = {path.relative_to(REPOSITORY).as_posix() for path in files if '__pycache__' not in path.parts}
    assert {'molmo_foundry/recipes/tiny/pretrain.yaml', 'molmo_foundry/processing/prompts.yaml'} < names
    assert names == {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith('molmo_foundry/')}


def test_recipes_are_copied_and_read(installed: Path, tmp_path: Path) -> None:
    where = _run(installed / 'python', '-c', 'import molmo_foundry; print(molmo_foundry.__file__)', cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    listed = _run(installed / 'molmo-foundry', 'recipes', 'list', cwd=tmp_path).splitlines()
    assert [line.split()[0] for line in listed] == recipe_names()
    for name in ('pretrain', 'tiny/pretrain'):
        copied = tmp_path / name / 'mine.yaml'
        said = _run(installed / 'molmo-foundry', 'recipes', 'copy', name, copied, cwd=tmp_path)
        assert said == f'Wrote {copied}. To run it: composer -m molmo_foundry.cli.train {copied}\n'
        assert copied.read_bytes() == (REPOSITORY / 'yamls' / f'{name}.yaml').read_bytes()
        code = (
            'import sys; from molmo_foundry.cli.recipe import load_recipe; print(load_recipe(sys.argv[1]).model.name)'
        )
        assert _run(installed / 'python', '-c', code, copied, cwd=tmp_path) == 'molmo\n'
    for program in ('train', 'eval'):
        usage = _run(installed / 'python', '-m', f'molmo_foundry.cli.{program}', '--help', cwd=tmp_path)
        assert 'key=value' in usage


@pytest.mark.proof  # most of it imports Streaming
def test_built_in_data_are_rendered(installed: Path, tmp_path: Path) -> None:
    rendered = _run(
        installed / 'molmo-foundry', 'data', 'render', '--out', 'shapes', '--train', 3, '--validation', 2, cwd=tmp_path
    )
    assert 'shapes/train: 3 records written, 0 skipped' in rendered
    assert (tmp_path / 'shapes' / 'validation' / 'index.json').is_file()
