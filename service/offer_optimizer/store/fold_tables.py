"""What the fold keeps between records: open windows (`open_tables`), fates, closed decisions, final rewards.

Lives in the ledger's database for live learning and in a private one for a rebuild; always derivable
from the ledger. Small tables are indexed at will; what only grows is appended in key order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

from offer_optimizer.core.feedback import Fate
from offer_optimizer.store.open_buckets import BUCKET_SCHEMA
from offer_optimizer.store.open_tables import OPEN_SCHEMA, OpenTables
from offer_optimizer.store.parked_table import PARKED_SCHEMA

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS fold_state(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fate(
    position INTEGER PRIMARY KEY, fate INTEGER NOT NULL, decision_position INTEGER,
    settled_position INTEGER, time_us INTEGER);
CREATE INDEX IF NOT EXISTS fate_decision ON fate(decision_position) WHERE decision_position IS NOT NULL;
CREATE INDEX IF NOT EXISTS fate_unknown ON fate(position) WHERE fate IN (5, 7);
CREATE TABLE IF NOT EXISTS closed(
    placement_id TEXT NOT NULL, policy_epoch BLOB NOT NULL, close_time_us INTEGER NOT NULL,
    position INTEGER NOT NULL, status INTEGER NOT NULL, reward REAL NOT NULL, clipped INTEGER NOT NULL,
    weight REAL NOT NULL,
    PRIMARY KEY (placement_id, policy_epoch, status, close_time_us, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS closed_position ON closed(position);
CREATE TABLE IF NOT EXISTS final(
    position INTEGER PRIMARY KEY, reward REAL NOT NULL, changed_position INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS moved(position INTEGER PRIMARY KEY)
"""
UNKNOWN_FATES: Final = "SELECT position FROM fate WHERE fate IN (5, 7)"
"""The feedback whose decision is not known, or not yet: Fate.UNKNOWN and Fate.PARKED."""
DROPPED: Final = "dropped"
"""State: decisions at or before this position that have closed were moved to the archive."""


class CloseStatus(IntEnum):
    """What a closed decision is good for. Numbers are stored: never change one."""

    LEARNED = 1
    NOT_ACTIVATED = 2
    NOT_LEARNABLE = 3
    REWARD_FAILED = 4
    FROZEN = 5
    """Closed while learning was frozen: never learned, but as good as any for reports."""
    THINNED = 6
    """Silent, and left out of learning by lot while the model lagged: others stand for it by their weight."""


COUNTED: Final = frozenset(
    {CloseStatus.LEARNED, CloseStatus.NOT_LEARNABLE, CloseStatus.FROZEN, CloseStatus.THINNED}
)
"""Closed decisions that have a reward: reports and evaluation count them all alike."""


@dataclass(frozen=True, slots=True)
class ClosedDecision:
    """A decision whose window has closed, and its reward (reward_learned).

    `weight`, at least 1, says for how many a learned one stands: more than 1 only where silence was thinned.
    """

    placement_id: str
    policy_epoch: bytes
    close_time_us: int
    position: int
    status: CloseStatus
    reward: float
    clipped: bool
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """An item of feedback that counts for the final reward of a decision.

    `time_us` is None where that is when it was received.
    """

    position: int
    fate: Fate
    time_us: int | None


