# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium that can be driven: scripts run in the page, files chosen, pictures taken.

It speaks the DevTools protocol over a websocket; skips the test where there is no Chromium.
"""

import base64
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import httpx
import pytest
from websockets.sync.client import connect
from websockets.sync.connection import Connection

OPTIONS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars')
SECONDS = 60
"""Longest wait for anything."""


class Tab:
    """A page in the browser.

    Args:
        socket (Connection): To the page's debugger.
    """

    def __init__(self, socket: Connection):
        self.socket = socket
        self.count = 0
        self.requests: list[str] = []
        self.call('Network.enable')

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Runs a command of the protocol; notes on the way what the page asks the network for."""
        self.count += 1
        self.socket.send(json.dumps({'id': self.count, 'method': method, 'params': parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=SECONDS))
            if message.get('method') == 'Network.requestWillBeSent':
                self.requests.append(message['params']['request']['url'])
            if message.get('id') == self.count:
                assert 'error' not in message, message
                return message['result']

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        result = self.call('Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True)
        assert 'exceptionDetails' not in result, result
        return result['result'].get('value')

    def wait_for(self, script: str) -> Any:
        """The value of an expression as soon as it is true."""
        deadline = time.monotonic() + SECONDS
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f'{script} never came true: {self.run("document.body.innerText")}'
            self.run('new Promise((done) => setTimeout(done, 50))')
        return value

    def choose_files(self, selector: str, *paths: Path) -> None:
        """Picks files in a file input."""
        self.wait_for(f'document.querySelector({selector!r}) !== null')
        found = self.call('Runtime.evaluate', expression=f'document.querySelector({selector!r})')
        files = [str(path) for path in paths]
        self.call('DOM.setFileInputFiles', objectId=found['result']['objectId'], files=files)

    def screenshot(self, path: Path) -> None:
        """Writes what is seen, as PNG."""
        path.write_bytes(base64.b64decode(self.call('Page.captureScreenshot', format='png')['data']))


@contextmanager
def open_tab(url: str, profile: Path, *options: str) -> Iterator[Tab]:
    """Opens a page in a browser of its own."""
    binary = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if binary is None:
        pytest.skip('there is no Chromium; Debian has it as the package chromium')
    command = [binary, *OPTIONS, *options, '--remote-debugging-port=0', f'--user-data-dir={profile}', 'about:blank']
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if 'DevTools listening on' in line)
        address = line.split('//')[1].split('/')[0]
        pages = httpx.get(f'http://{address}/json/list', trust_env=False).json()
        target = next(page['webSocketDebuggerUrl'] for page in pages if page['type'] == 'page')
        with connect(target, max_size=None) as socket:
            tab = Tab(socket)
            tab.call('Page.navigate', url=url)
            yield tab
    finally:
        process.terminate()
        process.wait()
