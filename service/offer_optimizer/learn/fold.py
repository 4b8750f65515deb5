"""The one function that folds the ledger: records in, in order; open and closed decisions out.

Live learning, recovery and rebuild all call `Fold.apply`. It reads no clock: ledger time comes from TICK
records alone. Every time is made effective first (never behind ledger time at its arrival), so a window
always ends after the ledger time at which its decision arrived, and (close time, position) only grows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.control import Learning, Promotion, Quarantine, Retention, Rollback, Thinning
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import SHOWN, Fate, Feedback
from offer_optimizer.learn.attribution import Arrival, Attribution, Verdict
from offer_optimizer.learn.close import close_one
from offer_optimizer.learn.counters import FoldCounters
from offer_optimizer.learn.late import joined
from offer_optimizer.learn.lineage import SteeringRecords
from offer_optimizer.learn.parking import Parking
from offer_optimizer.learn.revisions import PlacementRules, Revisions
from offer_optimizer.learn.rollups import Rollups
from offer_optimizer.store.codec import Epoch, Merge, Salt, StoredCatalog, Tick
from offer_optimizer.store.fold_tables import DROPPED, ClosedDecision, CloseStatus, FoldTables
from offer_optimizer.store.ledger import Ledger, LedgerRecord
from offer_optimizer.store.open_tables import JoinedFeedback, OpenDecision
from offer_optimizer.store.parked_table import ParkedTable

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
    final_failed: int = 0


class Fold:
    """Folds ledger records into open and closed decisions.

    `ledger` is only read, for decisions at or before the record being applied; `tables` is written.
    """

    def __init__(self, ledger: Ledger, tables: FoldTables) -> None:
        self._ledger = ledger
        self._tables = tables
        self.revisions = Revisions()
        self.steering = SteeringRecords()
        self.kept_share: dict[str, float] = {}
        """The share of silence that is learned, by placement; 1 where none is named."""
        self._attribution = Attribution(ledger, tables, self.revisions)
        self._parking = Parking(ledger, ParkedTable(tables.connection))
        self._counters = FoldCounters(tables.connection, self.revisions)
        self._rollups = Rollups(ledger, tables, self.revisions)
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
                for item in self._parking.expire(self.time_us):
                    self._settle(item, Verdict(Fate.UNKNOWN), record.position)
                self.counts.final_failed += self._attribution.closed.remake_finals(record.position)
                self._tables.forget(self.time_us)
                self._counters.sweep(self.time_us)
                self._rollups.ticked(self.time_us)
            case Merge() as merge:
                self._tables.merge_visitor(merge.from_key, merge.into_key)
                self._counters.merged(merge)
            case _:
                self._note_rare(record)
        self.position = record.position

    def save_state(self) -> None:
        """Write position, ledger time and counters into the tables; call it before a commit."""
        self._counters.save()
        self._rollups.save()
        self._tables.save_buckets()
        self._tables.set_state("position", self.position)
        self._tables.set_state("time_us", self.time_us)

    def closed_at(self, position: int) -> ClosedDecision | None:
        """Return a closed decision by its position; None while its window is open."""
        return self._tables.closed_at(position)

    def has_due(self, time_us: int) -> bool:
        """Return whether a TICK at a time has work: windows, what waited in vain, rewards to make final."""
        return bool(
            self._tables.due(time_us, 1) or self._parking.has_due(time_us) or self._tables.has_moved()
        )

    def _note_rare(self, record: LedgerRecord) -> None:
        match record.body():
            case StoredCatalog() as stored:
                self.revisions.add(stored.revision, Catalog.model_validate_json(stored.canonical))
            case Epoch() as epoch:
                self.revisions.add_epoch(epoch)
            case Retention(position=position) if record.position > self.position:
                # Whatever was decided and closed up to there is unknown from here on, dropped yet or not.
                self._tables.set_state(DROPPED, position)
            case Thinning() as thinning:
                self.kept_share[thinning.placement_id] = thinning.probability
            case Salt():
                pass  # kept for readers who repeat draws; the fold draws nothing
            case Learning() | Rollback() | Quarantine() | Promotion() as steering:
                self.steering.add(record.position, steering)

    def _open(self, record: LedgerRecord, decision: Decision) -> None:
        rules = self.revisions.rules(decision.catalog_revision, decision.placement_id)
        if rules is None:
            self.counts.orphans += 1
        else:
            self._open_window(record, decision, rules)
            if not decision.imported:
                self._counters.decided(decision, record.visitor_key)
            self.counts.decisions += 1
        for item in self._parking.take(decision.decision_id):
            self._settle(item, self._attribution.judge(item, record.position), record.position)

    def _open_window(self, record: LedgerRecord, decision: Decision, rules: PlacementRules) -> None:
        decide_time_us = max(decision.decide_time_us, self.time_us)
        if decide_time_us != decision.decide_time_us:
            self._tables.shift_time(record.position, decide_time_us)
        self._rollups.decided(record.position, decision, decide_time_us)
        window_end_us = decide_time_us + rules.window_us
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
                close_time_us=window_end_us + (rules.grace_us or 0),
                window_end_us=window_end_us,
                grace_us=rules.grace_us,
            )
        )

    def _join(self, record: LedgerRecord, feedback: Feedback) -> None:
        self._counters.heard(feedback, record.visitor_key)
        time_us = max(feedback.receive_time_us, self.time_us)
        item = Arrival(record.position, record.visitor_key, feedback, time_us)
        verdict = self._attribution.judge(item, record.position)
        if verdict.fate is Fate.PARKED and not self._parking.park(item):
            verdict = Verdict(Fate.UNKNOWN)
        shifted_us = None if verdict.time_us == feedback.receive_time_us else verdict.time_us
        self._tables.note_fate(item.position, verdict.fate, verdict.decision_position, shifted_us)
        self.counts.fates[verdict.fate] += 1
        self._roll_up(item, verdict)
        self._take(item, verdict)

    def _settle(self, item: Arrival, verdict: Verdict, position: int) -> None:
        """Note what became of an item that was parked, as of a ledger position."""
        self._tables.settle_fate(
            item.position, verdict.fate, verdict.decision_position, position, verdict.time_us
        )
        self.counts.fates[Fate.PARKED] -= 1
        self.counts.fates[verdict.fate] += 1
        self._roll_up(item, verdict)
        self._take(item, verdict)

    def _roll_up(self, item: Arrival, verdict: Verdict) -> None:
        time_us = item.time_us if verdict.time_us is None else verdict.time_us
        self._rollups.fated(item.feedback, verdict.fate, verdict.target, verdict.decision_position, time_us)

    def _take(self, item: Arrival, verdict: Verdict) -> None:
        """Let an item count for its decision, as its verdict says."""
        feedback, target = item.feedback, verdict.target
        if target is not None:
            in_time = verdict.fate is Fate.APPLIED
            self._tables.join(
                joined(
                    item.position,
                    target.position,
                    feedback,
                    item.time_us if verdict.time_us is None else verdict.time_us,
                    visitor_key=None if feedback.decision_id else item.visitor_key,
                    placement_id=target.placement_id,
                    in_time=in_time,
                )
            )
            if in_time and not feedback.retracts_feedback_id:
                self._follow(item, target)
        elif verdict.fate is Fate.LATE and verdict.decision_position is not None:
            self._attribution.closed.note_late(verdict.decision_position, feedback.feedback_id, item.position)
            if verdict.ended_until_us is not None and item.visitor_key is not None:
                self._tables.spend(
                    item.visitor_key,
                    feedback.placement_id,
                    feedback.feedback_id,
                    item.position,
                    verdict.ended_until_us,
                )

    def _follow(self, item: Arrival, target: OpenDecision) -> None:
        """Do what an applied item does to its window: show what was deferred, end what it is terminal for.

        What is deferred waits until it is shown, even where it was converted on before.
        """
        kind = item.feedback.kind
        is_activated = kind == SHOWN and not target.active
        if is_activated:
            self._tables.activate(target.position)
        rules = self.revisions.rules(target.catalog_revision, target.placement_id)
        if rules is None or not rules.close_on:
            return
        may_end = is_activated or (target.active and kind in rules.close_on)
        if may_end and self._tables.has_terminal(target.position, rules.close_on):
            # Items of one call are stamped alike, so what is of this very time still counts.
            self._tables.end_early(target.position, max(item.time_us, self.time_us) + 1)

    def _close_due(self) -> None:
        while due := self._tables.due(self.time_us, CLOSE_BATCH):
            heard = self._tables.joined_by(decision.position for decision in due)
            closed = [self._closed(decision, heard.get(decision.position, ())) for decision in due]
            self._tables.close_all(closed, heard)

    def _closed(self, decision: OpenDecision, feedback: Sequence[JoinedFeedback]) -> ClosedDecision:
        """Return the closed form of a decision, and note what has to be known of it beside that."""
        kept_share = self.kept_share.get(decision.placement_id, 1.0)
        closed = close_one(decision, feedback, self._ledger, self.revisions, kept_share)
        if closed.status is CloseStatus.LEARNED and self.steering.is_frozen(closed.placement_id):
            closed = replace(closed, status=CloseStatus.FROZEN)
        if decision.close_time_us < decision.last_close_us and decision.visitor_key is not None:
            # Feedback by visitor goes on to belong to it, not to an older one.
            self._tables.keep_ended(decision)
        self._rollups.closed(decision, closed)
        if any(not item.in_time for item in feedback):
            self._tables.note_moved(decision.position)
        self.counts.closed[closed.status] += 1
        self.counts.clipped += closed.clipped
        return closed
