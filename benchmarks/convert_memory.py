# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Peak memory and time of converting a language model of about a billion parameters in, and the Molmo out again.

Run: python benchmarks/convert_memory.py [--folder DIR] (needs 12 GB of disk). Every step runs in a process of its own.
Peak is the most anonymous memory at any time, which has to fit; pages of mapped files can be dropped and do not count.
Imports take about 0.5 GB of it. The weights are zeros in bfloat16; the model in memory is float32.
"""

import argparse
import multiprocessing
import os
import platform
import shutil
import tempfile
import threading
import time
from datetime import date
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Callable

SETTINGS: dict[str, Any] = {
    'hidden_size': 2048,
    'intermediate_size': 5632,
    'num_hidden_layers': 22,
    'num_attention_heads': 32,
    'num_key_value_heads': 4,
    'vocab_size': 32000,
    'rms_norm_eps': 1e-5,
}
SHARD_BYTES = 500_000_000
VISION = {'num_hidden_layers': 2, 'hidden_size': 64, 'intermediate_size': 128, 'num_attention_heads': 4, 'head_dim': 16}


def make_source(folder: Path) -> None:
    """A Llama of 1.1 billion parameters in shards of half a gigabyte."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device('meta'):
        model = LlamaForCausalLM(LlamaConfig(**SETTINGS))
    state = {key: torch.zeros(value.shape, dtype=torch.bfloat16) for key, value in model.state_dict().items()}
    model.to(torch.bfloat16).save_pretrained(folder / 'llm', state_dict=state, max_shard_size=SHARD_BYTES)


def load(folder: Path) -> None:
    """The language model into a Molmo that is there already."""
    import torch

    from molmo_foundry.convert.hf_llm import llm_fields, load_llm, read_llm_config
    from molmo_foundry.model.config import MolmoConfig
    from molmo_foundry.model.modeling import MolmoForCausalLM

    fields = llm_fields(read_llm_config(folder / 'llm'))
    config = MolmoConfig(**fields, vocab_size=32000, vision=VISION, connector={'vit_layers': (-1, -2)})
    with torch.device('meta'):
        model = MolmoForCausalLM(config)
    model.to_empty(device='cpu')
    load_llm(model, folder / 'llm')
    torch.save(
        {
            'state': {
                'model': {f'model.{key}': value for key, value in model.state_dict().items()},
                'integrations': {'huggingface': {'model': {'config': {'content': config.to_dict()}}}},
            }
        },
        folder / 'composer.pt',
    )


def export_as(layout: str, dtype: str) -> Callable[[Path], None]:
    """A step that exports the checkpoint of `load`."""

    def step(folder: Path) -> None:
        from molmo_foundry.convert.export import export

        export(str(folder / 'composer.pt'), folder / layout, layout=layout, dtype=dtype, shard_bytes=SHARD_BYTES)

    return step


STEPS: dict[str, Callable[[Path], None]] = {
    'write the source (bf16, 2.2 GB)': make_source,
    'load_llm (fp32, 4.5 GB), save a checkpoint': load,
    'export released, bf16 (2.2 GB)': export_as('released', 'bf16'),
    'export native, bf16 (2.2 GB)': export_as('native', 'bf16'),
}


def anonymous_memory() -> float:
    """Anonymous memory of this process in GB."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('RssAnon'):
            return int(line.split()[1]) / 1e6
    raise OSError('/proc/self/status has no RssAnon; this runs on Linux only.')


def measure(name: str, folder: Path, connection: Connection) -> None:
    """Runs a step and sends its peak in GB and its seconds."""
    import torch

    torch.set_num_threads(1)
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, anonymous_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    STEPS[name](folder)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    connection.send((peak, seconds))


def main() -> None:
    """Prints a row for every step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--folder', type=Path, default=None)
    base = parser.parse_args().folder
    folder = Path(tempfile.mkdtemp(dir=base))
    versions = ', '.join(f'{name} {version(name)}' for name in ('torch', 'transformers', 'safetensors'))
    print(
        f'{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}.'
    )
    print('| step | peak GB | seconds |\n| --- | ---: | ---: |')
    context = multiprocessing.get_context('spawn')
    try:
        for name in STEPS:
            receiver, sender = context.Pipe()
            process = context.Process(target=measure, args=(name, folder, sender))
            process.start()
            sender.close()
            peak, seconds = receiver.recv()
            process.join()
            print(f'| {name} | {peak:.1f} | {seconds:.0f} |', flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == '__main__':
    main()
