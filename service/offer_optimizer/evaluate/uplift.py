"""Uplift: what all treated visitors earned over those held out, as they were assigned.

Arms are told by the visitor's number alone, so who was shown what, whether a model was there and whether an
offer was eligible changes nothing. Where the share changed within the range, only visitors count whose arm
never did: below the least share or at or above the greatest. Visitors without an id are in neither arm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.clusters import Flags, Floats, Ints
from offer_optimizer.evaluate.estimators import Estimate, MeanReward, Partial, difference
from offer_optimizer.evaluate.intervals import Interval
from offer_optimizer.evaluate.support import LEAST_ARM_VISITORS


def mean_rewards(visitor: Ints, reward: Floats, keep: Flags) -> Partial:
    """Return the mean reward of the rows where `keep` is true; all of shape (n,)."""
    ones = np.ones(len(reward))
    return MeanReward().partial(Batch(reward, ones, ones, visitor), keep)


@dataclass(frozen=True, slots=True)
class Uplift:
    """Both arms, and their difference with an interval that holds at every look."""

    treated: Estimate
    holdout: Estimate
    difference: Estimate


@dataclass
class Arms:
    """Both arms while a log is read. The number decides: below `low` held out, at or above `high` treated."""

    low: float
    high: float
    treated: Partial = field(default_factory=Partial.empty)
    holdout: Partial = field(default_factory=Partial.empty)

    def add(self, visitor: Ints, reward: Floats, number: Floats) -> None:
        """Add rows, all of shape (n,); `number` is NaN in rows that belong to neither arm."""
        self.treated += mean_rewards(visitor, reward, number >= self.high)
        self.holdout += mean_rewards(visitor, reward, number < self.low)

    def uplift(self, refused: str = "") -> Uplift:
        """Return the uplift; refused for a reason of the caller's, if there is one."""
        treated = self.treated.estimate(Interval.ANYTIME, least_visitors=LEAST_ARM_VISITORS)
        holdout = self.holdout.estimate(Interval.ANYTIME, least_visitors=LEAST_ARM_VISITORS)
        if not refused:
            return Uplift(treated, holdout, difference(self.treated, self.holdout))
        nothing = Estimate(None, None, None, refused, interval=Interval.ANYTIME)
        return Uplift(treated, holdout, nothing)
