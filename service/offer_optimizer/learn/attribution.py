"""Which decision an item of feedback belongs to, and its fate: one stated rule for every placement.

By decision: that decision. By visitor and placement: the newest decision of that visitor there (ledger
order) whose window contains the feedback's time and which is active; the same for holdout and for "nothing".
In time is what arrives before the close and whose time lies in the window; that time is when it was received,
or, where the placement trusts it, when it occurred, moved into [decide time, receive time]. The first item
with a feedback_id wins, within its decision, however addressed, and within its visitor and placement until an
hour after the window.

Only judges: what follows from a verdict is written by the fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.core.limits import FEEDBACK_PER_DECISION
from offer_optimizer.learn.late import ClosedDecisions
from offer_optimizer.learn.revisions import PlacementRules, Revisions
from offer_optimizer.store.fold_tables import DROPPED, FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.open_tables import OpenDecision

_REMEMBERED_COUNTS: Final = 50_000
"""Open decisions whose feedback is not counted again for each item."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An item as the ledger got it. `time_us` is when it was received, never behind ledger time there."""

    position: int
    visitor_key: int | None
    feedback: Feedback
    time_us: int

    @property
    def occur_us(self) -> int:
        """When it occurred as its sender says, at most when it was received; else when it was received."""
        occur_us = self.feedback.occur_time_us
        return self.time_us if occur_us is None else min(occur_us, self.time_us)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an item: its fate, the decision it belongs to if any, and its effective time.

    `target` is that decision while it is open. `ended_until_us` is set where an item addressed by visitor
    belongs to a decision that has closed: until then its id has to be remembered.
    """

    fate: Fate
    decision_position: int | None = None
    time_us: int | None = None
    target: OpenDecision | None = None
    ended_until_us: int | None = None


class Attribution:
    """Judges items of feedback by what the fold knows so far."""

    def __init__(self, ledger: Ledger, tables: FoldTables, revisions: Revisions) -> None:
        self._ledger = ledger
        self._tables = tables
        self._revisions = revisions
        self.closed = ClosedDecisions(ledger, tables, revisions)
        self._joined_counts: dict[int, int] = {}

    def judge(self, item: Arrival, position: int) -> Verdict:
        """Return the verdict on an item as of a ledger position; PARKED where its decision is not known."""
        return self._by_decision(item, position) if item.feedback.decision_id else self._by_visitor(item)

    def _by_decision(self, item: Arrival, position: int) -> Verdict:
        feedback = item.feedback
        target = self._tables.find_open(feedback.decision_id)
        if target is not None:
            return self._of_open(
                item, target, self._tables.find_joined(target.position, feedback.feedback_id)
            )
        known = self._ledger.find_decision(feedback.decision_id)
        if known is None or known > position or known <= self._tables.state(DROPPED):
            return Verdict(Fate.PARKED)
        return self._of_closed(item, known)

    def _by_visitor(self, item: Arrival) -> Verdict:
        feedback, key = item.feedback, item.visitor_key
        if key is None:
            return Verdict(Fate.UNATTRIBUTED)
        earlier = self._tables.find_joined_by_visitor(key, feedback.placement_id, feedback.feedback_id)
        if earlier is not None:
            return Verdict(self._repeated(feedback, earlier.position), earlier.decision_position)
        spent = self._tables.find_spent(key, feedback.placement_id, feedback.feedback_id)
        if spent is not None:
            return Verdict(self._repeated(feedback, spent), self._tables.decision_of(spent))
        found = (
            self._of_retracted(item, key) if feedback.retracts_feedback_id else self._of_retraction(item, key)
        )
        return self._of_newest(item, key) if found is None else found

    def _of_newest(self, item: Arrival, key: int) -> Verdict:
        where = (key, item.feedback.placement_id, item.time_us, item.occur_us)
        target = self._tables.newest_active(*where)
        ended = self._tables.newest_ended(*where) if self._revisions.ends_early else None
        if ended is not None and (target is None or target.position < ended[0]):
            return self._of_closed(item, ended[0], ended[1])
        if target is None:
            return Verdict(Fate.UNATTRIBUTED)
        earlier = self._tables.find_joined(target.position, item.feedback.feedback_id)
        return self._of_open(item, target, earlier)

    def _of_retracted(self, item: Arrival, key: int) -> Verdict | None:
        """Judge an item that takes back one of the same visitor's: it belongs where that does."""
        feedback = item.feedback
        taken_back = feedback.retracts_feedback_id
        joined = self._tables.find_joined_by_visitor(key, feedback.placement_id, taken_back)
        target = None if joined is None else self._tables.open_at(joined.decision_position)
        if target is not None:
            return self._of_open(
                item, target, self._tables.find_joined(target.position, feedback.feedback_id)
            )
        spent = self._tables.find_spent(key, feedback.placement_id, taken_back)
        position = None if spent is None else self._tables.decision_of(spent)
        return None if position is None else self._of_closed(item, position, item.time_us)

    def _of_retraction(self, item: Arrival, key: int) -> Verdict | None:
        """Judge an item that was taken back before it came: it belongs where its retraction waits for it."""
        feedback = item.feedback
        retraction = self._tables.find_retraction_by_visitor(key, feedback.placement_id, feedback.feedback_id)
        target = None if retraction is None else self._tables.open_at(retraction.decision_position)
        if target is None:
            return None
        return self._of_open(item, target, self._tables.find_joined(target.position, feedback.feedback_id))

    def _of_open(self, item: Arrival, target: OpenDecision, earlier: int | None) -> Verdict:
        if earlier is not None:
            return Verdict(self._repeated(item.feedback, earlier), target.position)
        rules = self._revisions.rules(target.catalog_revision, target.placement_id)
        if rules is None or not _is_valid(item.feedback, rules, target.slot_count):
            return Verdict(Fate.INVALID, target.position)
        if not self._has_room(target.position):
            return Verdict(Fate.INVALID, target.position)
        time_us = item.time_us
        if target.grace_us is not None:
            time_us = min(max(item.occur_us, target.decide_time_us), time_us)
        in_time = item.time_us < target.close_time_us and time_us < target.window_end_us
        return Verdict(Fate.APPLIED if in_time else Fate.LATE, target.position, time_us, target)

    def _of_closed(self, item: Arrival, position: int, ended_until_us: int | None = None) -> Verdict:
        """Judge an item of a decision whose window has closed, or that never had one."""
        closed = self.closed.at(position)
        if closed is None:
            return Verdict(Fate.LATE, position)
        earlier = closed.ids.get(item.feedback.feedback_id)
        if earlier is not None:
            return Verdict(self._repeated(item.feedback, earlier), position)
        is_full = len(closed.ids) >= FEEDBACK_PER_DECISION
        if is_full or not _is_valid(item.feedback, closed.rules, closed.slot_count):
            return Verdict(Fate.INVALID, position)
        time_us = item.time_us
        if closed.rules.grace_us is not None:
            time_us = min(max(item.occur_us, closed.decide_time_us), time_us)
        return Verdict(Fate.LATE, position, time_us, ended_until_us=ended_until_us)

    def _has_room(self, position: int) -> bool:
        """Return whether an open decision may have one more item; whoever asks adds it."""
        count = self._joined_counts.get(position)
        if count is None:
            if len(self._joined_counts) >= _REMEMBERED_COUNTS:
                self._joined_counts.clear()
            count = self._tables.joined_count(position)
        self._joined_counts[position] = count + 1
        return count < FEEDBACK_PER_DECISION

    def _repeated(self, feedback: Feedback, earlier: int) -> Fate:
        first = self._ledger.record_at(earlier).body()
        same = isinstance(first, Feedback) and first.same_body(feedback)
        return Fate.DUPLICATE if same else Fate.CONFLICTING


def _is_valid(feedback: Feedback, rules: PlacementRules, slot_count: int) -> bool:
    return feedback.kind in rules.kinds and feedback.slot < max(slot_count, 1)
