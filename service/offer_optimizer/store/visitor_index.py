"""Where in the ledger a visitor's records are, without an index on random keys over all of it.

Such an index would take ingest from 100k to 23k rows/s at a million rows; so the positions of a block of
records are indexed once, sorted, when the block is full. Looking somebody up costs one step down a tree for
each block, and a scan of the records behind the last one. Belongs to the ledger's database; derivable.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from typing import Final

from offer_optimizer.store.sqlite import transaction

BLOCK: Final = 20_000
"""Records that are indexed together: about 30 ms of work, and 500 lookups for ten million records."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS visitor_position(
    block INTEGER NOT NULL, visitor_key INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (block, visitor_key, position)) WITHOUT ROWID
"""
_DONE: Final = "visitor_blocks"


class VisitorIndex:
    """The index over one SQLite connection; only `step` begins transactions of its own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read beside the writer, or write; nothing is made here."""
        self._connection = connection
        self._run = connection.execute

    @classmethod
    def create(cls, connection: sqlite3.Connection) -> VisitorIndex:
        """Make the table where it does not exist yet."""
        connection.execute(_SCHEMA)
        return cls(connection)

    def step(self, last_position: int) -> bool:
        """Index the next block if it is full; return whether there was one. Raises sqlite3.Error."""
        block = self._done_count()
        if last_position < (block + 1) * BLOCK:
            return False
        with transaction(self._connection):
            self._run(
                "INSERT INTO visitor_position SELECT ?, visitor_key, position FROM record "
                "WHERE position > ? AND position <= ? AND visitor_key IS NOT NULL "
                "ORDER BY visitor_key, position",
                (block, block * BLOCK, (block + 1) * BLOCK),
            )
            self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_DONE, block + 1))
        return True

    def positions(self, keys: Collection[int]) -> list[int]:
        """Return the positions of all records of some visitors, ascending; some may have been moved out."""
        wanted, done = json.dumps(sorted(keys)), self._done_count()
        rows: list[tuple[int]] = []
        if done and keys:
            # CROSS JOIN keeps the order: each pair of block and key is one step down the tree.
            rows += self._run(
                "WITH RECURSIVE block(number) AS "
                "(SELECT 0 UNION ALL SELECT number + 1 FROM block WHERE number + 1 < ?) "
                "SELECT position FROM block CROSS JOIN json_each(?) AS wanted "
                "CROSS JOIN visitor_position AS at ON at.block = number AND at.visitor_key = wanted.value",
                (done, wanted),
            )
        if keys:
            rows += self._run(
                "SELECT position FROM record WHERE position > ? "
                "AND visitor_key IN (SELECT value FROM json_each(?))",
                (done * BLOCK, wanted),
            )
        return sorted(position for (position,) in rows)

    def missing_count(self) -> int:
        """Return how many records of full blocks are not found by their visitor; read block by block."""
        found = 0
        for block in range(self._done_count()):
            (count,) = self._run(
                "SELECT COUNT(*) FROM record WHERE position > ? AND position <= ? "
                "AND visitor_key IS NOT NULL AND NOT EXISTS "
                "(SELECT 1 FROM visitor_position AS at WHERE at.block = ? "
                "AND at.visitor_key = record.visitor_key AND at.position = record.position)",
                (block * BLOCK, (block + 1) * BLOCK, block),
            ).fetchone()
            found += int(count)
        return found

    def rename(self, new_keys: Mapping[int, int]) -> None:
        """Give the records of visitors other keys, within the caller's transaction."""
        for old, new in new_keys.items():
            rows = [
                (block, old, position)
                for position in self.positions([old])
                if (block := (position - 1) // BLOCK) < self._done_count()
            ]
            many = self._connection.executemany
            many(
                "DELETE FROM visitor_position WHERE block = ? AND visitor_key = ? AND position = ?",
                rows,
            )
            many(
                "INSERT OR IGNORE INTO visitor_position VALUES (?, ?, ?)",
                [(block, new, position) for block, _, position in rows],
            )

    def drop_between(self, after: int, up_to: int) -> None:
        """Forget what is not in the ledger any more, of blocks that end in (after, up_to].

        Within the caller's transaction.
        """
        for block in range(after // BLOCK, min(up_to // BLOCK, self._done_count())):
            self._run(
                "DELETE FROM visitor_position WHERE block = ? AND NOT EXISTS "
                "(SELECT 1 FROM record WHERE record.position = visitor_position.position)",
                (block,),
            )

    def _done_count(self) -> int:
        try:
            row = self._run("SELECT value FROM meta WHERE name = ?", (_DONE,)).fetchone()
        except sqlite3.OperationalError:
            return 0
        return 0 if row is None else int(row[0])
