"""Which decision an item of feedback belongs to, and its fate: one stated rule for every placement.

By decision: that decision, while its window is open. By visitor and placement: the newest decision of that
visitor there (ledger order) whose window contains the feedback's time and which is active; the same for
holdout and for "nothing". The first item with a feedback_id wins, within its decision, however addressed, and
within its visitor and placement until the window and a grace are over.
"""

from __future__ import annotations

from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.store.fold_tables import DROPPED, FoldTables, OpenDecision
from offer_optimizer.store.ledger import Ledger, LedgerRecord


def attribute(
    ledger: Ledger,
    tables: FoldTables,
    revisions: Revisions,
    record: LedgerRecord,
    feedback: Feedback,
    time_us: int,
) -> tuple[Fate, OpenDecision | None]:
    """Return the fate of an item and the open decision it names, if any; `time_us` is its effective time."""
    if feedback.decision_id:
        fate, target, earlier = _by_decision(ledger, tables, record, feedback, time_us)
    else:
        fate, target, earlier = _by_visitor(tables, record, feedback, time_us)
    if earlier is not None:
        first = ledger.record_at(earlier).body()
        same = isinstance(first, Feedback) and first.same_body(feedback)
        return (Fate.DUPLICATE if same else Fate.CONFLICTING), target
    if fate is Fate.APPLIED and target is not None and not _is_valid(revisions, target, feedback):
        return Fate.INVALID, target
    return fate, target


def _by_decision(
    ledger: Ledger, tables: FoldTables, record: LedgerRecord, feedback: Feedback, time_us: int
) -> tuple[Fate, OpenDecision | None, int | None]:
    target = tables.find_open(feedback.decision_id)
    if target is None:
        position = ledger.find_decision(feedback.decision_id)
        known = position is not None and tables.state(DROPPED) < position < record.position
        return (Fate.LATE if known else Fate.UNKNOWN), None, None
    earlier = tables.find_joined(target.position, feedback.feedback_id)
    return (Fate.APPLIED if time_us < target.close_time_us else Fate.LATE), target, earlier


def _by_visitor(
    tables: FoldTables, record: LedgerRecord, feedback: Feedback, time_us: int
) -> tuple[Fate, OpenDecision | None, int | None]:
    if record.visitor_key is None:
        return Fate.UNATTRIBUTED, None, None
    earlier = tables.find_joined_by_visitor(record.visitor_key, feedback.placement_id, feedback.feedback_id)
    if earlier is not None:
        return Fate.APPLIED, tables.open_at(earlier.decision_position), earlier.position
    spent = tables.find_spent(record.visitor_key, feedback.placement_id, feedback.feedback_id)
    target = (
        None
        if spent is not None
        else tables.newest_active(record.visitor_key, feedback.placement_id, time_us)
    )
    if target is None:
        return Fate.UNATTRIBUTED, None, spent
    return Fate.APPLIED, target, tables.find_joined(target.position, feedback.feedback_id)


def _is_valid(revisions: Revisions, target: OpenDecision, feedback: Feedback) -> bool:
    rules = revisions.rules(target.catalog_revision, target.placement_id)
    return rules is not None and feedback.kind in rules.kinds and feedback.slot < max(target.slot_count, 1)
