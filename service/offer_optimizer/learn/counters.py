"""Counters as a part of the fold: the same ledger gives the same counters. The cache is filled from them.

What always holds: they are counted by the text that deciders count by (`store.hot_counting`), and committed
with the records that they are of. Knows no clock: what has expired is dropped by ledger time.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from offer_optimizer.core.counting import Limits
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.store.codec import Merge
from offer_optimizer.store.counter_tables import CounterTables, visitor_name
from offer_optimizer.store.hot_counting import (
    count_decision,
    count_feedback,
    is_counted,
    is_repeatable,
    recent_of,
)
from offer_optimizer.store.hot_state import HotState

SWEPT_AT_ONCE: Final = 200
_REMEMBERED_OPERATIONS: Final = 2000


class RevisionLimits:
    """The limits of catalog revisions, made once each."""

    def __init__(self, revisions: Revisions) -> None:
        self._revisions = revisions
        self._limits: dict[int, Limits] = {}
        self._seen = 0
        self._any = False

    def of(self, revision: int) -> Limits | None:
        """Return the limits of a revision; None where it is unknown."""
        found = self._limits.get(revision)
        if found is None and self._revisions.has(revision):
            found = self._limits[revision] = Limits(self._revisions.catalog(revision))
        return found

    def any(self) -> bool:
        """Return whether a revision so far limits anything."""
        while not self._any and self._seen < self._revisions.newest:
            self._seen += 1
            limits = self.of(self._seen)
            self._any = limits is not None and bool(limits.caps or limits.budgets)
        return self._any


class FoldCounters:
    """Counts what is folded, in the tables of the fold's own database."""

    def __init__(self, connection: sqlite3.Connection, revisions: Revisions) -> None:
        self._tables = CounterTables.create(connection)
        self._revisions = revisions
        self._limits = RevisionLimits(revisions)
        self._state = self._tables.state()
        self._operations = 0

    def decided(self, decision: Decision, visitor_key: int | None) -> None:
        """Count a decision whose catalog revision is known."""
        catalog = self._revisions.catalog(decision.catalog_revision)
        limits = self._limits.of(decision.catalog_revision)
        if limits is not None and is_counted(decision, catalog):
            recent = recent_of(decision, catalog, visitor_name(visitor_key), b"")
            digests = (decision.request_digest, decision.body_digest)
            may_repeat = is_repeatable(decision, catalog)
            count_decision(self._turn(), limits, recent, digests, may_repeat=may_repeat)

    def heard(self, feedback: Feedback, visitor_key: int | None) -> None:
        """Count an item of feedback."""
        if self._limits.any():
            count_feedback(self._turn(), self._limits.of, feedback, visitor_name(visitor_key))

    def merged(self, merge: Merge) -> None:
        """Give what one visitor has to another."""
        self._turn().merge(visitor_name(merge.from_key), visitor_name(merge.into_key))

    def sweep(self, time_us: int) -> None:
        """Drop what has expired by ledger time: nothing that is stamped earlier can still appear."""
        while self._state.sweep(time_us, SWEPT_AT_ONCE) >= SWEPT_AT_ONCE:
            pass

    def save(self) -> None:
        """Write what was changed; call it before the transaction commits."""
        self._state.flush()
        self._tables.save()
        self._state, self._operations = self._tables.state(), 0

    def _turn(self) -> HotState:
        """Return the state; now and then a new one, because it remembers every visitor it has met."""
        self._operations += 1
        if self._operations > _REMEMBERED_OPERATIONS:
            self.save()
        return self._state
