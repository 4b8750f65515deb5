"""The ledger: the durable, totally ordered history. Positions count from 1 without gaps.

Segment offsets are committed in the transaction that brings their rows: that is the whole of exactly-once.
Bodies never hold a visitor id or digest; `visitor_key` is a random integer from an erasable table.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offer_optimizer.core.control import Steering
from offer_optimizer.core.errors import CannotStart, DamagedFile, StorageUnavailable
from offer_optimizer.core.redaction import SECRET_BYTES
from offer_optimizer.store.catalog_file import encode_catalog
from offer_optimizer.store.codec import (
    STEERING_KINDS,
    Body,
    Epoch,
    EraseChange,
    Merge,
    RecordKind,
    Salt,
    StoredCatalog,
    Tick,
    decode_body,
    encode_body,
)
from offer_optimizer.store.control_codec import encode_steering
from offer_optimizer.store.erasure_requests import ErasureRequests
from offer_optimizer.store.migrations import FORMAT_VERSION, check_format, migrate
from offer_optimizer.store.record_check import checksum_of, is_whole_key, visitor_checksum, whole, whole_key
from offer_optimizer.store.sqlite import open_reader, open_writer, transaction
from offer_optimizer.store.visitor_index import VisitorIndex

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record(
    position INTEGER PRIMARY KEY, kind INTEGER NOT NULL, visitor_key INTEGER, body BLOB NOT NULL,
    checksum INTEGER);
CREATE INDEX IF NOT EXISTS record_rare ON record(kind, position) WHERE kind > 3;
CREATE TABLE IF NOT EXISTS decision_position(
    decision_id BLOB PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS visitor(
    digest BLOB PRIMARY KEY, visitor_key INTEGER NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS merged_visitor(into_key INTEGER PRIMARY KEY, digest BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS segment(name TEXT PRIMARY KEY, next_offset INTEGER NOT NULL) WITHOUT ROWID
"""
RecordRow = tuple[int, int, int | None, bytes, int | None]
"""Position, kind, visitor, body and checksum."""
_RARE_KINDS = (RecordKind.CATALOG, RecordKind.EPOCH, RecordKind.SALT, *STEERING_KINDS)


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """One record: its position, its visitor (a random key, or None) and its body, parsed on demand."""

    position: int
    kind: RecordKind
    visitor_key: int | None
    data: bytes

    def body(self) -> Body:
        """Parse the body."""
        return decode_body(self.kind, self.data)


