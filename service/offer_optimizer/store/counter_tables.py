"""The counters as the ledger has them: what the hot cache is filled from, so that no history is scanned.

The same keys and values as in the cache (`hot_records`), under the same rules (`hot_state`), but visitors go
by the ledger's key instead of their digest, and records of decisions are not kept twice. Written by the fold,
in the transaction that brings the records, so both are always at the same position.

What always holds: nothing here depends on a clock; what has expired is dropped by ledger time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from offer_optimizer.store import hot_records as records
from offer_optimizer.store.hot_state import HotState

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS visitor_counter(visitor_key INTEGER PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counter(name BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID
"""
_PENDING_MOST: Final = 20_000
"""Changes that are kept in memory before they are written."""
KEY_BYTES: Final = 8


def visitor_name(visitor_key: int | None) -> bytes:
    """Return what a visitor goes by here: the ledger's key; empty without one."""
    return b"" if visitor_key is None else visitor_key.to_bytes(KEY_BYTES, "big")


def visitor_key_of(name: bytes) -> int:
    """Return the ledger's key."""
    return int.from_bytes(name, "big")


class CounterTables:
    """Keys and values in SQLite, written in bulk. Implements hot_state.KeyValues."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._pending: dict[bytes, bytes | None] = {}

    @classmethod
    def create(cls, connection: sqlite3.Connection) -> CounterTables:
        """Make the tables where they don't exist yet."""
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        return cls(connection)

    def state(self) -> HotState:
        """Return the counters to read and change; `save` keeps what is changed."""
        return HotState(self)

    def get(self, key: bytes, /) -> bytes | None:
        """See KeyValues."""
        if key in self._pending:
            return self._pending[key]
        run = self._connection.execute
        if key[:1] == records.VISITOR:
            row = run("SELECT state FROM visitor_counter WHERE visitor_key = ?", (_key(key),)).fetchone()
        else:
            row = run("SELECT value FROM counter WHERE name = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: bytes, value: bytes, /) -> None:
        """See KeyValues."""
        self._pending[key] = value
        if len(self._pending) > _PENDING_MOST:
            self.save()

    def delete(self, key: bytes, /) -> None:
        """See KeyValues."""
        self._pending[key] = None

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """See KeyValues; not for visitors."""
        self.save()
        return self._connection.execute(
            "SELECT name, value FROM counter WHERE name >= ? AND name < ? ORDER BY name LIMIT ?",
            (start, end, limit),
        ).fetchall()

    def get_visitor(self, name: bytes) -> bytes | None:
        """See KeyValues."""
        return self.get(records.VISITOR + name)

    def put_visitor(self, name: bytes, data: bytes | None) -> None:
        """See KeyValues."""
        if data is None:
            self.delete(records.VISITOR + name)
        else:
            self.put(records.VISITOR + name, data)

    def save(self) -> None:
        """Write what was changed; call it before the transaction commits."""
        pending, self._pending = self._pending, {}
        of_visitors = [(_key(key), value) for key, value in pending.items() if key[:1] == records.VISITOR]
        others = [(key, value) for key, value in pending.items() if key[:1] != records.VISITOR]
        for table, column, rows in (
            ("visitor_counter", "visitor_key", of_visitors),
            ("counter", "name", others),
        ):
            run = self._connection.executemany
            gone = [(name,) for name, value in rows if value is None]
            kept = [row for row in rows if row[1] is not None]
            if gone:
                run(f"DELETE FROM {table} WHERE {column} = ?", gone)  # noqa: S608  (names of our own)
            if kept:
                run(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", kept)  # noqa: S608  (the same)

    def visitors(self) -> Iterator[tuple[bytes, int, bytes | None, bytes]]:
        """Yield (digest, key, state, digest that it stands for) where there is a state, or a merge.

        By digest, ascending. After a merge several digests have one key, and stand for one of them.
        """
        yield from self._connection.execute(
            "SELECT visitor.digest, visitor_key, state, COALESCE(merged_visitor.digest, visitor.digest) "
            "FROM visitor LEFT JOIN visitor_counter USING (visitor_key) "
            "LEFT JOIN merged_visitor ON into_key = visitor_key "
            "WHERE state IS NOT NULL OR into_key IS NOT NULL ORDER BY visitor.digest"
        )

    def others(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all keys and values but those of visitors, in order."""
        yield from self._connection.execute("SELECT name, value FROM counter ORDER BY name")


def _key(key: bytes) -> int:
    return visitor_key_of(key[1:])
