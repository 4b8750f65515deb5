"""Feedback that waits for a decision which the ledger does not know yet. A part of the fold's tables."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

PARKED_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS parked_feedback(
    position INTEGER PRIMARY KEY, decision_id BLOB NOT NULL, arrival_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS parked_feedback_decision ON parked_feedback(decision_id, position);
CREATE INDEX IF NOT EXISTS parked_feedback_until ON parked_feedback(until_us, position)
"""


@dataclass(frozen=True, slots=True)
class ParkedFeedback:
    """An item that waits until a time; `arrival_us` is the effective time at which it was received."""

    position: int
    decision_id: bytes
    arrival_us: int
    until_us: int


class ParkedTable:
    """What waits, over one SQLite connection; transactions belong to the caller."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, item: ParkedFeedback) -> None:
        """Keep an item."""
        self._connection.execute(
            "INSERT INTO parked_feedback VALUES (?, ?, ?, ?)",
            (item.position, item.decision_id, item.arrival_us, item.until_us),
        )

    def count(self) -> int:
        """Return how many items wait."""
        (count,) = self._connection.execute("SELECT COUNT(*) FROM parked_feedback").fetchone()
        return int(count)

    def count_for(self, decision_id: bytes) -> int:
        """Return how many items wait for one decision."""
        (count,) = self._connection.execute(
            "SELECT COUNT(*) FROM parked_feedback WHERE decision_id = ?", (decision_id,)
        ).fetchone()
        return int(count)

    def waiting_for(self, decision_id: bytes) -> list[ParkedFeedback]:
        """Return what waits for a decision, in ledger order."""
        rows = self._connection.execute(
            "SELECT * FROM parked_feedback WHERE decision_id = ? ORDER BY position", (decision_id,)
        )
        return [ParkedFeedback(*row) for row in rows]

    def due(self, time_us: int) -> list[ParkedFeedback]:
        """Return what waited until a time, or until an earlier one, in ledger order."""
        rows = self._connection.execute(
            "SELECT * FROM parked_feedback WHERE until_us <= ? ORDER BY position", (time_us,)
        )
        return [ParkedFeedback(*row) for row in rows]

    def has_due(self, time_us: int) -> bool:
        """Return whether anything waited until a time, or until an earlier one."""
        row = self._connection.execute(
            "SELECT 1 FROM parked_feedback WHERE until_us <= ? LIMIT 1", (time_us,)
        ).fetchone()
        return row is not None

    def remove(self, position: int) -> None:
        """Let an item wait no longer."""
        self._connection.execute("DELETE FROM parked_feedback WHERE position = ?", (position,))
