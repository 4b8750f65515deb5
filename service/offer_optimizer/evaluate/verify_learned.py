"""Was anything learned that must not be? What the fold closed, against the decisions themselves.

What always holds: a ledger that no learner has folded yet has nothing closed, and that is no defect.
"""

from __future__ import annotations

from collections.abc import Iterator

from offer_optimizer.core.decision import Consent, Decision, Reason
from offer_optimizer.core.feedback import NOT_SHOWN, SHOWN, Fate, Feedback
from offer_optimizer.evaluate.verify_findings import Check, Problem
from offer_optimizer.store.fold_tables import ClosedDecision, CloseStatus, FoldTables
from offer_optimizer.store.ledger import Ledger


class Closes:
    """Closed decisions and their feedback, beside the learner that writes them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        row = ledger.connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'closed'").fetchone()
        self._tables = None if row is None else FoldTables(ledger.connection)

    def closed_at(self, position: int) -> ClosedDecision | None:
        """Return a closed decision by its position; None while its window is open."""
        return None if self._tables is None else self._tables.closed_at(position)

    def was_shown(self, position: int) -> bool:
        """Return whether feedback `shown` was applied to a decision."""
        return any(item.kind == SHOWN for item in self._applied(position))

    def was_answered(self, position: int) -> bool:
        """Return whether a decision has feedback that is neither of showing nor taken back."""
        applied = self._applied(position)
        taken_back = {item.retracts_feedback_id for item in applied}
        return any(
            not item.retracts_feedback_id
            and item.feedback_id not in taken_back
            and item.kind not in (SHOWN, NOT_SHOWN)
            for item in applied
        )

    def _applied(self, position: int) -> list[Feedback]:
        if self._tables is None:
            return []
        found = []
        for feedback_position, fate in self._tables.feedback_of(position):
            body = self._ledger.record_at(feedback_position).body()
            if fate is Fate.APPLIED and isinstance(body, Feedback):
                found.append(body)
        return found


def check_learned(decision: Decision, closed: ClosedDecision, closes: Closes) -> Iterator[Problem]:
    """Yield why a decision that was learned must not have been, or not with that weight."""
    is_thinned = closed.status is CloseStatus.THINNED or closed.weight != 1.0
    if is_thinned and closes.was_answered(closed.position):
        yield Problem(Check.LEARNED, "it was answered, and thinned as if it were silent")
    if closed.status is not CloseStatus.LEARNED:
        return
    epoch = decision.model_version.epoch if decision.model_version else b""
    if decision.holdout or decision.reason is Reason.HOLDOUT:
        yield Problem(Check.LEARNED, "a visitor of the holdout was learned from")
    elif decision.reason is not Reason.MODEL or not decision.slots:
        yield Problem(Check.LEARNED, f"{decision.reason.name} was learned")
    elif decision.consent is not Consent.FULL:
        yield Problem(Check.LEARNED, f"consent {decision.consent.name} was learned")
    elif decision.deferred and not closes.was_shown(closed.position):
        yield Problem(Check.LEARNED, "a deferred decision was learned that was never shown")
    elif closed.policy_epoch != epoch or closed.placement_id != decision.placement_id:
        yield Problem(Check.LEARNED, "another placement's or epoch's model learned it")
