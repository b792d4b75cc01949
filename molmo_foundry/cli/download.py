# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`molmo-foundry data download`: a list of image URLs to a verified cache."""

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from molmo_foundry.data.download.options import DownloadOptions
from molmo_foundry.data.download.outcome import Reason
from molmo_foundry.data.download.urls import URL_FIELD

_DEFAULTS = DownloadOptions()


def download(
    urls: Annotated[
        Path,
        typer.Argument(
            help='List of images: .txt (a URL a line, optionally followed by its SHA-256), .jsonl or .parquet.',
            exists=True,
            dir_okay=False,
        ),
    ],
    cache: Annotated[
        Path, typer.Option('--cache', help='Directory for images, manifest and report; reuse it to resume.')
    ],
    url_field: Annotated[str, typer.Option(help='Field or column of the URL in .jsonl and .parquet.')] = URL_FIELD,
    sha256_field: Annotated[
        Optional[str],
        typer.Option(help='Field or column of the SHA-256; by default image_sha256 in files that have it.'),
    ] = None,
    connections: Annotated[int, typer.Option(help='URLs in flight at once.')] = _DEFAULTS.connections,
    per_host: Annotated[int, typer.Option(help='URLs of one host in flight at once.')] = _DEFAULTS.connections_per_host,
    attempts: Annotated[int, typer.Option(help='Tries for each URL in one run.')] = _DEFAULTS.attempts,
    connect_timeout: Annotated[
        float, typer.Option(help='Seconds to resolve a name, and to connect.')
    ] = _DEFAULTS.connect_timeout,
    read_timeout: Annotated[float, typer.Option(help='Seconds a server may be silent.')] = _DEFAULTS.read_timeout,
    total_timeout: Annotated[float, typer.Option(help='Seconds for one attempt in all.')] = _DEFAULTS.total_timeout,
    max_bytes: Annotated[int, typer.Option(help='Largest file.')] = _DEFAULTS.max_bytes,
    max_pixels: Annotated[int, typer.Option(help='Largest width × height.')] = _DEFAULTS.max_pixels,
    allow_network: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar='CIDR',
            help='Also connect to addresses of this network, such as 10.0.0.0/8; by default only public addresses are'
            ' connected to. May be repeated.',
        ),
    ] = None,
    retry: Annotated[
        Optional[list[Reason]],
        typer.Option(
            help='Also fetch again what failed for good with this reason in an earlier run. May be repeated.',
            metavar='REASON',
        ),
    ] = None,
    user_agent: Annotated[
        str, typer.Option(help='Sent to every host; some ask for one with a contact address.')
    ] = _DEFAULTS.user_agent,
) -> None:
    """Download the images of a list of URLs into a cache, checked and deduplicated.

    Every file is decoded in full and compared with its SHA-256 where the
    list has one. Ctrl-C or a kill loses nothing: the same command resumes.

    Once it is done, the same command retries only what may still succeed
    (time-outs, lost connections, 429, 5xx, names that did not resolve …).
    What failed for good (404, not an image, wrong SHA-256, too large …) is
    left alone.

    The report (share lost, by reason and by host) is printed and written
    to report.txt and report.json in the cache directory.

    Example: molmo-foundry data download urls.parquet --cache image_cache
    """
    from molmo_foundry.data.download import DownloadInterrupted, download_images, read_urls

    try:
        options = DownloadOptions(
            connections=connections,
            connections_per_host=per_host,
            attempts=attempts,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            total_timeout=total_timeout,
            max_bytes=max_bytes,
            max_pixels=max_pixels,
            allowed_networks=tuple(allow_network or ()),
            retry_reasons=tuple(retry or ()),
            user_agent=user_agent,
        )
        images = read_urls(urls, url_field=url_field, sha256_field=sha256_field)
        report = download_images(images, cache, options=options, progress=True)
    except DownloadInterrupted as interruption:
        typer.echo(interruption.report.to_text(), nl=False)
        typer.echo(
            f'stopped by {signal.Signals(interruption.signum).name}; to resume: {shlex.join(sys.argv)}', err=True
        )
        raise typer.Exit(128 + interruption.signum) from None
    except (OSError, ValueError) as error:
        typer.echo(f'error: {error}', err=True)
        raise typer.Exit(2) from None
    typer.echo(report.to_text(), nl=False)
