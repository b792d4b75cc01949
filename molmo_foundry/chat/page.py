# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Chat on a page of Gradio: images are dropped, the answer is written as it comes, its points are drawn and listed.

Nothing is fetched from elsewhere (a content policy has the browser refuse it) and nothing is reported to anybody. What
the model and the user write is shown as text, never as HTML.
"""

import html
import os
import socket
from contextlib import closing
from pathlib import Path
from typing import Any, Iterator, Optional

os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'  # read when Gradio is imported
os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'

import gradio as gr
from PIL import Image
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from molmo_foundry.chat.conversation import Chat
from molmo_foundry.chat.model import ChatModel, Generation
from molmo_foundry.chat.points import draw_points, find_points
from molmo_foundry.data.synthetic import make_example
from molmo_foundry.processing.image_io import load_image

EXAMPLES = {
    True: ('Describe this image.', 'Point to the circles.', 'How many shapes are there?'),
    False: ('long_caption 65:', 'transcript:'),
}
"""First questions about rendered pictures, for models that were trained on conversations and for captioners."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:"
)
"""What the browser may load: this server's files."""

SECONDS_KEPT = 86_400
"""Age at which uploaded images are deleted."""

_IMAGE_TYPES = ['image']
_COLUMNS: tuple[str, ...] = ('', 'point', 'x, %', 'y, %', 'x, pixels', 'y, pixels')
_STYLE = """
footer, .message-buttons-left, .message-buttons-right { display: none !important }
.message .message-content { white-space: pre-wrap; overflow-wrap: anywhere }
.message img { max-height: 160px }
.points { width: 100% }
.points td { padding: 2px 8px; text-align: right; font-variant-numeric: tabular-nums }
.points td:nth-child(2) { text-align: left; width: 40% }
.points tr:first-child { opacity: .6 }
"""


