# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of `molmo-foundry data convert`: rendered pictures as JSONL beside their files, to a folder of MDS.

    OMP_NUM_THREADS=1 python benchmarks/convert.py

prints versions and rows of a Markdown table. Speed is measured from the first record to the last, the start of the
processes included, imports not. Memory is the peak of what is resident (RSS), sampled ten times a second: of the
process that writes, and of the largest that reads and checks. Libraries are half of it; it should not grow with the
records.
"""

import argparse
import json
import multiprocessing
import platform
import tempfile
import threading
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import psutil

from molmo_foundry.data.convert import Settings, convert, open_store
from molmo_foundry.data.convert.inputs import open_own
from molmo_foundry.data.synthetic import make_example

HEADER = '| date | CPU | records | processes | s | records/s | MB/s | RSS, MiB | of a worker |'


def render(folder: Path, first: int, last: int) -> None:
    """Add pictures to a JSONL file."""
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    with open(folder / 'own.jsonl', 'a', encoding='utf-8') as lines:
        for number in range(first, last):
            example = make_example('train', number)
            (folder / 'images' / f'{number}.jpg').write_bytes(example.images[0])
            row = {'id': example.id, 'image': f'images/{number}.jpg', 'annotations': example.annotations}
            lines.write(json.dumps(row) + '\n')


class PeakMemory:
    """The largest memory of this process, and of any below it, watched by a thread.

    Attributes:
        own: Bytes of this process.
        workers: Bytes of the largest below it.
    """

    def __init__(self) -> None:
        self.own = self.workers = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> 'PeakMemory':
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.1):
            self.own = max(self.own, me.memory_info().rss)
            for process in me.children(recursive=True):
                try:
                    self.workers = max(self.workers, process.memory_info().rss)
                except psutil.Error:  # noqa: PERF203, it has ended meanwhile
                    continue


def measure(source: Path, out: Path, processes: int) -> None:
    """Convert and print a row; run in a process of its own, so that memory starts afresh."""
    settings = Settings(processes=processes)
    with PeakMemory() as memory:
        start = time.perf_counter()
        card = convert(open_own(source), open_store(out), settings)
        seconds = time.perf_counter() - start
    cells = (
        date.today(),
        f'{platform.machine()}, {psutil.cpu_count()} cores',
        f'{card.report.records:,}',
        processes,
        f'{seconds:.1f}',
        f'{card.report.records / seconds:,.0f}',
        f'{card.shard_bytes / seconds / 1e6:.1f}',
        f'{memory.own / 2**20:,.0f}',
        f'{memory.workers / 2**20:,.0f}',
    )
    print('| ' + ' | '.join(map(str, cells)) + ' |', flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--records', type=int, nargs='+', default=[5000, 20000], help='in rising order')
    parser.add_argument('--processes', type=int, default=2)
    arguments = parser.parse_args()
    versions = ', '.join(f'{name} {version(name)}' for name in ('mosaicml-streaming', 'pillow', 'numpy'))
    print(f'Python {platform.python_version()}, {versions}.')
    print(HEADER)
    print('| --- ' * HEADER.count(' | ') + '| --- |')
    with tempfile.TemporaryDirectory() as folder:
        source, done = Path(folder) / 'source', 0
        for records in arguments.records:
            render(source, done, records)
            done = records
            out = Path(folder) / f'mds-{records}'
            job = (source / 'own.jsonl', out, arguments.processes)
            process = multiprocessing.get_context('spawn').Process(target=measure, args=job)
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f'converting {records} records failed')


if __name__ == '__main__':
    main()