class Ledger:
    """Reads and appends records over one SQLite connection; transactions belong to the caller."""

    def __init__(self, connection: sqlite3.Connection, entropy: Callable[[int], bytes] | None = None) -> None:
        self.connection = connection
        self._entropy = entropy
        self._keys: dict[bytes, int] = {}

    @classmethod
    def open_for_writing(cls, path: Path, entropy: Callable[[int], bytes]) -> Ledger:
        """Open or create the ledger, in this release's format.

        Raises CannotStart as `migrate` does; DamagedFile, StorageUnavailable.
        """
        with _opening(path):
            migrate(path)
            return cls.create(open_writer(path), entropy)

    @classmethod
    def create(cls, connection: sqlite3.Connection, entropy: Callable[[int], bytes]) -> Ledger:
        """Make the tables where they don't exist yet, over any connection."""
        with transaction(connection):
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            VisitorIndex.create(connection)
            ErasureRequests.create(connection)
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('format_version', ?)", (FORMAT_VERSION,))
        return cls(connection, entropy)

    @classmethod
    def open_for_reading(cls, path: Path) -> Ledger:
        """Open the ledger beside its writer. Raises CannotStart, DamagedFile, StorageUnavailable."""
        if not path.exists():
            raise CannotStart(f"{path}: there is no ledger")
        with _opening(path):
            connection = open_reader(path)
            check_format(connection, path)
            return cls(connection)

    def last_position(self) -> int:
        """Return the position of the newest record; 0 when there is none."""
        (position,) = self.connection.execute("SELECT COALESCE(MAX(position), 0) FROM record").fetchone()
        return int(position)

    def append(self, kind: RecordKind, data: bytes, visitor_key: int | None = None) -> LedgerRecord:
        """Append a record and return it with its position."""
        cursor = self.connection.execute(
            "INSERT INTO record(kind, visitor_key, body, checksum) VALUES (?, ?, ?, ?)",
            (int(kind), visitor_key, data, checksum_of(kind, visitor_key, data)),
        )
        return LedgerRecord(int(cursor.lastrowid or 0), kind, visitor_key, data)

    def rewrite(self, record: LedgerRecord) -> None:
        """Put a record in the place of the one at its position: only erasure does."""
        self.connection.execute(
            "UPDATE record SET visitor_key = ?, body = ?, checksum = ? WHERE position = ?",
            (
                record.visitor_key,
                record.data,
                checksum_of(record.kind, record.visitor_key, record.data),
                record.position,
            ),
        )

    def append_decision(self, decision_id: bytes, data: bytes, visitor_key: int | None) -> LedgerRecord:
        """Append a decision and index its id."""
        record = self.append(RecordKind.DECISION, data, visitor_key)
        self.connection.execute("INSERT INTO decision_position VALUES (?, ?)", (decision_id, record.position))
        return record

    def append_body(self, body: Tick | Epoch | Salt | Merge | StoredCatalog | Steering) -> LedgerRecord:
        """Append one of the records that only the learner makes."""
        match body:
            case StoredCatalog():
                return self.append(RecordKind.CATALOG, encode_catalog(body))
            case Tick():
                return self.append(RecordKind.TICK, encode_body(body))
            case Epoch():
                return self.append(RecordKind.EPOCH, encode_body(body))
            case Salt():
                return self.append(RecordKind.SALT, encode_body(body))
            case Merge():
                return self.append(RecordKind.MERGE, encode_body(body))
            case _:
                kind = next(kind for kind, of in STEERING_KINDS.items() if isinstance(body, of))
                return self.append(kind, encode_steering(body))

    def records(self, after: int = 0, up_to: int | None = None) -> Iterator[LedgerRecord]:
        """Yield the records in (after, up_to], in order, in short reads so that the log can shrink.

        Raises DamagedFile.
        """
        yield from map(record_of, self.rows(after, up_to))

    def rows(self, after: int = 0, up_to: int | None = None) -> Iterator[RecordRow]:
        """Yield records as they stand in their table, for those who look at damaged ones too."""
        last = self.last_position() if up_to is None else up_to
        while after < last:
            rows = self.connection.execute(
                "SELECT position, kind, visitor_key, body, checksum FROM record "
                "WHERE position > ? AND position <= ? ORDER BY position LIMIT 2000",
                (after, last),
            ).fetchall()
            if not rows:
                return
            yield from rows
            after = rows[-1][0]

    def rare_records(self, up_to: int) -> Iterator[LedgerRecord]:
        """Yield catalog revisions, epochs, salts and what steers learning, up to a position, in order."""
        rows = self.connection.execute(
            "SELECT position, kind, visitor_key, body, checksum FROM record "
            "WHERE kind > 3 AND kind IN (SELECT value FROM json_each(?)) AND position <= ? ORDER BY position",
            (json.dumps([int(kind) for kind in _RARE_KINDS]), up_to),
        ).fetchall()
        for row in rows:
            yield record_of(row)

    def record_at(self, position: int) -> LedgerRecord:
        """Return one record. Raises KeyError when there is none."""
        row = self.connection.execute(
            "SELECT position, kind, visitor_key, body, checksum FROM record WHERE position = ?", (position,)
        ).fetchone()
        if row is None:
            raise KeyError(position)
        return record_of(row)

    def has(self, position: int) -> bool:
        """Return whether a record is there: retention moves some out."""
        return (
            self.connection.execute("SELECT 1 FROM record WHERE position = ?", (position,)).fetchone()
            is not None
        )

    def find_decision(self, decision_id: bytes) -> int | None:
        """Return the position of a decision, or None."""
        row = self.connection.execute(
            "SELECT position FROM decision_position WHERE decision_id = ?", (decision_id,)
        ).fetchone()
        return None if row is None else int(row[0])

    def positions_between(self, start_us: int, end_us: int) -> tuple[int, int]:
        """Return (after, up_to) around all decisions whose ids were made in [start_us, end_us).

        Ids begin with their time in milliseconds: a millisecond more on both sides.
        """
        low, high = (max(time_us // 1000 + more, 0) for time_us, more in ((start_us, -1), (end_us, 2)))
        first, last = self.connection.execute(
            "SELECT MIN(position), MAX(position) FROM decision_position "
            "WHERE decision_id >= ? AND decision_id < ?",
            (
                min(low, _ID_MS_MOST).to_bytes(6, "big"),
                min(high, _ID_MS_MOST).to_bytes(6, "big") + b"\xff" * 11,
            ),
        ).fetchone()
        return (0, 0) if first is None else (first - 1, last)

    def visitor_key(self, digest: bytes) -> int | None:
        """Return the key of a visitor, made at first sight; None for an empty digest."""
        if not digest:
            return None
        key = self._keys.get(digest)
        if key is None:
            key = self._stored_key(digest)
            if key is None:
                key = self._new_key(digest)
            if len(self._keys) >= _KEY_CACHE:
                self._keys.clear()
            self._keys[digest] = key
        return key

    def known_visitor_key(self, digest: bytes) -> int | None:
        """Return the key of a visitor who has one; None for an empty digest and for everybody else."""
        key = self._keys.get(digest)
        if key is not None or not digest:
            return key
        return self._stored_key(digest)

    def merge_visitors(self, from_digest: bytes, into_digest: bytes) -> Merge | None:
        """Let one digest stand for another from now on; return both keys, None when they are one already.

        Records that are here keep the key they have.
        """
        from_key, into_key = self.visitor_key(from_digest), self.visitor_key(into_digest)
        if from_key is None or into_key is None or from_key == into_key:
            return None
        run = self.connection.execute
        if run("SELECT 1 FROM merged_visitor WHERE into_key = ?", (from_key,)).fetchone():
            # Others were merged into the one that goes. Keys have no index, so all visitors are looked at.
            rows = run("SELECT digest FROM visitor WHERE visitor_key = ?", (from_key,)).fetchall()
            self._keys.clear()
        else:
            rows = [(from_digest,)]
            self._keys[from_digest] = into_key
        for (digest,) in rows:
            run(
                "UPDATE visitor SET visitor_key = ?, checksum = ? WHERE digest = ?",
                (into_key, visitor_checksum(digest, into_key), digest),
            )
        # Whom all the digests of this key stand for: the first that others were merged into.
        run("INSERT OR IGNORE INTO merged_visitor VALUES (?, ?)", (into_key, into_digest))
        run("DELETE FROM merged_visitor WHERE into_key = ?", (from_key,))
        return Merge(from_key, into_key)

    def ask_erasure(self, change: EraseChange) -> None:
        """Keep that a visitor is to be erased until that was done; asked for again it is one."""
        if self._entropy is None:
            raise RuntimeError("a ledger opened for reading erases nobody")
        ErasureRequests(self.connection).add(change.digest, change.audit, self._entropy(SECRET_BYTES))

    def digests_of(self, visitor_keys: Iterable[int]) -> dict[int, bytes]:
        """Return the digests that visitors go by, by key. Looks at all visitors: keys have no index."""
        wanted = json.dumps(list(visitor_keys))
        rows = self.connection.execute(
            "SELECT visitor_key, COALESCE(merged_visitor.digest, visitor.digest) FROM visitor "
            "LEFT JOIN merged_visitor ON into_key = visitor_key "
            "WHERE visitor_key IN (SELECT value FROM json_each(?))",
            (wanted,),
        )
        return dict(rows.fetchall())

    def forget_cached_keys(self) -> None:
        """Drop the cache of keys: a transaction that made some was rolled back."""
        self._keys.clear()

    def _new_key(self, digest: bytes) -> int:
        if self._entropy is None:
            raise RuntimeError("a ledger opened for reading makes no visitor keys")
        key = int.from_bytes(self._entropy(8), "big") >> 1
        self.connection.execute(
            "INSERT INTO visitor VALUES (?, ?, ?)", (digest, key, visitor_checksum(digest, key))
        )
        return key

    def changed_visitor_count(self) -> int:
        """Return how many visitors' keys are not what was written; looks at all of them."""
        rows = self.connection.execute("SELECT digest, visitor_key, checksum FROM visitor")
        return sum(not is_whole_key(*row) for row in rows)

    def _stored_key(self, digest: bytes) -> int | None:
        row = self.connection.execute(
            "SELECT digest, visitor_key, checksum FROM visitor WHERE digest = ?", (digest,)
        ).fetchone()
        return None if row is None else whole_key(*row)

    def segment_offsets(self) -> dict[str, int]:
        """Return how far each segment has been drained, by name."""
        return dict(self.connection.execute("SELECT name, next_offset FROM segment").fetchall())

    def set_segment_offset(self, name: str, next_offset: int) -> None:
        """Note how far a segment has been drained."""
        self.connection.execute("INSERT OR REPLACE INTO segment VALUES (?, ?)", (name, next_offset))

    def forget_segment(self, name: str) -> None:
        """Drop a segment that was deleted."""
        self.connection.execute("DELETE FROM segment WHERE name = ?", (name,))


def record_of(row: RecordRow) -> LedgerRecord:
    """Return a row of table record. Raises DamagedFile where it changed, or no release so far wrote it."""
    position, kind, visitor_key, _, _ = row
    data = whole(*row)
    try:
        return LedgerRecord(position, RecordKind(kind), visitor_key, data)
    except ValueError:
        raise DamagedFile("ledger", f"position {position}: {kind!a} is no kind of record") from None


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Say in our own terms what SQLite could not open."""
    try:
        yield
    except sqlite3.OperationalError as error:  # locked, full, not readable: it may pass
        raise StorageUnavailable(f"{path}: {error}") from error
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        # Names of tables that are no text any more are ValueErrors, a format that is gone a TypeError.
        raise DamagedFile(
            str(path), f"{error}: restore it from a backup (`offer-optimizer doctor --data DIR` looks closer)"
        ) from error


_KEY_CACHE: Final = 200_000
_ID_MS_MOST: Final = 2**48 - 1
