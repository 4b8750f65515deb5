"""The one function that folds the ledger: records in, in order; open and closed decisions out.

Live learning, recovery and rebuild all call `Fold.apply`. It reads no clock: ledger time comes from TICK
records alone. Every time is made effective first (never behind ledger time at its arrival), so a window
always ends after the ledger time at which its decision arrived, and (close time, position) only grows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.control import Retention
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import SHOWN, Fate, Feedback
from offer_optimizer.learn.attribution import attribute
from offer_optimizer.learn.close import close_one
from offer_optimizer.learn.counters import FoldCounters
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.store.codec import Epoch, Merge, Salt, StoredCatalog, Tick
from offer_optimizer.store.fold_tables import (
    DROPPED,
    ClosedDecision,
    CloseStatus,
    FoldTables,
    JoinedFeedback,
    OpenDecision,
)
from offer_optimizer.store.ledger import Ledger, LedgerRecord

CLOSE_BATCH: Final = 2000
"""Windows closed between two reads of what is due."""


@dataclass
class FoldCounts:
    """What a fold has done in this life, for status and logs."""

    decisions: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    closed: Counter[CloseStatus] = field(default_factory=Counter)
    clipped: int = 0
    orphans: int = 0


class Fold:
    """Folds ledger records into open and closed decisions.

    `ledger` is only read, for decisions at or before the record being applied; `tables` is written.
    """

    def __init__(self, ledger: Ledger, tables: FoldTables) -> None:
        self._ledger = ledger
        self._tables = tables
        self.revisions = Revisions()
        self._counters = FoldCounters(tables.connection, self.revisions)
        self.position = tables.state("position")
        self.time_us = tables.state("time_us")
        self.counts = FoldCounts()
        for record in ledger.rare_records(up_to=self.position):
            self._note_rare(record)

    def apply(self, record: LedgerRecord) -> None:
        """Fold the next record. Raises ValueError when it is not the next one."""
        if record.position != self.position + 1:
            raise ValueError(f"record {record.position} does not follow {self.position}")
        match record.body():
            case Decision() as decision:
                self._open(record, decision)
            case Feedback() as feedback:
                self._join(record, feedback)
            case Tick(time_us=time_us):
                self.time_us = max(self.time_us, time_us)
                self._close_due()
                self._counters.sweep(self.time_us)
            case Merge() as merge:
                self._tables.merge_visitor(merge.from_key, merge.into_key)
                self._counters.merged(merge)
            case _:
                self._note_rare(record)
        self.position = record.position

    def save_state(self) -> None:
        """Write position, ledger time and counters into the tables; call it before a commit."""
        self._counters.save()
        self._tables.set_state("position", self.position)
        self._tables.set_state("time_us", self.time_us)

    def closed_at(self, position: int) -> ClosedDecision | None:
        """Return a closed decision by its position; None while its window is open."""
        return self._tables.closed_at(position)

    def has_due(self, time_us: int) -> bool:
        """Return whether a window ends at or before a time."""
        return bool(self._tables.due(time_us, 1))

    def _note_rare(self, record: LedgerRecord) -> None:
        match record.body():
            case StoredCatalog() as stored:
                self.revisions.add(stored.revision, Catalog.model_validate_json(stored.canonical))
            case Epoch() as epoch:
                self.revisions.add_epoch(epoch)
            case Retention(position=position) if record.position > self.position:
                # Whatever was decided and closed up to there is unknown from here on, dropped yet or not.
                self._tables.set_state(DROPPED, position)
            case Salt():
                pass  # kept for readers who repeat draws; the fold draws nothing

    def _open(self, record: LedgerRecord, decision: Decision) -> None:
        rules = self.revisions.rules(decision.catalog_revision, decision.placement_id)
        if rules is None:
            self.counts.orphans += 1
            return
        decide_time_us = max(decision.decide_time_us, self.time_us)
        self._tables.open(
            OpenDecision(
                position=record.position,
                decision_id=decision.decision_id,
                visitor_key=record.visitor_key,
                placement_id=decision.placement_id,
                catalog_revision=decision.catalog_revision,
                slot_count=len(decision.slots),
                policy_epoch=decision.model_version.epoch if decision.model_version else b"",
                learnable=decision.is_learnable(),
                active=not decision.deferred,
                decide_time_us=decide_time_us,
                close_time_us=decide_time_us + rules.window_us,
            )
        )
        if not decision.imported:
            self._counters.decided(decision, record.visitor_key)
        self.counts.decisions += 1

    def _join(self, record: LedgerRecord, feedback: Feedback) -> None:
        self._counters.heard(feedback, record.visitor_key)
        time_us = max(feedback.receive_time_us, self.time_us)
        fate, target = attribute(self._ledger, self._tables, self.revisions, record, feedback, time_us)
        position = target.position if target else self._decision_of(feedback, record.position)
        self._tables.note_fate(record.position, fate, position)
        self.counts.fates[fate] += 1
        if fate is not Fate.APPLIED or target is None:
            return
        self._tables.join(
            JoinedFeedback(
                position=record.position,
                decision_position=target.position,
                feedback_id=feedback.feedback_id,
                visitor_key=None if feedback.decision_id else record.visitor_key,
                placement_id=target.placement_id,
                kind=feedback.kind,
                value=feedback.value,
                time_us=time_us,
            )
        )
        if feedback.kind == SHOWN and not target.active:
            self._tables.activate(target.position)

    def _decision_of(self, feedback: Feedback, before: int) -> int | None:
        position = self._ledger.find_decision(feedback.decision_id) if feedback.decision_id else None
        dropped = self._tables.state(DROPPED)
        return position if position is not None and dropped < position < before else None

    def _close_due(self) -> None:
        while due := self._tables.due(self.time_us, CLOSE_BATCH):
            for decision in due:
                closed = close_one(
                    decision, self._tables.joined(decision.position), self._ledger, self.revisions
                )
                self._tables.close(closed)
                self.counts.closed[closed.status] += 1
                self.counts.clipped += closed.clipped
        self._tables.forget_spent(self.time_us)
