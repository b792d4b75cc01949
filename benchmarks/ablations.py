# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Whether findings of the Molmo paper show on the tiny model: trains all arms with several seeds, prints a table.

    python benchmarks/ablations.py

Arms and findings stand in `ablation_arms.py`. Each run goes through `scripts/train.py`, on one thread. Run it again
after an interruption: what has a `result.json` stays, what was cut off goes on from its last checkpoint.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Optional, Sequence

from ablation_arms import ARMS, FINDINGS, RECIPE, SHARED, Finding, arms_of
from ablation_data import make_data
from ablation_table import Result, table

from molmo_foundry.train.metrics_log import read_metrics

ROOT = Path(__file__).resolve().parents[1]
STEPS = 250
SAVED = 'checkpoints/latest-rank0.pt'
LOSS = 'metrics/eval/validation/ce'


@dataclass(frozen=True)
class Run:
    """An arm with a seed.

    Attributes:
        arm: Name in `ARMS`.
        seed: Of weights, order and dropout.
        out: Folder of all runs.
        data: Folder of all data sets.
        steps: How long it trains.
    """

    arm: str
    seed: int
    out: Path
    data: Path
    steps: int

    @property
    def folder(self) -> Path:
        """Where it leaves everything."""
        return self.out / f'{self.arm}-{self.seed}'

    @property
    def overrides(self) -> list[str]:
        """All overrides of the recipe."""
        arm, data = ARMS[self.arm], self.data / ARMS[self.arm].data
        evaluator = {
            'tasks': [arm.task],
            'data': f'{data}/{{split}}',
            'save_folder': f'{self.folder}/eval',
            'batch_size': 32,
            'max_examples': 128,
            'num_workers': 0,
            'pixels': 'fast',
            'progress_bar': False,
            'report': False,
        }
        start = [] if arm.start is None else [f'model.pretrained={self.out / f"{arm.start}-{self.seed}" / SAVED}']
        return [
            *SHARED,
            f'variables.data={data}',
            f'variables.run_folder={self.folder}',
            f'variables.seed={self.seed}',
            f'run_name={self.folder.name}',
            f'max_duration={self.steps}ba',
            f'callbacks.molmo_evaluator={json.dumps(evaluator)}',
            *start,
            *arm.overrides,
        ]

    def result(self) -> Optional[Result]:
        """What it reached; None if it is not finished.

        Raises:
            ValueError: If it was made with other settings.
        """
        path = self.folder / 'result.json'
        if not path.is_file():
            return None
        saved = json.loads(path.read_text(encoding='utf-8'))
        if saved['overrides'] != self.overrides:
            raise ValueError(f'{path} was made with other settings; remove {self.folder}, or choose another --out.')
        return Result(**saved['result'])

    def train(self) -> Result:
        """Trains, evaluates and writes the result; goes on where an earlier attempt stopped.

        Raises:
            RuntimeError: If training fails; names its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [Path(sys.executable).with_name('composer'), 'scripts/train.py', RECIPE, *self.overrides]
        environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
        log = self.folder / 'log.txt'
        with log.open('a', encoding='utf-8') as file:
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)
        if done.returncode:
            raise RuntimeError(f'{self.arm} with seed {self.seed} failed, see {log}.')
        result = self._read()
        text = json.dumps({'recipe': RECIPE, 'overrides': self.overrides, 'result': asdict(result)}, indent=2)
        (self.folder / 'result.json').write_text(text + '\n', encoding='utf-8')
        return result

    def _read(self) -> Result:
        last: dict[str, float] = {}
        for row in read_metrics(self.folder / 'metrics.jsonl'):
            last.update(row)
        arm = ARMS[self.arm]
        return Result(score=100 * last[f'eval/{arm.task}/{arm.score}'], loss=last[LOSS])


def train_all(runs: Sequence[Run], jobs: int) -> None:
    """Trains what has no result yet, several at a time, first those that others start from.

    Raises:
        RuntimeError: At the first run that fails; those that go on by then are finished before.
    """
    left = [run for run in runs if run.result() is None]
    starting = {(arm.start, run.seed) for run in left if (arm := ARMS[run.arm]).start}
    first = [run for run in left if (run.arm, run.seed) in starting]
    begin, done = time.monotonic(), 0
    for wave in (first, [run for run in left if run not in first]):
        with ThreadPoolExecutor(jobs) as pool:
            futures = {pool.submit(run.train): run for run in wave}
            try:
                for future in as_completed(futures):
                    result, run, done = future.result(), futures[future], done + 1
                    minutes = (time.monotonic() - begin) / 60
                    print(
                        f'{done}/{len(left)} {run.arm}, seed {run.seed}: score {result.score:.1f}, '
                        f'loss {result.loss:.3f} | {minutes:.0f} min, {minutes / done * (len(left) - done):.0f} left',
                        flush=True,
                    )
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', action='append', choices=FINDINGS, help='a finding; may be given several times')
    parser.add_argument('--seeds', default='17,18,19', help='with commas between them')
    parser.add_argument('--jobs', type=int, default=2, help='runs at a time, each on one core')
    parser.add_argument('--steps', type=int, default=STEPS, help='of each run; few for a trial')
    parser.add_argument('--out', type=Path, default=Path('runs/ablations'), help='folder of the runs')
    parser.add_argument('--data', type=Path, default=Path('data_cache/ablations'), help='folder of the data; made')
    return parser.parse_args(argv)


def main() -> None:
    """Prints the table of docs/benchmarks.md."""
    options = parse(sys.argv[1:])
    out, data = options.out.resolve(), options.data.resolve()
    findings: dict[str, Finding] = {name: FINDINGS[name] for name in options.only or FINDINGS}
    seeds = [int(seed) for seed in options.seeds.split(',')]
    runs = [Run(arm, seed, out, data, options.steps) for seed in seeds for arm in arms_of(findings)]
    make_data(data)
    try:
        train_all(runs, options.jobs)
    except (RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    results = {
        arm: [result for run in runs if run.arm == arm and (result := run.result())] for arm in arms_of(findings)
    }
    print(
        f'\n{date.today()}, {platform.machine()}, Python {platform.python_version()}, torch {version("torch")}. '
        f'{options.steps} steps, seeds {", ".join(map(str, seeds))}; means ± standard errors.\n'
    )
    print(table(findings, results))


if __name__ == '__main__':
    main()
