"""Closed decisions as examples: what a policy is taught, and what a quarantine keeps from it.

Reads the ledger and the fold's tables, and what it makes of a closed decision never changes: only feedback
that was applied while its window was open is looked at.
"""

from __future__ import annotations

from offer_optimizer.core.control import Quarantine
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.learn.lineage import Lineage
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.policy.contract import Example
from offer_optimizer.store.fold_tables import ClosedDecision, FoldTables
from offer_optimizer.store.ledger import Ledger


class ExampleMaker:
    """Makes examples of closed decisions."""

    def __init__(self, ledger: Ledger, tables: FoldTables, revisions: Revisions) -> None:
        self._ledger = ledger
        self._tables = tables
        self._revisions = revisions

    def make(self, closed: ClosedDecision, lineage: Lineage) -> Example | None:
        """Return the example, None where the lineage leaves it out."""
        decision = self._ledger.record_at(closed.position).body()
        if not isinstance(decision, Decision):
            raise TypeError(f"record {closed.position} is not a decision")
        if any(self._is_left_out(quarantine, closed, decision) for quarantine in lineage.quarantines):
            return None
        rules = self._revisions.rules(decision.catalog_revision, decision.placement_id)
        if rules is None:
            raise KeyError(decision.catalog_revision)
        slot = decision.slots[0]
        span = rules.reward.max - rules.reward.min
        return Example(
            context=decision.context,
            actions=self._revisions.eligible_actions(decision),
            chosen=slot.chosen,
            propensity=slot.propensity,
            reward=(closed.reward - rules.reward.min) / span,
            weight=closed.weight,
        )

    def _is_left_out(self, quarantine: Quarantine, closed: ClosedDecision, decision: Decision) -> bool:
        if quarantine.source:
            return self._was_heard_of(quarantine, closed.position)
        if not quarantine.start_us <= decision.decide_time_us < quarantine.end_us:
            return False
        if not quarantine.offer_id:
            return True
        actions = self._revisions.eligible_actions(decision)
        return actions[decision.slots[0].chosen].id == quarantine.offer_id

    def _was_heard_of(self, quarantine: Quarantine, position: int) -> bool:
        """Return whether a source gave feedback that counted, received in the interval."""
        for feedback_position, fate in self._tables.feedback_of(position):
            # What came too late changed nothing that was learned, and may come any day.
            if fate is not Fate.APPLIED:
                continue
            item = self._ledger.record_at(feedback_position).body()
            if (
                isinstance(item, Feedback)
                and item.source == quarantine.source
                and quarantine.start_us <= item.receive_time_us < quarantine.end_us
            ):
                return True
        return False
