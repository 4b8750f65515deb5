"""Closing a window: what a decision earned, as one number.

A deferred decision that was never shown is closed without a reward and never learned. What was taken back
does not count, and neither does taking it back, whichever came first. Silence (nothing else than shown and
not_shown) earns the default reward; everything else goes through the formula and is clipped to the declared
range. While a model lags, silence is thinned: kept with a known probability, weighted by its inverse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.feedback import NOT_SHOWN, SHOWN
from offer_optimizer.core.formula import FeedbackSummary, clip
from offer_optimizer.learn.revisions import PlacementRules, Revisions
from offer_optimizer.learn.thinning import is_kept
from offer_optimizer.store.fold_tables import ClosedDecision, CloseStatus
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.open_tables import JoinedFeedback, OpenDecision


@dataclass(frozen=True, slots=True)
class Earned:
    """A reward, whether it had to be clipped, and whether it is that of silence."""

    reward: float
    clipped: bool = False
    silent: bool = False


def close_one(
    decision: OpenDecision,
    feedback: Sequence[JoinedFeedback],
    ledger: Ledger,
    revisions: Revisions,
    kept_share: float = 1.0,
) -> ClosedDecision:
    """Return the closed form of a decision with its reward; `kept_share` of silence is learned, in (0, 1]."""
    status = CloseStatus.LEARNED if decision.learnable else CloseStatus.NOT_LEARNABLE
    earned, weight = Earned(0.0), 1.0
    evidence = [item for item in feedback if item.in_time]
    if not _was_active(decision, evidence, ledger):
        status = CloseStatus.NOT_ACTIVATED
    else:
        rules = revisions.rules(decision.catalog_revision, decision.placement_id)
        try:
            if rules is None:
                raise InvalidInput("reward", "the catalog revision is unknown")
            earned = reward_of(
                evidence,
                rules,
                decision.decide_time_us,
                lambda: chosen_numbers(_body(decision, ledger), revisions),
            )
        except InvalidInput:
            status = CloseStatus.REWARD_FAILED
    if status is CloseStatus.LEARNED and earned.silent and kept_share < 1.0:
        if is_kept(decision.decision_id, kept_share):
            weight = 1.0 / kept_share
        else:
            status = CloseStatus.THINNED
    return ClosedDecision(
        decision.placement_id,
        decision.policy_epoch,
        decision.close_time_us,
        decision.position,
        status,
        earned.reward,
        earned.clipped,
        weight,
    )


def reward_of(
    evidence: Sequence[JoinedFeedback],
    rules: PlacementRules,
    decide_time_us: int,
    numbers: Callable[[], Mapping[str, float]],
) -> Earned:
    """Return what feedback in ledger order earns; `numbers` are the chosen offer's. Raises InvalidInput."""
    left = _left_standing(evidence)
    if all(item.kind in (SHOWN, NOT_SHOWN) for item in left):
        return Earned(rules.reward.default, silent=True)
    # Earliest first; what is of one time stays in ledger order.
    ordered = sorted(left, key=attrgetter("time_us"))
    # Addressed by decision, an item may be stamped before it: the clock went back a little in between.
    items = [(item.kind, item.value, max(item.time_us - decide_time_us, 0) / 1e6) for item in ordered]
    offer = numbers() if rules.formula.reads_offer else {}
    value = rules.formula.evaluate(FeedbackSummary(items, rules.kinds), offer)
    reward, clipped = clip(value, rules.reward.min, rules.reward.max)
    return Earned(reward, clipped)


def chosen_numbers(decision: Decision, revisions: Revisions) -> dict[str, float]:
    """Return the numeric attributes of the offer that was chosen; none where there is no choice."""
    if not decision.slots:
        return {}
    return dict(revisions.eligible_actions(decision)[decision.slots[0].chosen].attributes.numbers)


def _left_standing(evidence: Sequence[JoinedFeedback]) -> Sequence[JoinedFeedback]:
    taken_back = {item.retracts for item in evidence if item.retracts}
    if not taken_back:
        return evidence
    return [item for item in evidence if not item.retracts and item.feedback_id not in taken_back]


def _was_active(decision: OpenDecision, evidence: Sequence[JoinedFeedback], ledger: Ledger) -> bool:
    """Return whether a decision was shown, or never had to be; a `shown` that was taken back is none."""
    if not decision.active or not any(item.retracts for item in evidence):
        return decision.active
    return not _body(decision, ledger).deferred or any(
        item.kind == SHOWN for item in _left_standing(evidence)
    )


def _body(decision: OpenDecision, ledger: Ledger) -> Decision:
    body = ledger.record_at(decision.position).body()
    if not isinstance(body, Decision):
        raise TypeError(f"record {decision.position} is not a decision")
    return body
