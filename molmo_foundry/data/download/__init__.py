# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Image URLs to a verified, content-addressed cache that survives interruption.

`download_images(urls, cache_dir)` fetches every URL once, `cached_path(url, cache_dir)` finds its bytes afterwards. The
cache directory holds `images/ab/ab12…` (named by the SHA-256 of their bytes), `manifest.sqlite` (one row for each URL,
and for each SHA-256 that was asked of it), `report.txt` and `report.json`. Run the same call again to resume.

A row of the manifest is in one of four states:

| state | meaning | a second run |
| --- | --- | --- |
| `pending` | not tried to the end yet (new, or the run was interrupted) | fetches it |
| `stored` | decoded in full, SHA-256 right if one was given, bytes in the cache | keeps it, if the file is there |
| `transient` | failed, may succeed another time | fetches it |
| `permanent` | failed, and the same request will fail again | leaves it, unless its reason is in `retry_reasons` |

Every failure has one reason. `now` is tried again in the same run with exponential backoff, then in the next run;
`next run` is not worth another attempt right away; `never` is permanent.

| reason | tried again | when |
| --- | --- | --- |
| `connect_timeout` | now | no connection within `connect_timeout` |
| `read_timeout` | now | silent for `read_timeout` while a request or an answer was under way |
| `unreachable` | now | connection refused, or no route |
| `reset` | now | connection lost or protocol broken before the answer was complete |
| `rate_limited` | now | status 429 |
| `server_error` | now | status 408, 425 or 5xx |
| `total_timeout` | next run | not finished within `total_timeout`, redirects included |
| `dns` | next run | the host name does not resolve |
| `tls` | next run | the certificate does not verify, or no common TLS version |
| `forbidden` | next run | status 401, 403 or 451 |
| `host_down` | next run | not tried: `host_give_up` URLs of this host in a row ended transient |
| `unexpected` | next run | an error that none of the others describes; the manifest's `detail` names it |
| `gone` | never | status 404 or 410 |
| `http_error` | never | any other status but 200 |
| `bad_url` | never | not a valid http or https URL, here or in a redirect |
| `bad_address` | never | the host's addresses are not public and not in `allowed_networks`, here or in a redirect |
| `too_many_redirects` | never | more than `max_redirects` |
| `too_large` | never | more than `max_bytes` |
| `too_many_pixels` | never | the header says more than `max_pixels`; nothing was decoded |
| `not_an_image` | never | the bytes are in no supported image format |
| `broken_image` | never | an image format by its header, but the pixels do not decode (truncated, corrupt) |
| `wrong_sha256` | never | a good image, but other bytes than the data set was made from |

The public names are loaded on first use: options cost nothing, and httpx is imported by what downloads.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molmo_foundry.data.download.lookup import CachedImages, cached_path, cached_paths
    from molmo_foundry.data.download.options import DownloadOptions, ImageUrl
    from molmo_foundry.data.download.outcome import Reason, State
    from molmo_foundry.data.download.report import DownloadReport
    from molmo_foundry.data.download.runner import download_images
    from molmo_foundry.data.download.signals import DownloadInterrupted
    from molmo_foundry.data.download.urls import read_urls

_HOMES = {
    'CachedImages': 'lookup',
    'DownloadInterrupted': 'signals',
    'DownloadOptions': 'options',
    'DownloadReport': 'report',
    'ImageUrl': 'options',
    'Reason': 'outcome',
    'State': 'outcome',
    'cached_path': 'lookup',
    'cached_paths': 'lookup',
    'download_images': 'runner',
    'read_urls': 'urls',
}

__all__ = [
    'CachedImages',
    'DownloadInterrupted',
    'DownloadOptions',
    'DownloadReport',
    'ImageUrl',
    'Reason',
    'State',
    'cached_path',
    'cached_paths',
    'download_images',
    'read_urls',
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f'{__name__}.{_HOMES[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
