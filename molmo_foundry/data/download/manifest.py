# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""The record of every URL: a SQLite table that outlives kills, and from which work is streamed.

A row is a URL together with the SHA-256 asked of it (empty if none). Rows are worked on in the order of a hash of the
URL, which spreads the hosts of a list evenly. `run` is the last run whose list named the row, so one cache may serve
many lists while work and report concern only the present one.
"""

import hashlib
import os
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Callable, Iterable, Iterator, Optional
from urllib.parse import urlsplit

from molmo_foundry.data.download.image_check import ImageInfo
from molmo_foundry.data.download.options import ImageUrl
from molmo_foundry.data.download.outcome import Failure, Reason, State
from molmo_foundry.data.download.store import ImageStore

MANIFEST_NAME = 'manifest.sqlite'
SCHEMA_VERSION = 1
_REGISTER_BATCH = 5000
_READ_BATCH = 1000
_MAX_DETAIL = 300

_SCHEMA = """
CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL,
    expected TEXT NOT NULL,
    host TEXT NOT NULL,
    rank INTEGER NOT NULL,
    run INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    reason TEXT,
    detail TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT,
    num_bytes INTEGER,
    width INTEGER,
    height INTEGER,
    format TEXT,
    UNIQUE (url, expected)
);
CREATE INDEX work ON images (run, state, rank, id);
"""

_REOPEN = (
    "UPDATE images SET state = 'pending', reason = NULL, detail = NULL, sha256 = NULL, num_bytes = NULL,"
    ' width = NULL, height = NULL, format = NULL WHERE '
)

_ADOPT = (
    "UPDATE images SET state = 'stored', sha256 = s.sha256, num_bytes = s.num_bytes, width = s.width,"
    ' height = s.height, format = s.format FROM images AS s'
    " WHERE images.run = ? AND images.state = 'pending' AND s.url = images.url AND s.state = 'stored'"
    " AND images.expected IN ('', s.sha256)"
)
"""A URL that is new with this SHA-256 (or without one) may have been stored already with (or without) it."""


@dataclass(frozen=True)
class Request:
    """A URL to fetch, with every row that waits for it.

    Attributes:
        url: The URL.
        host: Its host; empty if the URL has none.
        rows: Row id and expected SHA-256 (or empty) of each row.
    """

    url: str
    host: str
    rows: tuple[tuple[int, str], ...]


class Manifest:
    """The manifest of a cache directory, opened for writing; closed by `close`.

    Args:
        cache_dir: The cache directory; the caller holds its lock.

    Raises:
        ValueError: If the file there was written by another version.
    """

    def __init__(self, cache_dir: Path) -> None:
        path = cache_dir / MANIFEST_NAME
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute('PRAGMA journal_mode = WAL')
        self._db.execute('PRAGMA synchronous = NORMAL')
        (version,) = self._db.execute('PRAGMA user_version').fetchone()
        if version == 0:
            with self._transaction():
                for statement in _SCHEMA.split(';'):
                    self._db.execute(statement)
                self._db.execute(f'PRAGMA user_version = {SCHEMA_VERSION}')
        elif version != SCHEMA_VERSION:
            self._db.close()
            raise ValueError(f'{path} has version {version}, this program writes {SCHEMA_VERSION}: use a new cache')
        (self._run,) = self._db.execute('SELECT COALESCE(MAX(run), 0) + 1 FROM images').fetchone()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def register(self, images: Iterable[ImageUrl], stopped: Callable[[], bool]) -> Iterator[int]:
        """Take a list into this run, batch by batch; duplicates fall together.

        Args:
            images: What to fetch.
            stopped: Asked before each batch; True ends the registration.

        Yields:
            Number of list entries read so far.
        """
        source = iter(images)
        count = 0
        while not stopped() and (batch := list(islice(source, _REGISTER_BATCH))):
            with self._transaction():
                self._db.executemany(
                    'INSERT INTO images (url, expected, host, rank, run) VALUES (?, ?, ?, ?, ?)'
                    ' ON CONFLICT (url, expected) DO UPDATE SET run = excluded.run',
                    ((i.url, i.sha256 or '', _host(i.url), _rank(i.url), self._run) for i in batch),
                )
            count += len(batch)
            yield count

    def reopen(self, store: ImageStore, reasons: Iterable[Reason]) -> int:
        """Make pending again what may succeed now, and what is no longer in the store.

        Args:
            store: The images; rows whose file is gone are fetched again.
            reasons: Permanent failures to try again.

        Returns:
            Number of rows of this run that are pending.
        """
        with self._transaction():
            self._db.executemany(_REOPEN + 'id = ?', self._missing(store))
            self._db.executemany(
                _REOPEN + "run = ? AND state = 'permanent' AND reason = ?",
                ((self._run, reason.value) for reason in reasons),
            )
            self._db.execute(_REOPEN + "run = ? AND state = 'transient'", (self._run,))
            self._db.execute(_ADOPT, (self._run,))
        query = "SELECT COUNT(*) FROM images WHERE run = ? AND state = 'pending'"
        return self._db.execute(query, (self._run,)).fetchone()[0]

    def _missing(self, store: ImageStore) -> Iterator[tuple[int]]:
        """Ids of the stored rows whose file is gone, found by listing one folder of the store at a time."""
        rows = self._db.execute("SELECT id, sha256 FROM images WHERE state = 'stored' ORDER BY sha256")
        for folder, group in groupby(rows, key=lambda row: store.path(row[1]).parent.name):
            present = store.present(folder)
            yield from ((row_id,) for row_id, sha256 in group if sha256 not in present)

    def requests(self) -> Iterator[Request]:
        """The pending URLs of this run, read in small batches while their rows are being updated."""
        for (url, host), rows in groupby(self._pending_rows(), key=lambda row: row[:2]):
            yield Request(url, host, tuple((row_id, expected) for _, _, row_id, expected in rows))

    def _pending_rows(self) -> Iterator[tuple[str, str, int, str]]:
        """Url, host, id and expected SHA-256 of each pending row, by rank."""
        after = (-(2**63), 0)
        query = (
            "SELECT url, host, id, expected, rank FROM images WHERE run = ? AND state = 'pending'"
            f' AND (rank, id) > (?, ?) ORDER BY rank, id LIMIT {_READ_BATCH}'
        )
        while rows := self._db.execute(query, (self._run, *after)).fetchall():
            for url, host, row_id, expected, _ in rows:
                yield url, host, row_id, expected
            after = (rows[-1][4], rows[-1][2])

    def record_stored(self, row_id: int, *, attempts: int, sha256: str, num_bytes: int, info: ImageInfo) -> None:
        """Note that the bytes of a row are in the store; call it only once they are."""
        self._db.execute(
            "UPDATE images SET state = 'stored', attempts = attempts + ?, sha256 = ?, num_bytes = ?, width = ?,"
            ' height = ?, format = ? WHERE id = ?',
            (attempts, sha256, num_bytes, info.width, info.height, info.format, row_id),
        )

    def record_failure(self, row_id: int, *, attempts: int, failure: Failure) -> None:
        """Note how a row failed."""
        self._db.execute(
            'UPDATE images SET state = ?, attempts = attempts + ?, reason = ?, detail = ? WHERE id = ?',
            (failure.reason.state.value, attempts, failure.reason.value, failure.detail[:_MAX_DETAIL], row_id),
        )

    def count_states(self) -> dict[State, int]:
        """Rows of this run by state; every state is a key."""
        query = 'SELECT state, COUNT(*) FROM images WHERE run = ? GROUP BY state'
        counts = dict(self._db.execute(query, (self._run,)))
        return {state: counts.get(state.value, 0) for state in State}

    def count_reasons(self) -> dict[Reason, int]:
        """Failed rows of this run by reason, most frequent first."""
        query = (
            'SELECT reason, COUNT(*) FROM images WHERE run = ? AND reason IS NOT NULL GROUP BY reason'
            ' ORDER BY COUNT(*) DESC, reason'
        )
        return {Reason(reason): count for reason, count in self._db.execute(query, (self._run,))}

    def count_hosts(self) -> dict[str, tuple[int, int]]:
        """Failed rows and all rows of this run, by host, for hosts that lost any; most losses first."""
        query = (
            'SELECT host, COUNT(reason) AS lost, COUNT(*) FROM images WHERE run = ? GROUP BY host'
            ' HAVING lost > 0 ORDER BY lost DESC, host'
        )
        return {host: (lost, total) for host, lost, total in self._db.execute(query, (self._run,))}

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of the statements inside, or none."""
        self._db.execute('BEGIN IMMEDIATE')
        try:
            yield
        except BaseException:
            self._db.execute('ROLLBACK')
            raise
        self._db.execute('COMMIT')


