"""When a log says too little about a target policy: stated thresholds, and the reason in words.

A refusal is an answer: below these thresholds an interval exists on paper and doesn't hold in fact
(tests/statistical shows it). The thresholds are the same for every estimator that uses propensities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from offer_optimizer.evaluate.batch import Batch, dot
from offer_optimizer.evaluate.clusters import Flags

LEAST_VISITORS: Final = 400
"""Fewer, and an interval clustered by visitor covers less than it says."""
LEAST_ARM_VISITORS: Final = 100
"""The same for the smaller arm of a difference whose arms have LEAST_VISITORS together."""
LEAST_CARRIERS: Final = 10.0
"""Visitors on whom the variance rests, sum(e^2)^2 / sum(e^4) of their residuals e; for a rare reward, about
how often it was seen. Without this bound an anytime-valid interval on arms of equal worth, looked at 40 times
while 2 % of the visitors convert and a tenth is held out, was wrong in 17 % of runs instead of 5 %."""
LEAST_ESS: Final = 100.0
"""Effective sample size, in decisions."""
LARGEST_WEIGHT_SHARE: Final = 0.05
"""The share of all weight that one decision may carry."""
UNSUPPORTED_SHARE: Final = 0.001
"""Mean probability that the target may put on what the log could not choose."""
MEAN_WEIGHT_ERRORS: Final = 5.0
"""Standard errors by which the mean weight may differ from what it has to be, 1; and at least
MEAN_WEIGHT_TOLERANCE: then the propensities are not those with which was chosen, or support is missing."""
MEAN_WEIGHT_TOLERANCE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Support:
    """What a log knows about a target policy. Merges by addition.

    Sums over rows of the importance weight, its square, its absolute value, and of the unsupported
    probability; a row that stands for several (`Batch.row_weight`) weighs as many. `row_count` are rows as
    they are, `represented` is what they stand for.
    """

    row_count: int = 0
    represented: float = 0.0
    weight: float = 0.0
    squares: float = 0.0
    magnitude: float = 0.0
    max_weight: float = 0.0
    unsupported: float = 0.0

    @classmethod
    def of(cls, batch: Batch, keep: Flags | None = None) -> Support:
        """Return the support in a batch, in the rows where `keep` is true."""
        weight, unsupported, row_weight = batch.weight, batch.unsupported, batch.row_weight
        if keep is not None:
            weight = weight[keep]
            unsupported = None if unsupported is None else unsupported[keep]
            row_weight = None if row_weight is None else row_weight[keep]
        if row_weight is not None:
            weight = weight * row_weight
            unsupported = None if unsupported is None else unsupported * row_weight
        return cls(
            row_count=len(weight),
            represented=float(len(weight) if row_weight is None else row_weight.sum()),
            weight=float(weight.sum()),
            squares=dot(weight, weight),
            magnitude=float(np.abs(weight).sum()),
            max_weight=float(np.abs(weight).max(initial=0.0)),
            unsupported=0.0 if unsupported is None else float(unsupported.sum()),
        )

    def __add__(self, other: Support) -> Support:
        return Support(
            self.row_count + other.row_count,
            self.represented + other.represented,
            self.weight + other.weight,
            self.squares + other.squares,
            self.magnitude + other.magnitude,
            max(self.max_weight, other.max_weight),
            self.unsupported + other.unsupported,
        )

    @property
    def ess(self) -> float:
        """Effective sample size in rows, Kish's (sum of weights)^2 / sum of squares; 0 without weight.

        Source: Kish 1965, "Survey Sampling".
        """
        return self.magnitude**2 / self.squares if self.squares > 0.0 else 0.0

    @property
    def mean_weight(self) -> float:
        """Mean importance weight; 1 in expectation wherever the log supports the target."""
        return self.weight / self.represented if self.represented else 0.0

    @property
    def unsupported_share(self) -> float:
        """Mean probability that the target puts on what the log could not choose, in [0, 1]."""
        return self.unsupported / self.represented if self.represented else 0.0

    def refusal(self, mean_weight_error: float) -> str:
        """Return why there is no estimate, or nothing, given the mean weight's standard error."""
        if self.unsupported_share > UNSUPPORTED_SHARE:
            return (
                f"the log could not have chosen {self.unsupported_share:.2%} of what the policy would, "
                f"at most {UNSUPPORTED_SHARE:.1%} may be missing"
            )
        if self.ess < LEAST_ESS:
            return f"an effective sample size of {self.ess:.1f} decisions, at least {LEAST_ESS:g} are needed"
        if self.max_weight > LARGEST_WEIGHT_SHARE * self.magnitude:
            share = self.max_weight / self.magnitude
            return (
                f"one decision carries {share:.1%} of all weight, at most {LARGEST_WEIGHT_SHARE:.0%} may be"
            )
        off = abs(self.mean_weight - 1.0)
        if off > max(MEAN_WEIGHT_ERRORS * mean_weight_error, MEAN_WEIGHT_TOLERANCE):
            return (
                f"the mean weight is {self.mean_weight:.3f} where it has to be 1: the log's propensities are "
                "not those with which was chosen, or some of what the policy would choose had no chance"
            )
        return ""


def variance_refusal(visitor_count: int, carriers: float, least_visitors: int = LEAST_VISITORS) -> str:
    """Return why no interval can be trusted, or nothing; the variance rests on `carriers` visitors."""
    if not visitor_count:
        return "no decision that could be evaluated"
    if visitor_count < least_visitors:
        return f"{visitor_count} visitors, at least {least_visitors} are needed"
    if carriers == 0.0:
        return "the reward never varied: an interval without width would be invented"
    if carriers < LEAST_CARRIERS:
        return f"the variance rests on about {carriers:.0f} visitors, at least {LEAST_CARRIERS:g} are needed"
    return ""
