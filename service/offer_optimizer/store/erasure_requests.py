"""Visitors who are to be erased, from the moment that the learner hears of it until it is done.

Holds the digest and the secret that the erasure redacts under; both go in the transaction that redacts. What
is left to do behind it needs neither, and is one note. Belongs to the ledger's database.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from offer_optimizer.core.control import Audit

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS erasure_request(
    digest BLOB PRIMARY KEY, secret BLOB NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,
    time_us INTEGER NOT NULL) WITHOUT ROWID
"""
_UNCLEAN: Final = "erasure_unclean"


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """Who is to be erased, and the secret to redact under."""

    digest: bytes
    secret: bytes
    audit: Audit


class ErasureRequests:
    """The requests over one SQLite connection; transactions belong to the caller."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    @classmethod
    def create(cls, connection: sqlite3.Connection) -> ErasureRequests:
        """Make the table where it does not exist yet."""
        connection.execute(_SCHEMA)
        return cls(connection)

    def add(self, digest: bytes, audit: Audit, secret: bytes) -> None:
        """Keep a request; one for the same visitor that waits is the same, and as young as the last.

        Whoever asks again wants gone what was recorded by then.
        """
        self._run(
            "INSERT INTO erasure_request VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (digest) DO UPDATE SET time_us = MAX(time_us, excluded.time_us)",
            (digest, secret, audit.actor, audit.reason, audit.time_us),
        )

    def waiting(self) -> list[ErasureRequest]:
        """Return what waits, the oldest first."""
        rows = self._run(
            "SELECT digest, secret, actor, reason, time_us FROM erasure_request ORDER BY time_us, digest"
        )
        return [
            ErasureRequest(digest, secret, Audit(actor, reason, time_us))
            for digest, secret, actor, reason, time_us in rows
        ]

    def finish(self, digest: bytes) -> None:
        """Forget a request: its records are redacted. What is left is noted as unclean."""
        self._run("DELETE FROM erasure_request WHERE digest = ?", (digest,))
        self._run("INSERT OR REPLACE INTO meta VALUES (?, 1)", (_UNCLEAN,))

    def is_unclean(self) -> bool:
        """Return whether cache, segments or the log of the database may still hold what was erased."""
        row = self._run("SELECT value FROM meta WHERE name = ?", (_UNCLEAN,)).fetchone()
        return row is not None and bool(row[0])

    def note_clean(self) -> None:
        """Note that they do not."""
        self._run("INSERT OR REPLACE INTO meta VALUES (?, 0)", (_UNCLEAN,))
