"""What the fold keeps between records: open decisions, their feedback, fates, and closed decisions.

Lives in the ledger's database for live learning and in a private one for a rebuild; always derivable
from the ledger. Small tables are indexed at will; what only grows is appended in key order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

from offer_optimizer.core.feedback import Fate

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS fold_state(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS open_decision(
    position INTEGER PRIMARY KEY, decision_id BLOB NOT NULL, visitor_key INTEGER, placement_id TEXT NOT NULL,
    catalog_revision INTEGER NOT NULL, slot_count INTEGER NOT NULL, policy_epoch BLOB NOT NULL,
    learnable INTEGER NOT NULL, active INTEGER NOT NULL,
    decide_time_us INTEGER NOT NULL, close_time_us INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS open_decision_close ON open_decision(close_time_us, position);
CREATE INDEX IF NOT EXISTS open_decision_id ON open_decision(decision_id);
CREATE INDEX IF NOT EXISTS open_decision_visitor ON open_decision(visitor_key, placement_id, position)
    WHERE visitor_key IS NOT NULL;
CREATE TABLE IF NOT EXISTS open_feedback(
    position INTEGER PRIMARY KEY, decision_position INTEGER NOT NULL, feedback_id TEXT NOT NULL,
    visitor_key INTEGER, placement_id TEXT NOT NULL, kind TEXT NOT NULL, value REAL NOT NULL,
    time_us INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS open_feedback_decision ON open_feedback(decision_position, feedback_id);
CREATE INDEX IF NOT EXISTS open_feedback_visitor ON open_feedback(visitor_key, placement_id, feedback_id)
    WHERE visitor_key IS NOT NULL;
CREATE TABLE IF NOT EXISTS spent_feedback(
    visitor_key INTEGER NOT NULL, placement_id TEXT NOT NULL, feedback_id TEXT NOT NULL,
    position INTEGER NOT NULL, until_us INTEGER NOT NULL,
    PRIMARY KEY (visitor_key, placement_id, feedback_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spent_feedback_until ON spent_feedback(until_us);
CREATE TABLE IF NOT EXISTS fate(
    position INTEGER PRIMARY KEY, fate INTEGER NOT NULL, decision_position INTEGER);
CREATE INDEX IF NOT EXISTS fate_decision ON fate(decision_position) WHERE decision_position IS NOT NULL;
CREATE TABLE IF NOT EXISTS closed(
    placement_id TEXT NOT NULL, policy_epoch BLOB NOT NULL, close_time_us INTEGER NOT NULL,
    position INTEGER NOT NULL, status INTEGER NOT NULL, reward REAL NOT NULL, clipped INTEGER NOT NULL,
    PRIMARY KEY (placement_id, policy_epoch, status, close_time_us, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS closed_position ON closed(position)
"""
DROPPED: Final = "dropped"
"""State: decisions at or before this position that have closed were moved to the archive."""
GRACE_US: Final = 3_600_000_000
"""How long after its window a feedback_id addressed by visitor is remembered: retries come by then."""


class CloseStatus(IntEnum):
    """What a closed decision is good for. Numbers are stored: never change one."""

    LEARNED = 1
    NOT_ACTIVATED = 2
    NOT_LEARNABLE = 3
    REWARD_FAILED = 4


@dataclass(frozen=True, slots=True)
class OpenDecision:
    """A decision whose window is open; times are effective: never behind ledger time at arrival."""

    position: int
    decision_id: bytes
    visitor_key: int | None
    placement_id: str
    catalog_revision: int
    slot_count: int
    policy_epoch: bytes
    learnable: bool
    active: bool
    decide_time_us: int
    close_time_us: int


@dataclass(frozen=True, slots=True)
class JoinedFeedback:
    """An item of feedback applied to an open decision; `visitor_key` only if addressed by visitor."""

    position: int
    decision_position: int
    feedback_id: str
    visitor_key: int | None
    placement_id: str
    kind: str
    value: float
    time_us: int


@dataclass(frozen=True, slots=True)
class ClosedDecision:
    """A decision whose window has closed, and its reward (reward_learned)."""

    placement_id: str
    policy_epoch: bytes
    close_time_us: int
    position: int
    status: CloseStatus
    reward: float
    clipped: bool


