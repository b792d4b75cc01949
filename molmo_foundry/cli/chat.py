# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`molmo-foundry chat`: talk to a checkpoint, on a page in the browser or in the terminal."""

import importlib.util
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from molmo_foundry.cli.console import console, plain_errors

if TYPE_CHECKING:
    from molmo_foundry.chat.model import ChatModel, Generation


def chat(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar='CKPT', help='A folder of save_pretrained or a released one, a native or Composer checkpoint.'
        ),
    ],
    cli: Annotated[bool, typer.Option('--cli', help='Talk in the terminal instead of the browser.')] = False,
    image: Annotated[
        Optional[list[Path]], typer.Option(help='With --cli: an image for the first question. May be repeated.')
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help='Longest answer.')] = 448,
    temperature: Annotated[float, typer.Option(min=0, help='Of sampling; 0 takes the likeliest token.')] = 0.0,
    device: Annotated[
        Optional[str], typer.Option(help='cuda, cuda:1, cpu, …', show_default='cuda if there is one')
    ] = None,
    dtype: Annotated[
        Optional[str], typer.Option(help='fp32, bf16 or fp16.', show_default='bf16 on CUDA, fp32 on a CPU')
    ] = None,
    tokenizer: Annotated[
        Optional[str], typer.Option(help='Directory or hub id.', show_default='the one saved with the checkpoint')
    ] = None,
    max_crops: Annotated[
        Optional[int], typer.Option(min=1, help='Most tiles of an image.', show_default='as trained')
    ] = None,
    pixels: Annotated[str, typer.Option(help='exact, or fast for models trained with it.')] = 'exact',
    host: Annotated[str, typer.Option(help='Address of the page; 0.0.0.0 shows it to the network.')] = '127.0.0.1',
    port: Annotated[int, typer.Option(min=0, help='Port of the page; 0 takes any that is free.')] = 7860,
) -> None:
    """Talk to a model about images: drop them on a page, ask, see where it points.

    The page needs Gradio, which the extra demo of this package installs. It is served on this machine only.

    Example: molmo-foundry chat runs/tiny-multitask/checkpoints

    Example: molmo-foundry chat molmo-7b-d --cli --image photo.jpg
    """
    with plain_errors():
        if not cli and importlib.util.find_spec('gradio') is None:
            raise ValueError("The page needs Gradio: pip install 'molmo-foundry[demo]'. --cli does without.")
        if image and not cli:
            raise ValueError('--image is for --cli; on the page, drop images.')
        console.print(f'Loading {checkpoint} …', highlight=False)

        from molmo_foundry.chat.model import Generation, load_chat_model

        model = load_chat_model(
            checkpoint, device=device, dtype=dtype, tokenizer=tokenizer, max_crops=max_crops, pixels=pixels
        )
        options = Generation(max_new_tokens=max_tokens, temperature=temperature)
        if cli:
            _in_terminal(model, options, image or [])
        else:
            from molmo_foundry.chat.page import build_page, launch

            with tempfile.TemporaryDirectory(prefix='molmo-foundry-chat-') as folder:
                page = build_page(model, options, title=Path(checkpoint).name, folder=Path(folder))
                url = launch(page, host=host, port=port)
                console.print(f'{url}  (Ctrl-C ends it)', highlight=False)
                page.block_thread()


def _in_terminal(model: 'ChatModel', options: 'Generation', images: list[Path]) -> None:
    import readline  # noqa: F401  lines can be edited and found again

    from molmo_foundry.chat.terminal import Terminal

    def write(text: str) -> None:
        print(text, end='', flush=True)

    Terminal(model, options, write).run(input, [str(path) for path in images])
