"""What retention takes out of a ledger, and what stays.

Everything at or before the position of a base snapshot goes (decisions, feedback, ticks, fates, closed
decisions), but for the positions that the base keeps: what was open there, and what the fold may still read.
Records of all other kinds stay for ever. Done in small transactions, and again from the start after a crash:
what is gone costs nothing. Ids of decisions go later, with the first base that lies behind the Retention
record: the fold knows them until that record. SQLite uses the space again; the file does not shrink.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Final

from offer_optimizer.store.base_file import BaseFile, Table
from offer_optimizer.store.codec import RecordKind
from offer_optimizer.store.fold_tables import CloseStatus
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.open_buckets import FIRST_BUCKETS
from offer_optimizer.store.sqlite import transaction
from offer_optimizer.store.visitor_index import VisitorIndex

AT_ONCE: Final = 2000
"""Records taken out in one transaction."""
_SETTLED: Final = ("fate", "closed", "final", "moved", "shifted_decision")
"""Tables of what is over. All others of the fold that have a `position` speak of what is not."""
_DONE: Final = "dropped_position"


def tables_of(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """Return the tables of a database with their columns, by name, ascending."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    return {
        name: tuple(row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (name,)))
        for (name,) in names
    }


def prune(connection: sqlite3.Connection) -> Iterator[int]:
    """Leave in the fold's tables, as they stand at a base, what a base keeps; return positions that stay.

    Beside what is open, that is the last lesson of every policy epoch, the close cursor of its model; and the
    feedback of both.
    """
    run = connection.execute
    run("CREATE TEMP TABLE kept(position INTEGER PRIMARY KEY)")
    for name, columns in tables_of(connection).items():
        if name not in _SETTLED and "position" in columns:
            run(f"INSERT OR IGNORE INTO kept SELECT position FROM {name}")  # noqa: S608  (names of our own)
    run(
        "INSERT OR IGNORE INTO kept SELECT position FROM ("
        "SELECT position, ROW_NUMBER() OVER (PARTITION BY placement_id, policy_epoch "
        "ORDER BY close_time_us DESC, position DESC) AS rank FROM closed WHERE status = ?) WHERE rank = 1",
        (int(CloseStatus.LEARNED),),
    )
    run(
        "INSERT OR IGNORE INTO kept SELECT fate.position FROM fate "
        "JOIN kept ON kept.position = fate.decision_position"
    )
    for name in _SETTLED:
        if name in tables_of(connection):
            run(f"DELETE FROM {name} WHERE position NOT IN (SELECT position FROM kept)")  # noqa: S608
    return (row[0] for row in run("SELECT position FROM kept ORDER BY position"))


def table_rows(connection: sqlite3.Connection) -> Iterator[Table]:
    """Yield all tables of a database, their rows ordered by all columns."""
    for name, columns in tables_of(connection).items():
        order = ", ".join(columns)
        yield Table(name, columns, connection.execute(f"SELECT {order} FROM {name} ORDER BY {order}"))  # noqa: S608


def load_tables(connection: sqlite3.Connection, base: BaseFile) -> None:
    """Fill the empty tables of a database from a base snapshot; those it does not have are passed over."""
    known = tables_of(connection)
    loaded = set()
    for name, columns, rows in base.tables():
        if name in known:
            loaded.add(name)
            marks = ", ".join("?" * len(columns))
            connection.executemany(
                f"INSERT INTO {name}({', '.join(columns)}) VALUES ({marks})",  # noqa: S608
                rows,
            )
    if "open_bucket" in known and "open_bucket" not in loaded:
        connection.execute(FIRST_BUCKETS)


class Dropper:
    """Takes out of a ledger what a base snapshot stands for, a piece at a time."""

    def __init__(self, ledger: Ledger, base: BaseFile) -> None:
        self._ledger = ledger
        self._run = ledger.connection.execute
        self._base = base
        self._up_to = base.header.ledger_position
        self._after = 0
        self._kept = base.kept()
        self._next_kept = next(self._kept, None)
        self._last_id: bytes | None = b""
        self._settled = [name for name in _SETTLED if name in tables_of(ledger.connection)]

    def is_done(self) -> bool:
        """Return whether everything is out already."""
        row = self._run("SELECT value FROM meta WHERE name = ?", (_DONE,)).fetchone()
        return row is not None and row[0] >= self._up_to

    def step(self) -> bool:
        """Take out a piece; return whether there is more to do. Raises sqlite3.Error, having done nothing."""
        with transaction(self._ledger.connection):
            if self._after < self._up_to:
                self._drop_records()
            elif self._last_id is not None:
                self._drop_ids()
            else:
                self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_DONE, self._up_to))
                return False
        return True

    def _drop_records(self) -> None:
        row = self._run(
            "SELECT position FROM record WHERE position > ? AND position <= ? "
            "ORDER BY position LIMIT 1 OFFSET ?",
            (self._after, self._up_to, AT_ONCE - 1),
        ).fetchone()
        end = self._up_to if row is None else int(row[0])
        kept = json.dumps(self._kept_up_to(end))
        condition = "position > ? AND position <= ? AND position NOT IN (SELECT value FROM json_each(?))"
        bounds = (self._after, end, kept)
        self._run(f"DELETE FROM record WHERE {condition} AND kind <= ?", (*bounds, int(RecordKind.TICK)))  # noqa: S608
        for name in self._settled:
            self._run(f"DELETE FROM {name} WHERE {condition}", bounds)  # noqa: S608
        VisitorIndex(self._ledger.connection).drop_between(self._after, end)
        self._after = end

    def _kept_up_to(self, end: int) -> list[int]:
        found = []
        while self._next_kept is not None and self._next_kept <= end:
            found.append(self._next_kept)
            self._next_kept = next(self._kept, None)
        return found

    def _drop_ids(self) -> None:
        """Take out ids that the fold did not know at the base any more: nobody will ask for them."""
        forgotten = self._base.header.dropped_position
        rows = self._run(
            "SELECT decision_id, position, EXISTS(SELECT 1 FROM record AS r WHERE r.position = d.position) "
            "FROM decision_position AS d WHERE decision_id > ? ORDER BY decision_id LIMIT ?",
            (self._last_id, AT_ONCE),
        ).fetchall()
        old = [(decision_id, stays) for decision_id, position, stays in rows if position <= forgotten]
        gone = [(decision_id,) for decision_id, stays in old if not stays]
        self._ledger.connection.executemany("DELETE FROM decision_position WHERE decision_id = ?", gone)
        # Ids begin with their time: behind so many younger ones there is none to speak of.
        self._last_id = rows[-1][0] if old else None
