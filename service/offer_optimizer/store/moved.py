"""What a ledger lacks because retention moved it to the archive, and how to say so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from offer_optimizer.core.control import Erasure, Retention
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.store.codec import RecordKind, Tick
from offer_optimizer.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Moved:
    """Decisions at or before `position`, decided before about `time_us`, are in the archive once closed."""

    position: int
    time_us: int

    def sentence(self) -> str:
        """Return where they are, for people."""
        return f"decisions before {show_time(self.time_us)} were moved to archive/: replay reads them"


def newest_retention(ledger: Ledger) -> Retention | None:
    """Return the last Retention record of a ledger."""
    newest = None
    for record in ledger.rare_records(ledger.last_position()):
        body = record.body() if record.kind is RecordKind.RETENTION else None
        if isinstance(body, Retention):
            newest = body
    return newest


@dataclass(frozen=True, slots=True)
class NamedBase:
    """The base snapshot that a ledger goes on behind; `rewritten_at` is where an erasure rewrote it, or 0."""

    position: int
    sha256: bytes
    rewritten_at: int = 0


def base_named(ledger: Ledger) -> NamedBase | None:
    """Return the base snapshot that the newest retention or erasure names; None where there is none."""
    newest = None
    for record in ledger.rare_records(ledger.last_position()):
        if record.kind not in (RecordKind.RETENTION, RecordKind.ERASURE):
            continue
        match record.body():
            case Retention(position, sha256):
                newest = NamedBase(position, sha256)
            case Erasure(position, sha256) if sha256:
                newest = NamedBase(position, sha256, record.position)
    return newest


def what_was_moved(ledger: Ledger) -> Moved | None:
    """Return what was moved out of a ledger; None where all is there."""
    retention = newest_retention(ledger)
    if retention is None:
        return None
    row = ledger.connection.execute(
        "SELECT position FROM record WHERE position > ? AND kind = ? ORDER BY position LIMIT 1",
        (retention.position, int(RecordKind.TICK)),
    ).fetchone()
    tick = ledger.record_at(row[0]).body() if row else None
    return Moved(retention.position, tick.time_us if isinstance(tick, Tick) else 0)


def moved_decision(ledger: Ledger, decision_id: bytes) -> str | None:
    """Return where a decision is that the ledger lacks, for people; None where it never was there.

    Ids begin with the time at which they were made.
    """
    moved = what_was_moved(ledger)
    time_us = int.from_bytes(decision_id[:6], "big") * 1000
    if moved is None or time_us > moved.time_us:
        return None
    day = datetime.fromtimestamp(time_us // 1_000_000, UTC).date().isoformat()
    return (
        f"decision {format_decision_id(decision_id)} is not in the ledger any more: its day was moved to "
        f"archive/*/{day}-*.parquet; use replay"
    )


def show_time(time_us: int) -> str:
    """Return a time to the minute, for people."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).isoformat(timespec="minutes")
