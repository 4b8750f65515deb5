"""A logged decision with what came of it: the row that exports write and replays read. Knows no storage."""

from __future__ import annotations

from dataclasses import dataclass

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Fate, Feedback

OPEN = "OPEN"
LEARNED = "LEARNED"
NOT_LEARNABLE = "NOT_LEARNABLE"


@dataclass(frozen=True, slots=True)
class FatedFeedback:
    """An item of feedback that named a decision, and what became of it."""

    item: Feedback
    fate: Fate


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a decision.

    `status` is OPEN or the name under which its window closed; `close_time_us` is when it did, or None.
    `reward_learned` is what stood when it closed, `reward_final` what stands now, late and retracted feedback
    included; both are None where there is none. `weight` is that of the example: 1, more where silence was
    thinned out with a logged probability, 0 where it was left out so. `feedback` is in ledger order.
    """

    status: str = OPEN
    close_time_us: int | None = None
    reward_learned: float | None = None
    reward_final: float | None = None
    is_clipped: bool = False
    weight: float = 1.0
    feedback: tuple[FatedFeedback, ...] = ()


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One row of our own log: a decision, its place in the ledger, its visitor's key there, its outcome."""

    position: int
    visitor_key: int | None
    decision: Decision
    outcome: Outcome