class _ContentPolicy:
    """Adds `POLICY` to every response."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [*message['headers'], (b'content-security-policy', POLICY.encode())]
            await send(message)

        await self.app(scope, receive, send_with_policy)


def build_page(model: ChatModel, options: Generation, *, title: str, folder: Path) -> gr.Blocks:
    """Makes the page.

    Args:
        model (ChatModel): Who answers.
        options (Generation): How, until the user changes it.
        title (str): Name of the checkpoint.
        folder (Path): Where pictures to try are put; has to last as long as the page.
    """
    name = f'{title} · molmo-foundry chat'
    kept = (SECONDS_KEPT // 24, SECONDS_KEPT)
    with gr.Blocks(title=name, analytics_enabled=False, fill_height=True, delete_cache=kept) as page:
        state = gr.State(Chat())
        gr.HTML(f'<h2>{html.escape(title)}</h2>')
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=360):
                dialogue = gr.Chatbot(
                    label='Conversation', height=520, render_markdown=False, buttons=[], feedback_options=None
                )
                box = gr.MultimodalTextbox(
                    file_types=_IMAGE_TYPES,
                    file_count='multiple',
                    placeholder='Drop images here and ask about them',
                    show_label=False,
                    sources=['upload'],
                    autofocus=True,
                )
                with gr.Row():
                    again = gr.Button('Answer again', size='sm')
                    stop = gr.Button('Stop', size='sm')
                    clear = gr.Button('Clear', size='sm')
                examples = _examples(EXAMPLES[model.has_roles], folder)
                gr.Examples(examples, inputs=box, label='Rendered pictures to try')
            with gr.Column(scale=2, min_width=300):
                pointed = gr.Image(
                    label='Points, on the image given last',
                    interactive=False,
                    format='png',
                    height=400,
                    buttons=['download', 'fullscreen'],
                )
                table = gr.HTML()
                with gr.Accordion('How to answer', open=False):
                    tokens = gr.Slider(1, 2048, options.max_new_tokens, step=1, label='Longest answer, tokens')
                    temperature = gr.Slider(
                        0, 2, options.temperature, step=0.05, label='Temperature (0: the likeliest token)'
                    )
                    top_p = gr.Slider(0.05, 1, options.top_p, step=0.05, label='Top p')

        def ask(message: dict[str, Any], chat: Chat, *settings: Any) -> Iterator[tuple[Any, ...]]:
            try:
                chat.ask(message['text'] or '', message['files'] or [])
            except ValueError as error:
                gr.Warning(html.escape(str(error)))
                return
            yield from (({'text': '', 'files': []}, *update) for update in answer(chat, settings))

        def ask_again(chat: Chat, *settings: Any) -> Iterator[tuple[Any, ...]]:
            try:
                chat.ask_again()
            except ValueError as error:
                gr.Warning(html.escape(str(error)))
                return
            yield from answer(chat, settings)

        def answer(chat: Chat, settings: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
            last, points = chat.exchanges[-1], None
            yield chat, _messages(chat), None, ''
            try:
                with closing(model.answer(chat, _generation(*settings))) as answers:
                    for text in answers:
                        last.answer = text
                        drawn = (gr.skip(), gr.skip()) if find_points(text) == points else _points(chat)
                        points = find_points(text)
                        yield chat, _messages(chat), *drawn
            except (OSError, ValueError) as error:  # an image that cannot be read: the question was not asked
                chat.exchanges.remove(last)
                gr.Warning(html.escape(str(error)))
                yield chat, _messages(chat), None, ''

        shown = [state, dialogue, pointed, table]
        settings = [tokens, temperature, top_p]
        asked = box.submit(ask, [box, state, *settings], [box, *shown], api_name='ask')
        asked_again = again.click(ask_again, [state, *settings], shown, api_name='again')
        stop.click(None, cancels=[asked, asked_again])
        gr.on(
            [clear.click, dialogue.clear],
            lambda: (Chat(), [], None, ''),
            None,
            shown,
            cancels=[asked, asked_again],
            api_name='clear',
        )
    return page


def launch(page: gr.Blocks, *, host: str, port: int) -> str:
    """Serves the page in the background, one answer at a time.

    Args:
        page (gr.Blocks): From `build_page`.
        host (str): Address to listen on.
        port (int): Port; 0 for any that is free.

    Returns:
        str: The page's URL.

    Raises:
        OSError: If the port is taken.
    """
    page.queue(default_concurrency_limit=1)
    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=port or _free_port(host),
            prevent_thread_lock=True,
            share=False,
            quiet=True,
            ssr_mode=False,
            footer_links=[],
            css=_STYLE,
            theme=gr.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace']),
            app_kwargs={'middleware': [Middleware(_ContentPolicy)]},
        )
    except OSError as error:
        raise OSError(f'Port {port} of {host} cannot be used; choose another with --port, or 0 for any.') from error
    return url


def _generation(max_new_tokens: float, temperature: float, top_p: float) -> Generation:
    return Generation(int(max_new_tokens), float(temperature), float(top_p))


def _messages(chat: Chat) -> list[dict[str, Any]]:
    """The conversation as Gradio shows it, which is HTML even of plain text: every image a message of its own."""
    messages: list[dict[str, Any]] = []
    for exchange in chat.exchanges:
        messages += [{'role': 'user', 'content': {'path': image}} for image in exchange.images]
        messages.append({'role': 'user', 'content': html.escape(exchange.text)})
        if exchange.answer is not None:
            messages.append({'role': 'assistant', 'content': html.escape(exchange.answer)})
    return messages


def _points(chat: Chat) -> tuple[Optional[Image.Image], str]:
    """The last image with the points of the last answer, and their table."""
    points = find_points(chat.exchanges[-1].answer or '')
    if not points or not chat.images:
        return None, ''
    image = Image.fromarray(load_image(chat.images[-1]))
    rows = [_COLUMNS]
    for number, point in enumerate(points, start=1):
        x, y = point.pixels(*image.size)
        rows.append((str(number), point.name, f'{point.x:.1f}', f'{point.y:.1f}', f'{x:.0f}', f'{y:.0f}'))
    cells = (''.join(f'<td>{html.escape(cell)}</td>' for cell in row) for row in rows)
    table = f'<table class="points">{"".join(f"<tr>{row}</tr>" for row in cells)}</table>'
    return draw_points(image, points), table


def _examples(questions: tuple[str, ...], folder: Path) -> list[list[Any]]:
    """A rendered picture for each question."""
    rows = []
    for index, question in enumerate(questions):
        path = folder / f'shapes-{index}.jpg'
        path.write_bytes(make_example('test', index).images[0])
        rows.append([{'text': question, 'files': [str(path)]}])
    return rows


def _free_port(host: str) -> int:
    with socket.socket() as listener:
        listener.bind((host, 0))
        return listener.getsockname()[1]
