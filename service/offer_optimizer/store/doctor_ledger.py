"""Looks at the ledger as `doctor` does: is the database whole, its order without gaps, every record readable?

It changes nothing and holds no transaction for long, so a running learner is not held up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Final, TypeVar

from google.protobuf.message import DecodeError

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import CannotStart, OfferOptimizerError
from offer_optimizer.store.codec import RecordKind, Tick
from offer_optimizer.store.counter_tables import CounterTables
from offer_optimizer.store.findings import Finding, damaged, note, sound
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger, record_of
from offer_optimizer.store.moved import NamedBase, base_named, newest_retention
from offer_optimizer.store.record_check import unchecked_position
from offer_optimizer.store.rollup_tables import RollupTables
from offer_optimizer.store.segment_format import SegmentName
from offer_optimizer.store.sqlite import open_writer
from offer_optimizer.store.visitor_index import VisitorIndex

Answer = TypeVar("Answer")
RESTORE: Final = (
    "stop the server and restore the ledger from a backup; segments that are still there are drained again"
)
LOOK_AGAIN: Final = "do that, then look again: what is in it was not looked at"
_NAMES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"
_OF_FOLD: Final = frozenset({"fold_state", "fate", "closed", "open_decision"})
CHECK: Final = "`offer-optimizer rebuild --check` derives everything again and says what differs"


def look_at_ledger(directory: DataDirectory) -> tuple[int | None, dict[str, int], list[Finding]]:
    """Return the last position (None where it can't be told), the offsets of segments, and what was found."""
    subject = str(directory.ledger_path)
    if not directory.ledger_path.exists() or not directory.ledger_path.stat().st_size:
        is_new = not any(directory.snapshots.glob("*/*.snap"))
        if is_new:
            return None, {}, [note(subject, "there is none yet")]
        return None, {}, [damaged(subject, "is missing or empty, and models learned from it", RESTORE)]
    try:
        ledger = Ledger.open_for_reading(directory.ledger_path)
    except CannotStart as error:  # of another format, which is no damage
        return None, {}, [note(subject, str(error).removeprefix(f"{subject}: "), LOOK_AGAIN)]
    except OfferOptimizerError as error:
        return None, {}, [damaged(subject, error, RESTORE)]
    lines: list[Finding] = []
    last_position, offsets = None, {}
    with closing(ledger.connection):
        try:
            lines += _database(ledger, subject)
            lines += _tables(ledger, subject)
            last_position = ledger.last_position()
            offsets = ledger.segment_offsets()
            lines += _records(ledger, subject, last_position)
            lines.append(_fold(ledger, subject))
        except (sqlite3.Error, OfferOptimizerError, ValueError, TypeError) as error:
            lines.append(damaged(subject, f"can't be read to its end: {error}", RESTORE))
    return last_position, offsets, lines


def last_position_now(directory: DataDirectory) -> int | None:
    """Return the last position as of now: a running learner goes on. None where it can't be told."""
    return _asked(directory, Ledger.last_position)


def base_named_now(directory: DataDirectory) -> NamedBase | None:
    """Return the base snapshot that the ledger goes on behind; None where it names none that can be read."""
    return _asked(directory, base_named)


def _asked(directory: DataDirectory, question: Callable[[Ledger], Answer]) -> Answer | None:
    try:
        ledger = Ledger.open_for_reading(directory.ledger_path)
        with closing(ledger.connection):
            return question(ledger)
    except (sqlite3.Error, OfferOptimizerError, ValueError, TypeError):
        return None  # said of the ledger itself


def _database(ledger: Ledger, subject: str) -> list[Finding]:
    found = [row[0] for row in ledger.connection.execute("PRAGMA integrity_check(5)")]
    if found == ["ok"]:
        return [sound(subject, "SQLite finds the database whole")]
    return [damaged(subject, f"SQLite finds: {'; '.join(found)}", RESTORE)]


def _tables(ledger: Ledger, subject: str) -> list[Finding]:
    """Say which tables are not there: a learner would make them anew, empty. Before a fold there are none."""
    names = {name for (name,) in ledger.connection.execute(_NAMES)}
    if not names & _OF_FOLD:
        return []
    with closing(open_writer(None)) as fresh:
        Ledger.create(fresh, bytes)
        for part in (FoldTables, RollupTables, CounterTables):
            part.create(fresh)
        missing = sorted({name for (name,) in fresh.execute(_NAMES)} - names)
    what = f"has no {', '.join(missing)}"
    return [damaged(subject, what, f"{RESTORE}; {CHECK}")] if missing else []


def _records(ledger: Ledger, subject: str, last_position: int) -> list[Finding]:
    """Look for gaps behind what retention moved out, and for records that can't be read."""
    retention = newest_retention(ledger)
    begin = retention.position if retention else 0
    (count,) = ledger.connection.execute(
        "SELECT COUNT(*) FROM record WHERE position > ? AND position <= ?", (begin, last_position)
    ).fetchone()
    lines = []
    if count != last_position - begin:
        text = (
            f"{last_position - begin - count:,} positions between {begin} and {last_position} have no record"
        )
        lines.append(damaged(subject, text, RESTORE))
    changed, unindexed = _unreadable(ledger, last_position)
    if changed:
        text = f"{len(changed):,} records are not what was written or can't be read"
        lines.append(damaged(subject, text + _first(changed), RESTORE))
    if unindexed:
        text = f"the ids of {len(unindexed):,} decisions don't lead to them"
        lines.append(damaged(subject, text + _first(unindexed), RESTORE))
    if missing := VisitorIndex(ledger.connection).missing_count():
        lines.append(damaged(subject, f"visitors do not lead to {missing:,} of their records", RESTORE))
    if changed_count := ledger.changed_visitor_count():
        text = f"the keys of {changed_count:,} visitors are not what was written"
        lines.append(damaged(subject, text, RESTORE))
    lines += [
        damaged(subject, f"{name[:60]!a}, drained into it, is no name of a segment", RESTORE)
        for name in ledger.segment_offsets()
        if SegmentName.parse(name) is None
    ]
    if not lines:
        text = f"{count:,} records up to position {last_position}, each in its place and as it was written"
        if unchecked := min(unchecked_position(ledger.connection), last_position):
            text += f" (readable, up to position {unchecked}: an older release kept no checksums)"
        if begin:
            text += f"; what closed up to position {begin} is in the archive"
        lines.append(sound(subject, text))
    return lines


def _unreadable(ledger: Ledger, last_position: int) -> tuple[list[int], list[int]]:
    """Return the positions of changed or unreadable records, and of decisions whose id leads elsewhere."""
    unchecked = unchecked_position(ledger.connection)
    changed, unindexed = [], []
    for row in ledger.rows(0, last_position):
        position = row[0]
        try:
            body = record_of(row).body()
        except (DecodeError, OfferOptimizerError, ValueError, KeyError, IndexError, TypeError):
            changed.append(position)
            continue
        if row[-1] is None and position > unchecked:
            changed.append(position)
        elif isinstance(body, Decision) and ledger.find_decision(body.decision_id) != position:
            unindexed.append(position)
    return changed, unindexed


def _first(positions: list[int]) -> str:
    return f", first at positions {', '.join(map(str, positions[:5]))}"


def _fold(ledger: Ledger, subject: str) -> Finding:
    """Compare what the fold noted of itself with the ledger's end, in one look at both."""
    ledger.connection.execute("BEGIN")
    try:
        tables = FoldTables(ledger.connection)
        noted = (tables.state("position"), tables.state("time_us"))
        end = (ledger.last_position(), _last_tick_us(ledger))
        (beyond,) = ledger.connection.execute(
            "SELECT COUNT(*) FROM open_decision WHERE position > ?", (end[0],)
        ).fetchone()
    finally:
        ledger.connection.execute("COMMIT")
    if noted != end or beyond:
        text = (
            f"the fold stands at position {noted[0]} and time {noted[1]}, the ledger at {end[0]} and {end[1]}"
        )
        return damaged(subject, text, f"{RESTORE}; {CHECK}")
    return sound(subject, f"the fold stands at the ledger's end; {CHECK}")


def _last_tick_us(ledger: Ledger) -> int:
    row = ledger.connection.execute(
        "SELECT position FROM record WHERE kind = ? ORDER BY position DESC LIMIT 1", (int(RecordKind.TICK),)
    ).fetchone()
    body = ledger.record_at(row[0]).body() if row else None
    return body.time_us if isinstance(body, Tick) else 0
