"""Closed decisions as examples: what a policy is taught, and what a quarantine keeps from it.

Reads the ledger and the fold's tables, and what it makes of a closed decision in a lineage never changes.
History that another epoch begins with is scored anew, by that epoch's reward.
"""

from __future__ import annotations

from offer_optimizer.core.control import Quarantine
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.learn.lineage import Lineage, Start
from offer_optimizer.learn.rescore import Rescorer
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.store.fold_tables import ClosedDecision, FoldTables
from offer_optimizer.store.ledger import Ledger


class ExampleMaker:
    """Makes examples of closed decisions."""

    def __init__(self, ledger: Ledger, tables: FoldTables, revisions: Revisions) -> None:
        self._ledger = ledger
        self._tables = tables
        self._revisions = revisions
        self.rescorer = Rescorer(ledger, tables, revisions)

    def make(self, closed: ClosedDecision, lineage: Lineage) -> Example | None:
        """Return the example; None where the lineage leaves it out, or its history's reward can't be made.

        None too where its visitor was erased: without its context it would teach what is not so.
        """
        return self.example_of(closed, self.decision(closed), lineage)

    def example_of(self, closed: ClosedDecision, decision: Decision, lineage: Lineage) -> Example | None:
        """Return what `make` does, of a decision that was read already."""
        if decision.erased or self.is_left_out(closed, decision, lineage):
            return None
        slot = decision.slots[0]
        try:
            reward = self._scaled_reward(closed, decision, lineage)
        except InvalidInput:
            return None
        return Example(
            context=decision.context,
            actions=self.actions(decision, lineage.start if _is_history(closed, lineage) else None),
            chosen=slot.chosen,
            propensity=slot.propensity,
            reward=reward,
            weight=closed.weight,
        )

    def actions(self, decision: Decision, start: Start | None) -> tuple[Action, ...]:
        """Return the eligible of a decision, as a model that begins with `start` (None: its own) sees them.

        What was expected of offers was a number of the reward then: it tells nothing of another one.
        """
        return self._revisions.eligible_actions(
            decision, expecting=start is None or self._is_own(decision, start)
        )

    def decision(self, closed: ClosedDecision) -> Decision:
        """Return the decision that was closed."""
        decision = self._ledger.record_at(closed.position).body()
        if not isinstance(decision, Decision):
            raise TypeError(f"record {closed.position} is not a decision")
        return decision

    def is_left_out(self, closed: ClosedDecision, decision: Decision, lineage: Lineage) -> bool:
        """Return whether a quarantine of the lineage keeps it from being learned."""
        # Where late feedback counts, so does who sent it.
        start = lineage.start if _is_history(closed, lineage) else None
        late_up_to = start.position if start and start.promotion.uses_final else 0
        return any(
            self._is_left_out(quarantine, closed, decision, late_up_to) for quarantine in lineage.quarantines
        )

    def _scaled_reward(self, closed: ClosedDecision, decision: Decision, lineage: Lineage) -> float:
        if lineage.start is not None and _is_history(closed, lineage):
            reward = self.rescorer.reward(lineage.start)
            value = self._value(closed, decision, lineage.start)
        else:
            rules = self._revisions.rules(decision.catalog_revision, decision.placement_id)
            if rules is None:
                raise KeyError(decision.catalog_revision)
            reward, value = rules.reward, closed.reward
        return (value - reward.min) / (reward.max - reward.min)

    def _value(self, closed: ClosedDecision, decision: Decision, start: Start) -> float:
        """Return what history earns by the reward of a start. By its own, that is what was learned."""
        if self._is_own(decision, start) and not start.promotion.uses_final:
            return closed.reward
        return self.rescorer.earned(closed, decision, start).reward

    def _is_own(self, decision: Decision, start: Start) -> bool:
        """Return whether a start has the very reward that the decision was made under."""
        own = self._revisions.rules(decision.catalog_revision, decision.placement_id)
        return own is not None and own.reward == self.rescorer.reward(start)

    def _is_left_out(
        self, quarantine: Quarantine, closed: ClosedDecision, decision: Decision, late_up_to: int
    ) -> bool:
        if quarantine.source:
            return self._was_heard_of(quarantine, closed.position, late_up_to)
        if not quarantine.start_us <= decision.decide_time_us < quarantine.end_us:
            return False
        if not quarantine.offer_id:
            return True
        actions = self._revisions.eligible_actions(decision)
        return actions[decision.slots[0].chosen].id == quarantine.offer_id

    def _was_heard_of(self, quarantine: Quarantine, position: int, late_up_to: int) -> bool:
        """Return whether a source gave feedback that counted, received in the interval."""
        for item in self._tables.evidence_of(position):
            # What came too late changed nothing that was learned, and may come any day.
            if item.fate is not Fate.APPLIED and item.position > late_up_to:
                continue
            body = self._ledger.record_at(item.position).body()
            if (
                isinstance(body, Feedback)
                and body.source == quarantine.source
                and quarantine.start_us <= body.receive_time_us < quarantine.end_us
            ):
                return True
        return False


def _is_history(closed: ClosedDecision, lineage: Lineage) -> bool:
    return (closed.close_time_us, closed.position) <= lineage.history_end
