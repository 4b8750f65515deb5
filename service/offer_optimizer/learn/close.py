"""Closing a window: what a decision earned, as one number.

A deferred decision that was never shown is closed without a reward and never learned. Silence (no feedback
other than shown and not_shown) earns the default reward; everything else goes through the formula and is
clipped to the declared range.
"""

from __future__ import annotations

from collections.abc import Sequence

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.feedback import NOT_SHOWN, SHOWN
from offer_optimizer.core.formula import FeedbackSummary, clip
from offer_optimizer.learn.revisions import PlacementRules, Revisions
from offer_optimizer.store.fold_tables import ClosedDecision, CloseStatus, JoinedFeedback, OpenDecision
from offer_optimizer.store.ledger import Ledger


def close_one(
    decision: OpenDecision, feedback: Sequence[JoinedFeedback], ledger: Ledger, revisions: Revisions
) -> ClosedDecision:
    """Return the closed form of a decision with its reward."""
    status = CloseStatus.LEARNED if decision.learnable else CloseStatus.NOT_LEARNABLE
    reward, clipped = 0.0, False
    if not decision.active:
        status = CloseStatus.NOT_ACTIVATED
    else:
        rules = revisions.rules(decision.catalog_revision, decision.placement_id)
        try:
            reward, clipped = _reward(decision, feedback, rules, ledger, revisions)
        except InvalidInput:
            status = CloseStatus.REWARD_FAILED
    return ClosedDecision(
        decision.placement_id,
        decision.policy_epoch,
        decision.close_time_us,
        decision.position,
        status,
        reward,
        clipped,
    )


def _reward(
    decision: OpenDecision,
    feedback: Sequence[JoinedFeedback],
    rules: PlacementRules | None,
    ledger: Ledger,
    revisions: Revisions,
) -> tuple[float, bool]:
    if rules is None:
        raise InvalidInput("reward", "the catalog revision is unknown")
    if all(item.kind in (SHOWN, NOT_SHOWN) for item in feedback):
        return rules.reward.default, False
    # Addressed by decision, an item may be stamped before it: the clock went back a little in between.
    delays_s = [max(item.time_us - decision.decide_time_us, 0) / 1e6 for item in feedback]
    items = [(item.kind, item.value, delay_s) for item, delay_s in zip(feedback, delays_s, strict=True)]
    summary = FeedbackSummary.build(items, rules.kinds)
    value = rules.formula.evaluate(summary, _chosen_numbers(decision, ledger, revisions))
    return clip(value, rules.reward.min, rules.reward.max)


def _chosen_numbers(decision: OpenDecision, ledger: Ledger, revisions: Revisions) -> dict[str, float]:
    body = ledger.record_at(decision.position).body()
    if not isinstance(body, Decision) or not body.slots:
        return {}
    return dict(revisions.eligible_actions(body)[body.slots[0].chosen].attributes.numbers)
