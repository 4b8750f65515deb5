"""What the fold keeps of windows that are open: decisions, their feedback, and the ids it came under.

These tables stay small and are indexed at will: a row goes when its window closes, or some time after that.
Always derivable from the ledger. Times are effective: never behind ledger time at arrival.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from offer_optimizer.store.open_buckets import OpenBuckets

OPEN_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS open_decision(
    position INTEGER PRIMARY KEY, decision_id BLOB NOT NULL, visitor_key INTEGER, placement_id TEXT NOT NULL,
    catalog_revision INTEGER NOT NULL, slot_count INTEGER NOT NULL, policy_epoch BLOB NOT NULL,
    learnable INTEGER NOT NULL, active INTEGER NOT NULL, decide_time_us INTEGER NOT NULL,
    close_time_us INTEGER NOT NULL, window_end_us INTEGER NOT NULL, grace_us INTEGER,
    bucket INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS open_decision_close ON open_decision(close_time_us, position);
CREATE INDEX IF NOT EXISTS open_decision_id ON open_decision(decision_id);
CREATE INDEX IF NOT EXISTS open_decision_bucket ON open_decision(placement_id, bucket, visitor_key, position)
    WHERE visitor_key IS NOT NULL;
CREATE TABLE IF NOT EXISTS open_feedback(
    position INTEGER PRIMARY KEY, decision_position INTEGER NOT NULL, feedback_id TEXT NOT NULL,
    visitor_key INTEGER, placement_id TEXT NOT NULL, kind TEXT NOT NULL, value REAL NOT NULL,
    time_us INTEGER NOT NULL, in_time INTEGER NOT NULL, retracts TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS open_feedback_decision ON open_feedback(decision_position, feedback_id);
CREATE INDEX IF NOT EXISTS open_feedback_visitor ON open_feedback(visitor_key, placement_id, feedback_id)
    WHERE visitor_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS open_feedback_retracts ON open_feedback(visitor_key, placement_id, retracts)
    WHERE visitor_key IS NOT NULL AND retracts <> '';
CREATE TABLE IF NOT EXISTS ended_decision(
    position INTEGER PRIMARY KEY, visitor_key INTEGER NOT NULL, placement_id TEXT NOT NULL,
    decide_time_us INTEGER NOT NULL, window_end_us INTEGER NOT NULL, grace_us INTEGER,
    until_us INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS ended_decision_visitor ON ended_decision(visitor_key, placement_id, position);
CREATE INDEX IF NOT EXISTS ended_decision_until ON ended_decision(until_us);
CREATE TABLE IF NOT EXISTS shifted_decision(position INTEGER PRIMARY KEY, decide_time_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS spent_feedback(
    visitor_key INTEGER NOT NULL, placement_id TEXT NOT NULL, feedback_id TEXT NOT NULL,
    position INTEGER NOT NULL, until_us INTEGER NOT NULL,
    PRIMARY KEY (visitor_key, placement_id, feedback_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spent_feedback_until ON spent_feedback(until_us)
"""
GRACE_US: Final = 3_600_000_000
"""How long after its window a feedback_id addressed by visitor is remembered: retries come by then."""


@dataclass(frozen=True, slots=True)
class OpenDecision:
    """A decision whose window is open.

    It closes at `close_time_us`: the end of its window, or that and a grace where `grace_us` is not None,
    which says that the time of occurrence decides; earlier once a terminal kind of feedback was applied.
    """

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
    window_end_us: int
    grace_us: int | None = None

    @property
    def last_close_us(self) -> int:
        """When it closes unless something ends it earlier."""
        return self.window_end_us + (self.grace_us or 0)


@dataclass(frozen=True, slots=True)
class JoinedFeedback:
    """An item of feedback that belongs to an open decision; `visitor_key` only if addressed by visitor.

    Those not `in_time` came before the close and too late for it.
    """

    position: int
    decision_position: int
    feedback_id: str
    visitor_key: int | None
    placement_id: str
    kind: str
    value: float
    time_us: int
    in_time: bool = True
    retracts: str = ""


