"""What an estimator's intervals may claim: which value they are of, and what bounds a row's term.

Facts about formulas alone; knows no rows. Every estimator states its traits, every interval reads them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from offer_optimizer.core.errors import InvalidInput


class Aim(Enum):
    """What an interval of the estimator is around."""

    POLICY = "the policy's value, but for a bias that vanishes as 1 / visitors"
    CUT = "the value with cut weights, which is off by at most the bias bound"
    NOTHING = "a reward model's word: no sampling theory covers its error"


class Bound(Enum):
    """What a row adds to the estimating equation sum(numerator - value * denominator) = 0, rewards in [a, b].

    With weights in [0, B]: REWARD in [a, b] - value; WEIGHTED in [min(0, aB), max(0, bB)] - value;
    SELF_NORMALISED in B ([a, b] - value); NOTHING where a fitted model is part of it.
    """

    REWARD = "reward"
    WEIGHTED = "weighted"
    SELF_NORMALISED = "self-normalised"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Traits:
    """What is true of every partial result of an estimator.

    The value is the sum of ratios, each with its sign. `clip` is the largest weight that a row can have in
    the formula. `has_model`: rewards enter as what a model missed, so a cut weight costs at most the whole
    range.
    """

    needs_support: bool = True
    aim: Aim = Aim.POLICY
    bound: Bound = Bound.NOTHING
    clip: float = math.inf
    has_model: bool = False
    signs: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the caller knows beforehand, for intervals that are guaranteed.

    Every reward lies in [reward_low, reward_high]. No visitor brings more than `decisions_per_visitor`
    decisions, those left out by thinning included; None where it is not known.
    """

    reward_low: float
    reward_high: float
    decisions_per_visitor: float | None = None

    def __post_init__(self) -> None:
        if not (
            math.isfinite(self.reward_low)
            and math.isfinite(self.reward_high)
            and self.reward_low < self.reward_high
        ):
            raise InvalidInput("reward_low, reward_high", "must be finite, and the first below the second")
        if self.decisions_per_visitor is not None and not self.decisions_per_visitor >= 1.0:
            raise InvalidInput("decisions_per_visitor", "must be at least 1")
