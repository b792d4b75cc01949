# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""How fast the loader makes packed rows for a 7B model from local MDS, and where an example's time goes.

Records are photographs (synthetic, as in `image_path.py`, 640 x 480 to 1920 x 1080) with a caption of 200 words or with
six questions in a tree. The model is Molmo-7B-D's: crops of 336 pixels, 12 tiles at most. The built-in tokenizer stands
in for its own.

    OMP_NUM_THREADS=1 python benchmarks/loader.py
"""

import argparse
import os
import platform
import resource
import tempfile
import time
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, Callable

import numpy as np
import psutil
import torch
from image_path import SIZES, make_photograph

from molmo_foundry.data.collator import collate
from molmo_foundry.data.dataloader import build_molmo_dataloader
from molmo_foundry.data.mds import MDSRecords, write_mds
from molmo_foundry.data.packing.node_files import FOLDER_VARIABLE
from molmo_foundry.model.presets import build_config
from molmo_foundry.processing.choices import RandomChoice, example_rng
from molmo_foundry.processing.preprocessor import Preprocessor
from molmo_foundry.processing.tokenizer import MolmoTokenizer
from molmo_foundry.processing.types import Example

LLM, VIT = 'qwen2_7b', 'openai'
MAX_SEQ_LEN, MAX_CROPS = 16384, 160
CAPTION_WORDS, QUESTIONS = 200, 6
WORDS = 'a red cup is on the table left of it and two blue boxes behind which the wall has some shadow'.split()
STAGES = ('read', 'decode and crop', 'format', 'tokens', 'collate')
NEEDED = {'Molmo-7B-D at 45 % MFU': 5, 'MolmoE-1B': 15}
"""Images a second that a GPU takes."""


def make_records(count: int) -> list[Example]:
    """Photographs of all sizes in turn, half of them with a caption, half with questions."""
    photographs = [make_photograph(*size) for size in SIZES]
    rng = np.random.default_rng(0)

    def words(number: int) -> str:
        return ' '.join(rng.choice(WORDS, size=number))

    records = []
    for number in range(count):
        caption = [{'text': words(CAPTION_WORDS), 'style': 'long_caption'}]
        tree = [{'question': f'{words(8)}?', 'answer': words(2), 'style': 'vqa2'} for _ in range(QUESTIONS)]
        records.append(Example(str(number), [photographs[number % len(SIZES)]], tree if number % 2 else caption))
    return records


def count_rows(folder: Path, tokenizer: MolmoTokenizer, workers: int, rows: int) -> dict[str, float]:
    """Rows, images and crops a second of wall time; seconds of processor time an image; MiB that a process alone has.

    The processor time is known without workers only; the memory is that of the largest worker, or of this process.

    Args:
        folder (Path): MDS.
        tokenizer (MolmoTokenizer): Of the model.
        workers (int): Of the loader.
        rows (int): To measure, after one for each worker and one more.
    """
    block = {
        'streams': {'photographs': {'local': str(folder)}},
        **{'llm': LLM, 'vit': VIT, 'max_seq_len': MAX_SEQ_LEN, 'max_crops_per_pack': MAX_CROPS, 'packing': True},
        'shuffle': True,
    }
    loader: Any = build_molmo_dataloader(tokenizer, 1, block, drop_last=True, num_workers=workers).dataloader
    batches = iter(loader)
    for _ in islice(batches, workers + 1):
        pass
    before, start = _processor_time(), time.perf_counter()
    crops = images = 0
    for batch in islice(batches, rows):
        crops += len(batch['images'])
        images += len(batch['metadata'][0]['ids'])
    seconds = time.perf_counter() - start
    used = _processor_time() - before if workers == 0 else float('nan')  # that of workers is not to be had
    me = psutil.Process()
    memory = max(process.memory_full_info().uss for process in (me.children(recursive=True) if workers else [me]))
    return {
        'rows': rows / seconds,
        'images': images / seconds,
        'crops': crops / seconds,
        'cpu': used / images,
        'MiB': memory / 2**20,
    }


def _processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def time_stages(folder: Path, preprocessor: Preprocessor, count: int) -> dict[str, float]:
    """Milliseconds of processor time an example takes in each stage."""
    records, spent = MDSRecords(folder), dict.fromkeys(STAGES, 0.0)

    def timed(stage: str, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        result = work(*args, **kwargs)
        spent[stage] += time.process_time() - start
        return result

    for number in range(count):
        example = timed('read', records.__getitem__, number % len(records))
        choices = RandomChoice(example_rng(0, number // len(records), example.id))
        images, sizes = timed('decode and crop', preprocessor.load_images, example.images, record=example.id)
        turns, _ = timed('format', preprocessor.formatter, example, choices=choices, image_size=sizes[0])
        inputs = timed('tokens', preprocessor.assemble, turns, images, record=example.id)
        timed('collate', collate, [inputs])
    return {stage: 1000 * seconds / count for stage, seconds in spent.items()}


def main() -> None:
    """Prints the tables of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--records', type=int, default=600)
    parser.add_argument('--rows', type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ['TOKENIZERS_PARALLELISM'] = 'false'  # workers are forked
    config = build_config(LLM, VIT)
    tokenizer = MolmoTokenizer('tiny', vocab_size=config.vocab_size)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[FOLDER_VARIABLE] = scratch
        folder = Path(scratch) / 'mds'
        write_mds(make_records(options.records), folder)
        print(
            f'{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch '
            f'{torch.__version__}. {options.records} records, rows of {MAX_SEQ_LEN} tokens and {MAX_CROPS} crops.\n'
        )
        preprocessor = Preprocessor.from_config(config, tokenizer, max_seq_len=MAX_SEQ_LEN, pixels='fast')
        time_stages(folder, preprocessor, 20)
        stages = time_stages(folder, preprocessor, options.records)
        print('| ' + ' | '.join([*stages, 'all']) + ' |\n|' + ' ---: |' * (len(stages) + 1))
        print('| ' + ' | '.join(f'{value:.2f}' for value in [*stages.values(), sum(stages.values())]) + ' |\n')
        print(f'| workers | rows/s | images/s | crops/s | CPU ms an image | MiB of a worker | {" | ".join(NEEDED)} |')
        print('| ---: | ---: | ---: | ---: | ---: | ---: |' + ' ---: |' * len(NEEDED))
        for workers in (0, 1, 2):
            rates = count_rows(folder, tokenizer, workers, options.rows)
            cpu = '' if np.isnan(rates['cpu']) else f'{1000 * rates["cpu"]:.1f}'
            rows = f'{rates["rows"]:.2f} | {rates["images"]:.1f} | {rates["crops"]:.0f}'
            margins = ' | '.join(f'{rates["images"] / needed:.0f}x' for needed in NEEDED.values())
            memory = f'{rates["MiB"]:.0f}' if workers else ''
            print(f'| {workers} | {rows} | {cpu} | {memory} | {margins} |')


if __name__ == '__main__':
    main()
