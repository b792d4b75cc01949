# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`molmo-foundry convert`: a Molmo out of a language model and a vision tower, and checkpoints for others."""

import signal
from contextlib import contextmanager
from typing import Annotated, Any, Iterator, Optional

import typer

from molmo_foundry.cli.console import plain_errors

app = typer.Typer(help='Weights in and out: start from published models, export checkpoints.', no_args_is_help=True)

Out = Annotated[str, typer.Option(help='Directory to make, or s3://bucket/prefix. It must not exist yet, or be empty.')]
Tokenizer = Annotated[Optional[str], typer.Option(help='Directory or hub id, if not the one that comes along.')]


@app.command()
def init(
    llm: Annotated[str, typer.Option(help='Language model: a preset, a directory, or a hub id (id@revision).')],
    vit: Annotated[str, typer.Option(help='Vision tower: a preset, a directory, or a hub id (id@revision).')],
    out: Out,
    tokenizer: Tokenizer = None,
    dtype: Annotated[str, typer.Option(help='Of the weights: fp32, bf16 or fp16.')] = 'fp32',
    seed: Annotated[int, typer.Option(help='Seed of the connector, which starts at random.')] = 0,
) -> None:
    """Join a language model and a vision tower into a Molmo that is yet to be trained.

    A preset stands for its published weights: qwen2_7b for Qwen/Qwen2-7B. A
    hub id may name a revision: allenai/OLMoE-1B-7B-0924@fp32. If anything
    fails, nothing is left behind.

    Example: molmo-foundry convert init --llm smollm2_135m --vit siglip --out checkpoints/start
    """
    with _stoppable(), plain_errors():
        from molmo_foundry.convert.init_model import init_model

        for part, filled in init_model(llm, vit, out, tokenizer=tokenizer, dtype=dtype, seed=seed).items():
            dropped = f'; left out: {len(filled.dropped)} tensors it has no use for' if filled.dropped else ''
            typer.echo(f'{part}: {filled.tensors} tensors from {filled.source}{dropped}')
        typer.echo(f'{out}: written')


@app.command()
def export(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="A Composer checkpoint (file, sharded directory, or a run's folder of them, whose last one is taken), "
            'or any saved Molmo: a path, s3://…, or a hub id.'
        ),
    ],
    out: Out,
    dtype: Annotated[
        Optional[str], typer.Option(help='Of the weights: fp32, bf16 or fp16. Default: as they were saved.')
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            help="released (Molmo-7B-D's: transformers, vLLM), molmoe (MolmoE-1B's) or native (allenai/molmo's)."
        ),
    ] = 'released',
    merge_lora: Annotated[
        bool, typer.Option('--merge-lora', help='Merge LoRA adapters into the weights; without it they are an error.')
    ] = False,
    tokenizer: Tokenizer = None,
) -> None:
    """Export a checkpoint for transformers, vLLM or allenai/molmo.

    Writes weights, configuration, processor, tokenizer and a model card to
    complete. If anything fails, nothing is left behind.

    Example: molmo-foundry convert export runs/tiny-pretrain/checkpoints --out exports/tiny --dtype bf16
    """
    with _stoppable(), plain_errors():
        from molmo_foundry.convert.export import export as export_checkpoint

        done = export_checkpoint(
            checkpoint, out, dtype=dtype, layout=layout, merge_adapters=merge_lora, tokenizer=tokenizer
        )
        if layout != 'native' and not (tokenizer or done.tokenizer):
            typer.echo('No tokenizer lies beside the weights, so none is exported: --tokenizer adds one.', err=True)
        typer.echo(f'{out}: {len(done.tensors)} tensors of {done.source}')


@contextmanager
def _stoppable() -> Iterator[None]:
    """Makes SIGTERM an exception, so that what was half written is removed."""

    def stop(*_: Any) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