class FoldTables(OpenTables):
    """The fold's memory over one SQLite connection; transactions belong to the caller."""

    @classmethod
    def create(cls, connection: sqlite3.Connection) -> FoldTables:
        """Make the tables where they don't exist yet."""
        for statement in f"{BUCKET_SCHEMA};{OPEN_SCHEMA};{PARKED_SCHEMA};{_SCHEMA}".split(";"):
            connection.execute(statement)
        return cls(connection)

    def state(self, name: str) -> int:
        """Return a named number; 0 at first."""
        row = self.connection.execute("SELECT value FROM fold_state WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def set_state(self, name: str, value: int) -> None:
        """Keep a named number."""
        self.connection.execute("INSERT OR REPLACE INTO fold_state VALUES (?, ?)", (name, value))

    def note_fate(
        self, position: int, fate: Fate, decision_position: int | None, time_us: int | None = None
    ) -> None:
        """Keep what became of an item of feedback; its effective time where it was received at another."""
        self.connection.execute(
            "INSERT INTO fate VALUES (?, ?, ?, NULL, ?)", (position, int(fate), decision_position, time_us)
        )

    def settle_fate(
        self,
        position: int,
        fate: Fate,
        decision_position: int | None,
        settled_position: int,
        time_us: int | None = None,
    ) -> None:
        """Keep what became of an item that was parked, and at which ledger position that was known."""
        self.connection.execute(
            "UPDATE fate SET fate = ?, decision_position = ?, settled_position = ?, time_us = ? "
            "WHERE position = ?",
            (int(fate), decision_position, settled_position, time_us, position),
        )

    def close(self, closed: ClosedDecision, *, is_silent: bool = False) -> None:
        """Move a decision from open to closed; its feedback goes, ids given by visitor after a grace.

        One that `is_silent` has no feedback at all.
        """
        self.close_all([closed], () if is_silent else (closed.position,))

    def close_all(self, closed: Sequence[ClosedDecision], heard: Collection[int]) -> None:
        """Move decisions from open to closed; `heard` are the positions of those that have feedback."""
        self.connection.executemany(
            "INSERT INTO closed VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    one.placement_id,
                    one.policy_epoch,
                    one.close_time_us,
                    one.position,
                    int(one.status),
                    one.reward,
                    one.clipped,
                    one.weight,
                )
                for one in closed
            ],
        )
        self.leave([one.position for one in closed], heard)

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

    def nth_lesson_us(
        self, placement_id: str, policy_epoch: bytes, after: tuple[int, int], number: int
    ) -> int | None:
        """Return when the lesson closed that a model will learn as its next (0) or a later one, if any."""
        row = self.connection.execute(
            "SELECT close_time_us FROM closed WHERE placement_id = ? AND policy_epoch = ? AND status = ? "
            "AND (close_time_us, position) > (?, ?) ORDER BY close_time_us, position LIMIT 1 OFFSET ?",
            (placement_id, policy_epoch, int(CloseStatus.LEARNED), *after, number),
        ).fetchone()
        return None if row is None else int(row[0])

    def history(
        self,
        placement_id: str,
        policy_epochs: Sequence[bytes],
        statuses: Sequence[CloseStatus],
        after: tuple[int, int],
        up_to: tuple[int, int],
        limit: int,
    ) -> list[ClosedDecision]:
        """Return closed decisions of several epochs, with one of `statuses`, in closing order."""
        found = [
            _closed_decision(row)
            for policy_epoch in policy_epochs
            for status in statuses
            for row in self.connection.execute(
                "SELECT * FROM closed WHERE placement_id = ? AND policy_epoch = ? AND status = ? "
                "AND (close_time_us, position) > (?, ?) AND (close_time_us, position) <= (?, ?) "
                "ORDER BY close_time_us, position LIMIT ?",
                (placement_id, policy_epoch, int(status), *after, *up_to, limit),
            )
        ]
        return sorted(found, key=lambda closed: (closed.close_time_us, closed.position))[:limit]

    def has_lesson(self, placement_id: str, cursor: tuple[int, int]) -> bool:
        """Return whether a close cursor names an example of this placement."""
        row = self.connection.execute(
            "SELECT 1 FROM closed WHERE close_time_us = ? AND position = ? AND placement_id = ? "
            "AND status = ?",
            (*cursor, placement_id, int(CloseStatus.LEARNED)),
        ).fetchone()
        return row is not None

    def closed_at(self, position: int) -> ClosedDecision | None:
        """Return a closed decision by its position."""
        row = self.connection.execute("SELECT * FROM closed WHERE position = ?", (position,)).fetchone()
        return None if row is None else _closed_decision(row)

    def note_moved(self, position: int) -> None:
        """Note that a closed decision has feedback that its final reward does not count yet."""
        self.connection.execute("INSERT OR IGNORE INTO moved VALUES (?)", (position,))

    def moved(self) -> list[int]:
        """Return the positions of decisions whose final reward is to be made again, ascending."""
        return [row[0] for row in self.connection.execute("SELECT position FROM moved ORDER BY position")]

    def has_moved(self) -> bool:
        """Return whether a final reward is to be made again."""
        return self.connection.execute("SELECT 1 FROM moved LIMIT 1").fetchone() is not None

    def forget_moved(self) -> None:
        """Note that all final rewards are what they should be."""
        self.connection.execute("DELETE FROM moved")

    def set_final(self, position: int, reward: float, changed_position: int) -> None:
        """Keep the final reward of a decision, which a record of the ledger changed."""
        self.connection.execute(
            "INSERT OR REPLACE INTO final VALUES (?, ?, ?)", (position, reward, changed_position)
        )

    def final_at(self, position: int) -> float | None:
        """Return the final reward of a decision; None where it is the one that was learned."""
        row = self.connection.execute("SELECT reward FROM final WHERE position = ?", (position,)).fetchone()
        return None if row is None else float(row[0])

    def evidence_of(self, decision_position: int) -> list[Evidence]:
        """Return the feedback that was applied to a decision, or came late, in ledger order."""
        rows = self.connection.execute(
            "SELECT position, fate, time_us FROM fate WHERE decision_position = ? AND fate IN (?, ?) "
            "ORDER BY position",
            (decision_position, int(Fate.APPLIED), int(Fate.LATE)),
        )
        return [Evidence(position, Fate(fate), time_us) for position, fate, time_us in rows]

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

    def decision_of(self, position: int) -> int | None:
        """Return the position of the decision that an item of feedback belongs to, if it does to any."""
        row = self.connection.execute(
            "SELECT decision_position FROM fate WHERE position = ?", (position,)
        ).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def fate_counts(self) -> dict[Fate, int]:
        """Return how many items met each fate."""
        rows = self.connection.execute("SELECT fate, COUNT(*) FROM fate GROUP BY fate")
        return {Fate(fate): count for fate, count in rows}

    def settled(self, table: Settled, bound: int) -> Iterator[tuple[object, ...]]:
        """Yield rows that will never change: fates known at a position, or decisions closed up to a time."""
        if table == "fate":
            yield from self.connection.execute(
                "SELECT * FROM fate WHERE position <= ? AND fate <> ? "
                "AND COALESCE(settled_position, position) <= ? ORDER BY position",
                (bound, int(Fate.PARKED), bound),
            )
        else:
            yield from self.connection.execute(
                "SELECT * FROM closed WHERE close_time_us <= ? ORDER BY position",
                (bound,),
            )

    def finals(self) -> dict[int, tuple[float, int]]:
        """Return final rewards that once differed, and which record of the ledger made each, by decision."""
        rows = self.connection.execute("SELECT position, reward, changed_position FROM final")
        return {position: (reward, changed) for position, reward, changed in rows}


Settled = Literal["fate", "closed"]
_FOREVER: Final = (2**62, 2**62)


def _closed_decision(row: tuple[str, bytes, int, int, int, float, int, float]) -> ClosedDecision:
    placement_id, epoch, close_time, position, status, reward, clipped, weight = row
    return ClosedDecision(
        placement_id, epoch, close_time, position, CloseStatus(status), reward, bool(clipped), weight
    )