class OpenTables:
    """Open windows over one SQLite connection; transactions belong to the caller."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._buckets = OpenBuckets(connection)

    def open(self, decision: OpenDecision) -> None:
        """Add a decision whose window opens; call `save_buckets` before the transaction commits."""
        self.connection.execute(
            "INSERT INTO open_decision VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                decision.window_end_us,
                decision.grace_us,
                self._buckets.take(decision.placement_id),
            ),
        )

    def save_buckets(self) -> None:
        """Write how full the buckets are."""
        self._buckets.save()

    def shift_time(self, position: int, decide_time_us: int) -> None:
        """Keep the effective time of a decision that is stamped behind ledger time: the clock went back."""
        self.connection.execute("INSERT INTO shifted_decision VALUES (?, ?)", (position, decide_time_us))

    def shifted_time(self, position: int) -> int | None:
        """Return the effective time of a decision, a closed one too; None where its record has it."""
        row = self.connection.execute(
            "SELECT decide_time_us FROM shifted_decision WHERE position = ?", (position,)
        ).fetchone()
        return None if row is None else int(row[0])

    def activate(self, position: int) -> None:
        """Note that a deferred decision was shown."""
        self.connection.execute("UPDATE open_decision SET active = 1 WHERE position = ?", (position,))

    def end_early(self, position: int, time_us: int) -> None:
        """Let a window close at a time, if it does not close before that."""
        self.connection.execute(
            "UPDATE open_decision SET close_time_us = ? WHERE position = ? AND close_time_us > ?",
            (time_us, position, time_us),
        )

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

    def newest_active(
        self, visitor_key: int, placement_id: str, arrival_us: int, occur_us: int
    ) -> OpenDecision | None:
        """Return the newest active decision of a visitor at a placement whose window contains an item's time.

        Which of the two times counts, is the decision's own. Drained together, a decision precedes feedback
        that was received before it was made: hence the window's start.
        """
        row = self.connection.execute(
            _DECISIONS_OF_VISITOR + "WHERE open_bucket.placement_id = :placement AND active" + _CONTAINS,
            {"visitor": visitor_key, "placement": placement_id, "arrival": arrival_us, "occur": occur_us},
        ).fetchone()
        return None if row is None else _open_decision(row)

    def newest_ended(
        self, visitor_key: int, placement_id: str, arrival_us: int, occur_us: int
    ) -> tuple[int, int] | None:
        """Return the newest of those that ended early, as `newest_active` does.

        Returned are its position and when it would have closed.
        """
        query = "SELECT position, until_us FROM ended_decision "
        row = self.connection.execute(
            query + "WHERE visitor_key = :visitor AND placement_id = :placement" + _CONTAINS,
            {"visitor": visitor_key, "placement": placement_id, "arrival": arrival_us, "occur": occur_us},
        ).fetchone()
        return None if row is None else (int(row[0]), int(row[1]))

    def keep_ended(self, decision: OpenDecision) -> None:
        """Remember a decision that ended early until its window would be over: feedback is still its own."""
        self.connection.execute(
            "INSERT INTO ended_decision VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                decision.position,
                decision.visitor_key,
                decision.placement_id,
                decision.decide_time_us,
                decision.window_end_us,
                decision.grace_us,
                decision.last_close_us,
            ),
        )

    def merge_visitor(self, from_key: int, into_key: int) -> None:
        """Give what is open of one visitor to another; what is closed keeps the key it has."""
        rows = self.connection.execute(_DECISIONS_OF_VISITOR, {"visitor": from_key}).fetchall()
        self.connection.executemany(
            "UPDATE open_decision SET visitor_key = ? WHERE position = ?",
            [(into_key, row[0]) for row in rows],
        )
        for statement in (
            "UPDATE open_feedback SET visitor_key = ? WHERE visitor_key = ?",
            "UPDATE ended_decision SET visitor_key = ? WHERE visitor_key = ?",
            # Where both gave one feedback_id, it is taken by either.
            "UPDATE OR IGNORE spent_feedback SET visitor_key = ? WHERE visitor_key = ?",
        ):
            self.connection.execute(statement, (into_key, from_key))

    def join(self, feedback: JoinedFeedback) -> None:
        """Attach an item of feedback to an open decision."""
        self.connection.execute(
            "INSERT INTO open_feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                feedback.position,
                feedback.decision_position,
                feedback.feedback_id,
                feedback.visitor_key,
                feedback.placement_id,
                feedback.kind,
                feedback.value,
                feedback.time_us,
                feedback.in_time,
                feedback.retracts,
            ),
        )

    def joined(self, decision_position: int) -> list[JoinedFeedback]:
        """Return the feedback of a decision in ledger order."""
        rows = self.connection.execute(
            "SELECT * FROM open_feedback WHERE decision_position = ? ORDER BY position", (decision_position,)
        )
        return [JoinedFeedback(*row) for row in rows]

    def joined_by(self, decision_positions: Iterable[int]) -> dict[int, list[JoinedFeedback]]:
        """Return the feedback of decisions in ledger order, by decision; silent ones are not among them."""
        # CROSS JOIN keeps the order of the tables: decisions drive, feedback is looked up.
        rows = self.connection.execute(
            "SELECT item.* FROM json_each(?) AS wanted "
            "CROSS JOIN open_feedback AS item ON decision_position = wanted.value ORDER BY item.position",
            (json.dumps(list(decision_positions)),),
        )
        found: dict[int, list[JoinedFeedback]] = {}
        for row in rows:
            found.setdefault(row[1], []).append(JoinedFeedback(*row))
        return found

    def joined_count(self, decision_position: int) -> int:
        """Return how much feedback a decision has."""
        (count,) = self.connection.execute(
            "SELECT COUNT(*) FROM open_feedback WHERE decision_position = ?", (decision_position,)
        ).fetchone()
        return int(count)

    def find_joined(self, decision_position: int, feedback_id: str) -> int | None:
        """Return the position of the item that holds a feedback_id within a decision."""
        row = self.connection.execute(
            "SELECT position FROM open_feedback WHERE decision_position = ? AND feedback_id = ?",
            (decision_position, feedback_id),
        ).fetchone()
        return None if row is None else int(row[0])

    def has_terminal(self, decision_position: int, kinds: Sequence[str]) -> bool:
        """Return whether a decision has feedback in time of one of some kinds that was not taken back."""
        row = self.connection.execute(
            "SELECT 1 FROM open_feedback AS item WHERE decision_position = :position AND in_time "
            "AND retracts = '' AND kind IN (SELECT value FROM json_each(:kinds)) AND feedback_id NOT IN "
            "(SELECT retracts FROM open_feedback WHERE decision_position = :position AND in_time)",
            {"position": decision_position, "kinds": json.dumps(kinds)},
        ).fetchone()
        return row is not None

    def find_joined_by_visitor(
        self, visitor_key: int, placement_id: str, feedback_id: str
    ) -> JoinedFeedback | None:
        """Return the item that holds a feedback_id within a visitor and placement."""
        row = self.connection.execute(
            "SELECT * FROM open_feedback WHERE visitor_key = ? AND placement_id = ? AND feedback_id = ?",
            (visitor_key, placement_id, feedback_id),
        ).fetchone()
        return None if row is None else JoinedFeedback(*row)

    def find_retraction_by_visitor(
        self, visitor_key: int, placement_id: str, feedback_id: str
    ) -> JoinedFeedback | None:
        """Return the first item that takes back one of a visitor's at a placement, which may not be here."""
        row = self.connection.execute(
            "SELECT * FROM open_feedback WHERE visitor_key = ? AND placement_id = ? AND retracts = ? "
            "AND retracts <> '' ORDER BY position LIMIT 1",
            (visitor_key, placement_id, feedback_id),
        ).fetchone()
        return None if row is None else JoinedFeedback(*row)

    def leave(self, decision_positions: Sequence[int], heard: Collection[int]) -> None:
        """Drop open decisions with the feedback they have; ids given by visitor stay spent for a grace.

        `heard` are the positions of those that have any.
        """
        many = self.connection.executemany
        if heard:
            many(
                "INSERT OR REPLACE INTO spent_feedback "
                "SELECT item.visitor_key, item.placement_id, feedback_id, item.position, "
                "window_end_us + COALESCE(grace_us, 0) + ? FROM open_feedback AS item "
                "JOIN open_decision ON open_decision.position = decision_position "
                "WHERE decision_position = ? AND item.visitor_key IS NOT NULL",
                [(GRACE_US, position) for position in heard],
            )
            many("DELETE FROM open_feedback WHERE decision_position = ?", [(at,) for at in heard])
        many("DELETE FROM open_decision WHERE position = ?", [(at,) for at in decision_positions])

    def spend(
        self, visitor_key: int, placement_id: str, feedback_id: str, position: int, window_end_us: int
    ) -> None:
        """Remember an id given by visitor for an item that came when its decision had ended."""
        self.connection.execute(
            "INSERT OR REPLACE INTO spent_feedback VALUES (?, ?, ?, ?, ?)",
            (visitor_key, placement_id, feedback_id, position, window_end_us + GRACE_US),
        )

    def find_spent(self, visitor_key: int, placement_id: str, feedback_id: str) -> int | None:
        """Return the position of the item that lately held a feedback_id within a visitor and placement."""
        row = self.connection.execute(
            "SELECT position FROM spent_feedback "
            "WHERE visitor_key = ? AND placement_id = ? AND feedback_id = ?",
            (visitor_key, placement_id, feedback_id),
        ).fetchone()
        return None if row is None else int(row[0])

    def forget(self, time_us: int) -> None:
        """Drop feedback_ids whose grace ended at or before a time, and decisions that would have closed."""
        self.connection.execute("DELETE FROM spent_feedback WHERE until_us <= ?", (time_us,))
        self.connection.execute("DELETE FROM ended_decision WHERE until_us <= ?", (time_us,))
        self._buckets.forget_empty()

    def due(self, time_us: int, limit: int) -> list[OpenDecision]:
        """Return open decisions whose window ends at or before a time, in closing order."""
        rows = self.connection.execute(
            "SELECT * FROM open_decision WHERE close_time_us <= ? ORDER BY close_time_us, position LIMIT ?",
            (time_us, limit),
        )
        return [_open_decision(row) for row in rows]


_DECISIONS_OF_VISITOR: Final = """
    SELECT open_decision.* FROM open_bucket CROSS JOIN open_decision
    ON open_decision.placement_id = open_bucket.placement_id
    AND open_decision.bucket = open_bucket.bucket AND open_decision.visitor_key = :visitor
"""
_CONTAINS: Final = """
    AND window_end_us + COALESCE(grace_us, 0) > :arrival
    AND decide_time_us <= iif(grace_us IS NULL, :arrival, :occur)
    AND window_end_us > iif(grace_us IS NULL, :arrival, :occur)
    ORDER BY position DESC LIMIT 1
"""


def _open_decision(
    row: tuple[int, bytes, int | None, str, int, int, bytes, int, int, int, int, int, int | None, int],
) -> OpenDecision:
    position, decision_id, visitor_key, placement_id, revision, slots, epoch, learnable, active = row[:9]
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
        *row[9:13],
    )