class FoldTables:
    """The fold's memory over one SQLite connection; transactions belong to the caller."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    @classmethod
    def create(cls, connection: sqlite3.Connection) -> FoldTables:
        """Make the tables where they don't exist yet."""
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        return cls(connection)

    def state(self, name: str) -> int:
        """Return a named number; 0 at first."""
        row = self.connection.execute("SELECT value FROM fold_state WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def set_state(self, name: str, value: int) -> None:
        """Keep a named number."""
        self.connection.execute("INSERT OR REPLACE INTO fold_state VALUES (?, ?)", (name, value))

    def open(self, decision: OpenDecision) -> None:
        """Add a decision whose window opens."""
        self.connection.execute(
            "INSERT INTO open_decision VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                decision.position,
                decision.decision_id,
                decision.visitor_key,
                decision.placement_id,
                decision.catalog_revision,
                decision.slot_count,
                decision.policy_epoch,
                decision.learnable,
                decision.active,
                decision.decide_time_us,
                decision.close_time_us,
            ),
        )

    def activate(self, position: int) -> None:
        """Note that a deferred decision was shown."""
        self.connection.execute("UPDATE open_decision SET active = 1 WHERE position = ?", (position,))

    def find_open(self, decision_id: bytes) -> OpenDecision | None:
        """Return an open decision by its id."""
        row = self.connection.execute(
            "SELECT * FROM open_decision WHERE decision_id = ?", (decision_id,)
        ).fetchone()
        return None if row is None else _open_decision(row)

    def open_at(self, position: int) -> OpenDecision | None:
        """Return an open decision by its position."""
        row = self.connection.execute(
            "SELECT * FROM open_decision WHERE position = ?", (position,)
        ).fetchone()
        return None if row is None else _open_decision(row)

    def newest_active(self, visitor_key: int, placement_id: str, time_us: int) -> OpenDecision | None:
        """Return the newest active decision of a visitor at a placement whose window contains a time.

        Drained together, a decision precedes feedback that was received before it was made: hence its start.
        """
        row = self.connection.execute(
            "SELECT * FROM open_decision WHERE visitor_key = ? AND placement_id = ? AND active "
            "AND decide_time_us <= ? AND close_time_us > ? ORDER BY position DESC LIMIT 1",
            (visitor_key, placement_id, time_us, time_us),
        ).fetchone()
        return None if row is None else _open_decision(row)

    def merge_visitor(self, from_key: int, into_key: int) -> None:
        """Give what is open of one visitor to another; what is closed keeps the key it has."""
        for statement in (
            "UPDATE open_decision SET visitor_key = ? WHERE visitor_key = ?",
            "UPDATE open_feedback SET visitor_key = ? WHERE visitor_key = ?",
            # Where both gave one feedback_id, it is taken by either.
            "UPDATE OR IGNORE spent_feedback SET visitor_key = ? WHERE visitor_key = ?",
        ):
            self.connection.execute(statement, (into_key, from_key))

    def join(self, feedback: JoinedFeedback) -> None:
        """Attach an item of feedback to an open decision."""
        self.connection.execute(
            "INSERT INTO open_feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                feedback.position,
                feedback.decision_position,
                feedback.feedback_id,
                feedback.visitor_key,
                feedback.placement_id,
                feedback.kind,
                feedback.value,
                feedback.time_us,
            ),
        )

    def joined(self, decision_position: int) -> list[JoinedFeedback]:
        """Return the feedback of a decision in ledger order."""
        rows = self.connection.execute(
            "SELECT * FROM open_feedback WHERE decision_position = ? ORDER BY position", (decision_position,)
        )
        return [JoinedFeedback(*row) for row in rows]

    def find_joined(self, decision_position: int, feedback_id: str) -> int | None:
        """Return the position of the item that holds a feedback_id within a decision."""
        row = self.connection.execute(
            "SELECT position FROM open_feedback WHERE decision_position = ? AND feedback_id = ?",
            (decision_position, feedback_id),
        ).fetchone()
        return None if row is None else int(row[0])

    def find_joined_by_visitor(
        self, visitor_key: int, placement_id: str, feedback_id: str
    ) -> JoinedFeedback | None:
        """Return the item that holds a feedback_id within a visitor and placement."""
        row = self.connection.execute(
            "SELECT * FROM open_feedback WHERE visitor_key = ? AND placement_id = ? AND feedback_id = ?",
            (visitor_key, placement_id, feedback_id),
        ).fetchone()
        return None if row is None else JoinedFeedback(*row)

    def find_spent(self, visitor_key: int, placement_id: str, feedback_id: str) -> int | None:
        """Return the position of the item that lately held a feedback_id within a visitor and placement."""
        row = self.connection.execute(
            "SELECT position FROM spent_feedback "
            "WHERE visitor_key = ? AND placement_id = ? AND feedback_id = ?",
            (visitor_key, placement_id, feedback_id),
        ).fetchone()
        return None if row is None else int(row[0])

    def forget_spent(self, time_us: int) -> None:
        """Drop feedback_ids whose grace ended at or before a time."""
        self.connection.execute("DELETE FROM spent_feedback WHERE until_us <= ?", (time_us,))

    def note_fate(self, position: int, fate: Fate, decision_position: int | None) -> None:
        """Keep what became of an item of feedback."""
        self.connection.execute("INSERT INTO fate VALUES (?, ?, ?)", (position, int(fate), decision_position))

    def due(self, time_us: int, limit: int) -> list[OpenDecision]:
        """Return open decisions whose window ends at or before a time, in closing order."""
        rows = self.connection.execute(
            "SELECT * FROM open_decision WHERE close_time_us <= ? ORDER BY close_time_us, position LIMIT ?",
            (time_us, limit),
        )
        return [_open_decision(row) for row in rows]

    def close(self, closed: ClosedDecision) -> None:
        """Move a decision from open to closed; its feedback goes, ids given by visitor after a grace."""
        self.connection.execute(
            "INSERT INTO closed VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                closed.placement_id,
                closed.policy_epoch,
                closed.close_time_us,
                closed.position,
                int(closed.status),
                closed.reward,
                closed.clipped,
            ),
        )
        self.connection.execute(
            "INSERT OR REPLACE INTO spent_feedback "
            "SELECT visitor_key, placement_id, feedback_id, position, ? FROM open_feedback "
            "WHERE decision_position = ? AND visitor_key IS NOT NULL",
            (closed.close_time_us + GRACE_US, closed.position),
        )
        self.connection.execute("DELETE FROM open_feedback WHERE decision_position = ?", (closed.position,))
        self.connection.execute("DELETE FROM open_decision WHERE position = ?", (closed.position,))

    def lessons(
        self,
        placement_id: str,
        policy_epoch: bytes,
        after: tuple[int, int],
        up_to: tuple[int, int] | None,
        limit: int,
    ) -> list[ClosedDecision]:
        """Return what a model has yet to learn: (close time, position) in (after, up_to], in that order."""
        rows = self.connection.execute(
            "SELECT * FROM closed WHERE placement_id = ? AND policy_epoch = ? AND status = ? "
            "AND (close_time_us, position) > (?, ?) AND (close_time_us, position) <= (?, ?) "
            "ORDER BY close_time_us, position LIMIT ?",
            (placement_id, policy_epoch, int(CloseStatus.LEARNED), *after, *(up_to or _FOREVER), limit),
        )
        return [_closed_decision(row) for row in rows]

    def has_lesson(self, placement_id: str, policy_epoch: bytes, cursor: tuple[int, int]) -> bool:
        """Return whether a close cursor names an example of this epoch."""
        row = self.connection.execute(
            "SELECT 1 FROM closed WHERE placement_id = ? AND policy_epoch = ? AND status = ? "
            "AND close_time_us = ? AND position = ?",
            (placement_id, policy_epoch, int(CloseStatus.LEARNED), *cursor),
        ).fetchone()
        return row is not None

    def closed_at(self, position: int) -> ClosedDecision | None:
        """Return a closed decision by its position."""
        row = self.connection.execute("SELECT * FROM closed WHERE position = ?", (position,)).fetchone()
        return None if row is None else _closed_decision(row)

    def feedback_of(self, decision_position: int) -> list[tuple[int, Fate]]:
        """Return positions and fates of the feedback that named a decision, in ledger order."""
        rows = self.connection.execute(
            "SELECT position, fate FROM fate WHERE decision_position = ? ORDER BY position",
            (decision_position,),
        )
        return [(position, Fate(fate)) for position, fate in rows]

    def fate_of(self, position: int) -> Fate | None:
        """Return what became of an item of feedback; None before it is folded."""
        row = self.connection.execute("SELECT fate FROM fate WHERE position = ?", (position,)).fetchone()
        return None if row is None else Fate(row[0])

    def fate_counts(self) -> dict[Fate, int]:
        """Return how many items met each fate."""
        rows = self.connection.execute("SELECT fate, COUNT(*) FROM fate GROUP BY fate")
        return {Fate(fate): count for fate, count in rows}

    def settled(self, table: Literal["fate", "closed"], bound: int) -> Iterator[tuple[object, ...]]:
        """Yield rows that will never change: fates up to a position, or decisions closed up to a time."""
        if table == "fate":
            yield from self.connection.execute(
                "SELECT * FROM fate WHERE position <= ? ORDER BY position", (bound,)
            )
        else:
            yield from self.connection.execute(
                "SELECT * FROM closed WHERE close_time_us <= ? "
                "ORDER BY placement_id, policy_epoch, close_time_us, position",
                (bound,),
            )


def position_of(table: Literal["fate", "closed"], row: tuple[object, ...]) -> int:
    """Return the ledger position of a settled row."""
    position = row[0] if table == "fate" else row[3]
    return position if isinstance(position, int) else 0


_FOREVER: Final = (2**62, 2**62)


def _open_decision(
    row: tuple[int, bytes, int | None, str, int, int, bytes, int, int, int, int],
) -> OpenDecision:
    (
        position,
        decision_id,
        visitor_key,
        placement_id,
        revision,
        slots,
        epoch,
        learnable,
        active,
        decided,
        closes,
    ) = row
    return OpenDecision(
        position,
        decision_id,
        visitor_key,
        placement_id,
        revision,
        slots,
        epoch,
        bool(learnable),
        bool(active),
        decided,
        closes,
    )


def _closed_decision(row: tuple[str, bytes, int, int, int, float, int]) -> ClosedDecision:
    placement_id, epoch, close_time, position, status, reward, clipped = row
    return ClosedDecision(
        placement_id, epoch, close_time, position, CloseStatus(status), reward, bool(clipped)
    )
