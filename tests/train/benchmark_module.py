# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Scripts of `benchmarks/` as modules, so that tests count what documents print."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'


def load_benchmark(name: str) -> ModuleType:
    """The script of that name, not run."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f'{name}.py')
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def import_benchmark(name: str) -> ModuleType:
    """The script of that name with the other scripts that it imports, as when it is run, so that processes find it."""
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    return importlib.import_module(name)
