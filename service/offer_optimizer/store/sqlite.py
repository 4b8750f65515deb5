"""SQLite connections as the ledger needs them: WAL, synchronous=FULL, explicit transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

BUSY_TIMEOUT_S: Final = 10.0


def open_writer(path: Path | None) -> sqlite3.Connection:
    """Open the one writing connection; None opens a private scratch database."""
    # An empty name is a private database that spills to a temporary file when it outgrows the cache.
    connection = sqlite3.connect(
        "" if path is None else path, isolation_level=None, timeout=BUSY_TIMEOUT_S, check_same_thread=False
    )
    if path is not None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")
        # A reader that stays long keeps the log from shrinking; this bounds what it keeps once it has.
        connection.execute(f"PRAGMA journal_size_limit={64 * 1024 * 1024}")
    connection.execute(f"PRAGMA cache_size=-{64 * 1024}")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a read-only connection beside the writer."""
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S
    )
    connection.execute("PRAGMA query_only=ON")
    return connection


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Bring the log into the database and empty it; return False, at once, where a reader is in the way."""
    # A reader may stay for minutes: whoever asks has other things to do, and asks again.
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        (busy, *_counts) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    return not busy


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit on leaving; roll back on an exception, also one of the commit itself."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors (disk full, I/O) SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