class StoredImages:
    """The manifest of a cache directory, opened for reading only.

    Args:
        cache_dir (Path): The cache directory.

    Raises:
        FileNotFoundError: If it has no manifest.
    """

    _QUERY = (
        "SELECT sha256 FROM images WHERE url = ? AND state = 'stored' AND (? = '' OR sha256 = ?) ORDER BY id LIMIT 1"
    )

    def __init__(self, cache_dir: Path):
        path = cache_dir / MANIFEST_NAME
        if not path.exists():
            raise FileNotFoundError(f'{path} does not exist: download into {cache_dir} first')
        # SQLite cannot read a WAL file's database from a read-only folder unless told that nobody writes there.
        mode = 'mode=ro' if os.access(cache_dir, os.W_OK) else 'mode=ro&immutable=1'
        self._db = sqlite3.connect(f'{path.resolve().as_uri()}?{mode}', uri=True)

    def find(self, image: ImageUrl) -> Optional[str]:
        """SHA-256 under which an image is stored, None if it is not."""
        wanted = image.sha256 or ''
        row = self._db.execute(self._QUERY, (image.url, wanted, wanted)).fetchone()
        return row and row[0]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _host(url: str) -> str:
    """Host of a URL in lower case; empty if it has none."""
    try:
        return urlsplit(url).hostname or ''
    except ValueError:
        return ''


def _rank(url: str) -> int:
    """Place of a URL in the order of work: the first eight bytes of its SHA-256, as a signed integer."""
    return int.from_bytes(hashlib.sha256(url.encode()).digest()[:8], 'big', signed=True)
