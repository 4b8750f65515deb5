"""Part of an estimate: sums by visitor that add up in any order, and the estimate that they come to.

Every estimator's value is a sum of ratios of two sums over visitors, so one linearisation serves all of them
and all their intervals. Visitors are what is independent: rows of one are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.claims import Aim, Bound, Bounds, Traits
from offer_optimizer.evaluate.clusters import ClusterSums, Flags, Floats
from offer_optimizer.evaluate.estimate import Estimate
from offer_optimizer.evaluate.intervals import CONFIDENCE, Ends, Interval, half_width
from offer_optimizer.evaluate.intervals_bootstrap import bootstrap_ends
from offer_optimizer.evaluate.intervals_guaranteed import guaranteed_ends
from offer_optimizer.evaluate.row_moments import RowMoments
from offer_optimizer.evaluate.support import LEAST_VISITORS, Support, variance_refusal

Ratio = tuple[Floats, Floats]
"""Numerator and denominator of a ratio of sums, both of shape (n,)."""

_ROWS: Final = 0
_WEIGHT: Final = 1
_FIRST_RATIO: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """Part of an estimate. Parts of one estimator add up; see `estimate`.

    `clusters` has the columns rows, importance weight, and numerator and denominator of every ratio.
    """

    clusters: ClusterSums
    support: Support
    traits: Traits = field(default_factory=Traits)
    moments: RowMoments = field(default_factory=RowMoments)

    @classmethod
    def of(
        cls,
        batch: Batch,
        numerator: Floats,
        denominator: Floats,
        keep: Flags | None = None,
        *,
        needs_support: bool = True,
    ) -> Partial:
        """Sum the two columns of a ratio, both of shape (n,), by visitor, where `keep` is true."""
        return cls.of_ratios(batch, ((numerator, denominator),), keep, Traits(needs_support))

    @classmethod
    def of_ratios(
        cls,
        batch: Batch,
        ratios: tuple[Ratio, ...],
        keep: Flags | None,
        traits: Traits,
        used_weight: Floats | None = None,
    ) -> Partial:
        """Sum ratios by visitor, where `keep` is true; every row counts as often as `batch.row_weight` says.

        `used_weight`, shape (n,), are the importance weights of the formula, where it cuts them.
        """
        columns = [np.ones(len(batch)), batch.weight, *(column for ratio in ratios for column in ratio)]
        if batch.row_weight is not None:
            columns = [column * batch.row_weight for column in columns]
        first = (columns[_FIRST_RATIO], columns[_FIRST_RATIO + 1])
        is_bounded = traits.bound is not Bound.NOTHING
        moments = RowMoments.of(batch, first, used_weight, keep, is_bounded=is_bounded)
        clusters = ClusterSums.of(batch.grouping, tuple(columns), keep)
        return cls(clusters, Support.of(batch, keep), traits, moments)

    @classmethod
    def empty(cls) -> Partial:
        """Return a part without rows, which adds to parts of any estimator."""
        return cls(ClusterSums.empty(4), Support())

    def __add__(self, other: Partial) -> Partial:
        if not self.support.row_count:
            return other
        if not other.support.row_count:
            return self
        if self.traits != other.traits:
            raise InvalidInput("partial", "parts of different estimators don't add up")
        return Partial(
            self.clusters + other.clusters,
            self.support + other.support,
            self.traits,
            self.moments + other.moments,
        )

    @property
    def value(self) -> float:
        """The point estimate, refused or not; NaN where a denominator is 0."""
        return value_of(self.clusters.totals()[_FIRST_RATIO:], self.traits.signs)

    @property
    def standard_error(self) -> float:
        """Standard error of the value, clustered by visitor; infinite where one cluster or none is there.

        Ratios of sums over clusters, linearised, with the small-sample factor g / (g - 1).
        Source: Cochran 1977, "Sampling Techniques", chapter 6; for weighted rows, Liang and Zeger 1986.
        """
        if not self._is_by_rows:
            return _error(self.influence)
        total = float(self.clusters.totals()[_FIRST_RATIO + 1])
        squares, count = self.moments.residual_squares(self.value), self.visitor_count
        return math.sqrt(count / (count - 1) * squares) / abs(total) if total else math.inf

    @property
    def _is_by_rows(self) -> bool:
        """Whether rows alone tell the variance: nobody is known again, so each is a visitor of its own."""
        return self.clusters.keys is None and self.moments.is_anonymous and len(self.traits.signs) == 1

    @property
    def visitor_count(self) -> int:
        """How many visitors; an estimate where more were seen than are kept apart and known again."""
        return self.support.row_count if self.moments.is_anonymous else self.clusters.visitor_count

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the standard error: visitors or buckets of them, less one."""
        return float(self.visitor_count if self._is_by_rows else self.clusters.cluster_count) - 1.0

    @property
    def influence(self) -> Floats:
        """What every cluster moves the value by, to first order, shape (clusters,). Sums to 0."""
        influence = np.zeros(self.clusters.cluster_count)
        for index, sign in enumerate(self.traits.signs):
            column = _FIRST_RATIO + 2 * index
            influence += sign * self._influence_of(column, column + 1)
        return influence

    def _influence_of(self, numerator: int, denominator: int) -> Floats:
        totals, sums = self.clusters.totals(), self.clusters.sums
        if totals[denominator] == 0.0:
            return np.full(len(sums), math.inf)
        ratio = totals[numerator] / totals[denominator]
        terms: Floats = (sums[:, numerator] - ratio * sums[:, denominator]) / totals[denominator]
        return terms

    @property
    def carriers(self) -> float:
        """Visitors on whom the variance rests, sum(e^2)^2 / sum(e^4) of their influence e; 0 without any."""
        squares = np.square(self.influence)
        total = float(squares.sum())
        if not math.isfinite(total):
            return 0.0
        # Equal rewards leave residuals of rounding: measured against what was summed they are nothing.
        totals, scale = self.clusters.totals(), 0.0
        for column in range(_FIRST_RATIO, len(totals), 2):
            scale += float(np.square(self.clusters.sums[:, column] / totals[column + 1]).sum())
        return total**2 / float(squares @ squares) if total > 1e-18 * scale else 0.0

    def support_refusal(self) -> str:
        """Return why the log says too little about the policy, or nothing."""
        if not self.traits.needs_support or not self.support.row_count:
            return ""
        return self.support.refusal(_error(self._influence_of(_WEIGHT, _ROWS)))

    def refusal(self, least_visitors: int = LEAST_VISITORS, interval: Interval = Interval.NORMAL) -> str:
        """Return why there is no figure with that interval, or nothing."""
        # What is guaranteed needs no central limit theorem, and a reward that never varied is bounded too;
        # an estimate without an interval has no variance to trust.
        is_normal = not interval.is_guaranteed and self.traits.aim is not Aim.NOTHING
        carriers = self.carriers if is_normal else math.inf
        return self.support_refusal() or variance_refusal(self.visitor_count, carriers, least_visitors)

    def ends(
        self,
        interval: Interval,
        confidence: float = CONFIDENCE,
        bounds: Bounds | None = None,
        seed: int = 0,
    ) -> Ends:
        """Return the interval, refused or not, or why it does not hold for this estimate."""
        if self.traits.aim is Aim.NOTHING:
            return Ends.none(self.traits.aim.value)
        if interval is Interval.BOOTSTRAP:
            return bootstrap_ends(self.clusters.sums[:, _FIRST_RATIO:], self.traits.signs, confidence, seed)
        if interval.is_guaranteed:
            return guaranteed_ends(interval, self.clusters, self.moments, self.traits, bounds, confidence)
        width = half_width(interval, self.standard_error, self.visitor_count, self.freedom, confidence)
        return Ends(self.value - width, self.value + width)

    def bias_bound(self, bounds: Bounds | None) -> float | None:
        """Return by how much cut weights put the value off at most, about; None where none can be cut.

        The mean weight left out, which is the share of the target's choices left out, times the largest
        reward, or with a reward model the range of rewards. Without `bounds` that of the rewards seen.
        """
        if self.traits.aim is not Aim.CUT:
            return None
        seen = self.moments.rewards
        low, high = (bounds.reward_low, bounds.reward_high) if bounds else (seen.low, seen.high)
        span = high - low if self.traits.has_model else max(abs(low), abs(high))
        return span * self.moments.cut / self.support.represented if self.support.represented else 0.0

    def estimate(
        self,
        interval: Interval = Interval.NORMAL,
        confidence: float = CONFIDENCE,
        least_visitors: int = LEAST_VISITORS,
        *,
        bounds: Bounds | None = None,
        force: bool = False,
        seed: int = 0,
    ) -> Estimate:
        """Return the value with its interval, or why there is none.

        With `force` there is a value in spite of a refusal, and it is marked; where no row could be evaluated
        there is none to force. `seed` is of the bootstrap; `bounds` are for guaranteed intervals.
        """
        return self.judged(self.refusal(least_visitors, interval), interval, confidence, bounds, force, seed)

    def judged(
        self,
        refused: str,
        interval: Interval,
        confidence: float,
        bounds: Bounds | None = None,
        force: bool = False,  # noqa: FBT001, FBT002 - named by its callers
        seed: int = 0,
    ) -> Estimate:
        """Return the estimate, refused for the reason given or for one of the interval's own."""
        blank = Estimate(
            value=None,
            low=None,
            high=None,
            refused_reason=refused,
            ess=self.support.ess,
            max_weight=self.support.max_weight,
            mean_weight=self.support.mean_weight,
            unsupported_share=self.support.unsupported_share,
            row_count=self.support.row_count,
            visitor_count=self.visitor_count,
            interval=interval,
            confidence=confidence,
        )
        if (refused and not force) or not math.isfinite(self.value):
            return blank if refused else replace(blank, refused_reason="no weight in any decision")
        ends = self.ends(interval, confidence, bounds, seed)
        if ends.refused_reason and not force:
            return replace(blank, refused_reason=ends.refused_reason)
        refused = refused or ends.refused_reason
        return replace(
            blank,
            value=self.value,
            low=ends.low,
            high=ends.high,
            refused_reason=refused,
            forced=bool(refused),
            standard_error=None if self.traits.aim is Aim.NOTHING else self.standard_error,
            assumes=ends.assumes,
            bias_bound=self.bias_bound(bounds),
        )


def value_of(totals: Floats, signs: tuple[float, ...]) -> float:
    """Return the signed sum of ratios of totals, shape (2 * len(signs),); NaN where a denominator is 0."""
    if not totals[1::2].all():
        return math.nan
    return float(np.dot(signs, totals[0::2] / totals[1::2]))


def _error(influence: Floats) -> float:
    count = len(influence)
    if count < 2:
        return math.inf
    squares = float(influence @ influence)
    return math.sqrt(count / (count - 1) * squares)
