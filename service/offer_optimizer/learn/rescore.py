"""What closed decisions would have earned under another reward, from the feedback that was kept.

Scored by its own formula, a decision earns what it was learned with: both call close.reward_of. Where late
and retracted feedback counts, it is what the ledger held at the promotion: the answer never changes.
"""

from __future__ import annotations

import json
from dataclasses import replace

from offer_optimizer.core.catalog import Reward
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.core.formula import OFFER, RewardFormula
from offer_optimizer.learn.close import Earned, chosen_numbers, reward_of
from offer_optimizer.learn.late import joined
from offer_optimizer.learn.lineage import Start
from offer_optimizer.learn.revisions import PlacementRules, Revisions
from offer_optimizer.store.fold_tables import ClosedDecision, FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.open_tables import JoinedFeedback


class Rescorer:
    """Scores closed decisions by the reward that an epoch's description holds."""

    def __init__(self, ledger: Ledger, tables: FoldTables, revisions: Revisions) -> None:
        self._ledger = ledger
        self._tables = tables
        self._revisions = revisions
        self._scoring: dict[str, tuple[Reward, RewardFormula]] = {}
        self._rules: dict[tuple[str, int], PlacementRules] = {}

    def reward(self, start: Start) -> Reward:
        """Return the reward of the epoch that begins."""
        return self._scored_by(start.promotion.description)[0]

    def earned(self, closed: ClosedDecision, decision: Decision, start: Start) -> Earned:
        """Return what a closed decision earns by the reward of a start. Raises InvalidInput for no number."""
        shifted_us = self._tables.shifted_time(closed.position)
        return reward_of(
            self._evidence(closed.position, start),
            self._rules_of(decision, start.promotion.description),
            decision.decide_time_us if shifted_us is None else shifted_us,
            lambda: chosen_numbers(decision, self._revisions),
        )

    def _scored_by(self, description: str) -> tuple[Reward, RewardFormula]:
        found = self._scoring.get(description)
        if found is None:
            reward = Reward.model_validate(json.loads(description)["reward"])
            found = self._scoring[description] = reward, RewardFormula(reward.formula)
        return found

    def _rules_of(self, decision: Decision, description: str) -> PlacementRules:
        """Return a decision's own rules with another reward; of kinds it did not know nothing was taken."""
        key = (description, decision.catalog_revision)
        found = self._rules.get(key)
        if found is None:
            own = self._revisions.rules(decision.catalog_revision, decision.placement_id)
            if own is None:
                raise InvalidInput("reward", "the catalog revision is unknown")
            reward, formula = self._scored_by(description)
            named = {reference.name for reference in formula.references() if reference.map != OFFER}
            kinds = (*own.kinds, *sorted(named - set(own.kinds)))
            found = self._rules[key] = replace(own, reward=reward, formula=formula, kinds=kinds)
        return found

    def _evidence(self, position: int, start: Start) -> list[JoinedFeedback]:
        """Return the feedback that counts, in ledger order."""
        found = []
        for item in self._tables.evidence_of(position):
            counts = (
                item.position <= start.position if start.promotion.uses_final else item.fate is Fate.APPLIED
            )
            body = self._ledger.record_at(item.position).body() if counts else None
            if isinstance(body, Feedback):
                time_us = body.receive_time_us if item.time_us is None else item.time_us
                found.append(joined(item.position, position, body, time_us))
        return found
