"""From an older format of the ledger to this release's: each step once, in order, in one transaction.

What always holds: a newer format is refused and no byte of it changes; a step that fails leaves the format
that was; truth stays as it is. What is derived is dropped by the step from format 1, and the learner folds
the records again (`learn.refold`); later steps take it along. May not know what is in a record.

| from | what changed | step |
|---|---|---|
| 1 | the fold's tables: weights, final rewards, parked feedback, counters, rollups | drop them |
| 2 | open decisions are indexed by visitor in buckets | all of them share the first |
| 3 | records and visitors have a checksum beside them | older ones have none; up to where is noted |
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from offer_optimizer.core.errors import CannotStart
from offer_optimizer.store.open_buckets import BUCKET_SCHEMA, FIRST_BUCKETS
from offer_optimizer.store.record_check import UNCHECKED
from offer_optimizer.store.sqlite import open_reader, open_writer, transaction

FORMAT_VERSION: Final = 4
KEEPS_FOLD: Final = 2
"""The oldest format whose fold's tables are taken along."""
TRUTH: Final = frozenset(
    {
        "meta",
        "record",
        "decision_position",
        "visitor",
        "merged_visitor",
        "segment",
        "erasure_request",
        "visitor_position",
    }
)
"""Tables that no fold makes; every other is derived from them."""


def format_of(connection: sqlite3.Connection) -> int | None:
    """Return the format of a ledger; None where there is none yet."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return None
    row = connection.execute("SELECT value FROM meta WHERE name = 'format_version'").fetchone()
    return None if row is None else int(row[0])


def check_format(connection: sqlite3.Connection, path: Path) -> None:
    """Raise CannotStart unless this release reads the format."""
    version = format_of(connection)
    if version is not None and version < FORMAT_VERSION:
        raise CannotStart(
            f"{path}: format {version}, this release reads format {FORMAT_VERSION}: start"
            " `offer-optimizer serve` on it once, which migrates it"
        )
    if version != FORMAT_VERSION:
        raise CannotStart(
            f"{path}: format {version}, this release reads format {FORMAT_VERSION}: run the release that"
            " wrote it, or a newer one"
        )


def migrate(path: Path) -> int | None:
    """Bring the ledger at `path` to this release's format; return the one it had, None where none is there.

    Raises CannotStart, changing nothing, when it is newer, or too old to be derived again.
    """
    if not path.exists():
        return None
    with closing(open_reader(path)) as connection:
        found = format_of(connection)
        if found is None or found == FORMAT_VERSION:
            return found
        if found > FORMAT_VERSION or found not in STEPS:
            check_format(connection, path)
    with closing(open_writer(path)) as connection, transaction(connection):
        for version in range(found, FORMAT_VERSION):
            STEPS[version](connection, path)
        connection.execute("UPDATE meta SET value = ? WHERE name = 'format_version'", (FORMAT_VERSION,))
    return found


def drop_derived(connection: sqlite3.Connection, path: Path) -> None:
    """Drop every table that a fold makes. Raises CannotStart where records are missing to make it again."""
    first, last, count = connection.execute(
        "SELECT COALESCE(MIN(position), 1), COALESCE(MAX(position), 0), COUNT(*) FROM record"
    ).fetchone()
    if first != 1 or count != last:
        raise CannotStart(
            f"{path}: {last - count} of {last} records are not there, so its tables can't be derived again:"
            " run the release that wrote it"
        )
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (name,) in tables:
        if name not in TRUTH and not name.startswith("sqlite_"):
            connection.execute(f'DROP TABLE "{name}"')


def bucket_open_decisions(connection: sqlite3.Connection, _path: Path) -> None:
    """Put what is open into the first bucket of its placement; the fold's tables may not be there."""
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(open_decision)")]
    if not columns or "bucket" in columns:
        return
    connection.execute("ALTER TABLE open_decision ADD COLUMN bucket INTEGER NOT NULL DEFAULT 0")
    connection.execute("DROP INDEX IF EXISTS open_decision_visitor")
    connection.execute(BUCKET_SCHEMA)
    connection.execute(FIRST_BUCKETS)


def begin_checksums(connection: sqlite3.Connection, _path: Path) -> None:
    """Let records have a checksum from now on: to write all again would take minutes, and space."""
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(record)")]
    if "checksum" not in columns:
        connection.execute("ALTER TABLE record ADD COLUMN checksum INTEGER")
        connection.execute("ALTER TABLE visitor ADD COLUMN checksum INTEGER")
        connection.execute(
            "INSERT OR REPLACE INTO meta SELECT ?, COALESCE(MAX(position), 0) FROM record", (UNCHECKED,)
        )


STEPS: Final[Mapping[int, Callable[[sqlite3.Connection, Path], None]]] = {
    1: drop_derived,
    2: bucket_open_decisions,
    3: begin_checksums,
}
"""By the format that a step begins with."""
