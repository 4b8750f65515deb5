"""Estimators of a target policy's value from another policy's log: IPS, SNIPS, DR, and the plain mean.

Each turns a batch into a partial result; partial results add up in any order, so a log of any size needs the
memory of one batch. Every one is a ratio of two sums over visitors, so one variance serves all of them. The
value is the mean reward of a decision, and visitors are what is independent: rows of one visitor are not.

All assume that the logged propensities are right, that the target's actions had a chance in the log, and that
one decision's choice does not change other decisions: caps, budgets and the coming back of visitors are
as they were logged (one step). Holdout rows and pure baseline rows belong in none of them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.clusters import ClusterSums, Flags, Floats
from offer_optimizer.evaluate.intervals import CONFIDENCE, Interval, half_width, welch_freedom
from offer_optimizer.evaluate.support import LEAST_ARM_VISITORS, LEAST_VISITORS, Support, variance_refusal

_NUMERATOR, _DENOMINATOR, _ROWS, _WEIGHT = range(4)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval, or a refusal: then `value`, `low` and `high` are None.

    `ess` and `max_weight` speak of importance weights, `row_count` of decisions, `visitor_count` of clusters.
    """

    value: float | None
    low: float | None
    high: float | None
    refused_reason: str
    standard_error: float | None = None
    ess: float = 0.0
    max_weight: float = 0.0
    mean_weight: float = 0.0
    unsupported_share: float = 0.0
    row_count: int = 0
    visitor_count: int = 0
    interval: Interval = Interval.NORMAL
    confidence: float = CONFIDENCE

    def __str__(self) -> str:
        if self.value is None:
            return f"refused: {self.refused_reason}"
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def is_above(self, bound: float) -> bool:
        """Return whether there is a figure and its whole interval lies above a bound."""
        return self.low is not None and self.low > bound

    def is_below(self, bound: float) -> bool:
        """Return whether there is a figure and its whole interval lies below a bound."""
        return self.high is not None and self.high < bound

    def to_dict(self) -> dict[str, Any]:
        """Return its fields as plain values."""
        return asdict(self) | {"interval": self.interval.value}


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """Part of an estimate. Parts of one estimator add up; see `estimate`."""

    clusters: ClusterSums
    support: Support
    needs_support: bool = True

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
        columns = (numerator, denominator, np.ones(len(batch)), batch.weight)
        sums = ClusterSums.of(batch.grouping, columns, keep)
        return cls(sums, Support.of(batch, keep), needs_support)

    @classmethod
    def empty(cls) -> Partial:
        """Return a part without rows."""
        return cls(ClusterSums.empty(4), Support())

    def __add__(self, other: Partial) -> Partial:
        if not self.support.row_count:
            return other
        if not other.support.row_count:
            return self
        if self.needs_support != other.needs_support:
            raise InvalidInput("partial", "parts of different estimators don't add up")
        return Partial(self.clusters + other.clusters, self.support + other.support, self.needs_support)

    @property
    def value(self) -> float:
        """The point estimate, refused or not; NaN where the denominator is 0."""
        totals = self.clusters.totals()
        return float(totals[_NUMERATOR] / totals[_DENOMINATOR]) if totals[_DENOMINATOR] else math.nan

    @property
    def standard_error(self) -> float:
        """Standard error of the value, clustered by visitor; infinite where one cluster or none is there.

        A ratio of two sums over clusters, linearised, with the small-sample factor g / (g - 1).
        Source: Cochran 1977, "Sampling Techniques", chapter 6; for weighted rows, Liang and Zeger 1986.
        """
        return self._error(_NUMERATOR, _DENOMINATOR)

    def _error(self, numerator: int, denominator: int) -> float:
        residuals = self._residuals(numerator, denominator)
        count, total = len(residuals), float(self.clusters.totals()[denominator])
        if count < 2 or total == 0.0:
            return math.inf
        return math.sqrt(count / (count - 1) * float(residuals @ residuals)) / abs(total)

    def _residuals(self, numerator: int, denominator: int) -> Floats:
        totals, sums = self.clusters.totals(), self.clusters.sums
        ratio = totals[numerator] / totals[denominator] if totals[denominator] else 0.0
        residuals: Floats = sums[:, numerator] - ratio * sums[:, denominator]
        return residuals

    @property
    def carriers(self) -> float:
        """Visitors on whom the variance rests, sum(e^2)^2 / sum(e^4) of their residuals e; 0 without any."""
        squares = np.square(self._residuals(_NUMERATOR, _DENOMINATOR))
        fourth = float(squares @ squares)
        # Equal rewards leave residuals of rounding: measured against what was summed they are nothing.
        scale = float(np.square(self.clusters.sums[:, _NUMERATOR]).sum())
        total = float(squares.sum())
        return total**2 / fourth if total > 1e-18 * scale else 0.0

    def refusal(self, least_visitors: int = LEAST_VISITORS) -> str:
        """Return why there is no figure, or nothing."""
        if self.needs_support and self.support.row_count:
            unsupported = self.support.refusal(self._error(_WEIGHT, _ROWS))
            if unsupported:
                return unsupported
        return variance_refusal(self.clusters.visitor_count, self.carriers, least_visitors)

    def estimate(
        self,
        interval: Interval = Interval.NORMAL,
        confidence: float = CONFIDENCE,
        least_visitors: int = LEAST_VISITORS,
    ) -> Estimate:
        """Return the value with its interval, or why there is none."""
        width = half_width(
            interval,
            self.standard_error,
            self.clusters.visitor_count,
            self.clusters.cluster_count - 1,
            confidence,
        )
        refused = self.refusal(least_visitors)
        return Estimate(
            value=None if refused else self.value,
            low=None if refused else self.value - width,
            high=None if refused else self.value + width,
            refused_reason=refused,
            standard_error=None if refused else self.standard_error,
            ess=self.support.ess,
            max_weight=self.support.max_weight,
            mean_weight=self.support.mean_weight,
            unsupported_share=self.support.unsupported_share,
            row_count=self.support.row_count,
            visitor_count=self.clusters.visitor_count,
            interval=interval,
            confidence=confidence,
        )


class Estimator(Protocol):
    """Turns batches into partial results."""

    @property
    def name(self) -> str:
        """What it is called in reports: lower case, short."""
        ...

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """Return the part of a batch's rows, or of those where `keep`, shape (n,), is true."""
        ...


class MeanReward:
    """The mean reward of the rows as they are: what happened, not what would have.

    Weights and target are not looked at, so support is not asked for. Causal only where
    rows were not selected.
    """

    name: Final = "mean"

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator."""
        return Partial.of(batch, batch.reward, np.ones(len(batch)), keep, needs_support=False)


class IPS:
    """Inverse propensity scoring: sum(w r) / n with w = target / propensity. Unbiased.

    Source: Horvitz and Thompson 1952; for policies, Li et al. 2011, arXiv:1003.5956.
    """

    name: Final = "ips"

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator."""
        return Partial.of(batch, batch.weight * batch.reward, np.ones(len(batch)), keep)


class SNIPS:
    """Self-normalised IPS: sum(w r) / sum(w). Biased by order 1 / n, bounded by the rewards seen.

    Source: Swaminathan and Joachims 2015, "The self-normalized estimator for counterfactual learning".
    """

    name: Final = "snips"

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator."""
        return Partial.of(batch, batch.weight * batch.reward, batch.weight, keep)


class DR:
    """Doubly robust: sum(expected + w (r - predicted)) / n. Unbiased, whatever the model says.

    The reward model of a row must not have seen the row's visitor: see evaluate.reward_model.
    Source: Dudik, Langford and Li 2011, arXiv:1103.4601; cross-fitting, Chernozhukov et al. 2018,
    arXiv:1608.00060.
    """

    name: Final = "dr"

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator. Raises InvalidInput for a batch without the columns of a reward model."""
        return Partial.of(batch, doubly_robust(batch), np.ones(len(batch)), keep)


def doubly_robust(batch: Batch) -> Floats:
    """Return DR's term of every row, shape (n,). Raises InvalidInput without a reward model's columns."""
    if batch.predicted is None or batch.expected is None:
        raise InvalidInput("predicted, expected", "DR needs a reward model's columns")
    terms: Floats = batch.expected + batch.weight * (batch.reward - batch.predicted)
    return terms


def difference(
    first: Partial,
    second: Partial,
    interval: Interval = Interval.ANYTIME,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return `first - second` of two sets of visitors that share nobody, or why there is none.

    Diagnostics are the worse ones of the two; `visitor_count` and `row_count` are of both. With ANYTIME the
    whole is one confidence sequence over the visitors of both arms, as for the mean of visitors who were
    assigned by a coin: arms must have been filled side by side, not one after the other.
    """
    visitors = first.clusters.visitor_count + second.clusters.visitor_count
    refused = first.refusal(LEAST_ARM_VISITORS) or second.refusal(LEAST_ARM_VISITORS)
    if not refused and visitors < LEAST_VISITORS:
        refused = f"{visitors} visitors in both arms, at least {LEAST_VISITORS} are needed"
    a, b = first.standard_error, second.standard_error
    freedom = welch_freedom(a, first.clusters.cluster_count - 1, b, second.clusters.cluster_count - 1)
    error = math.hypot(a, b)
    width = half_width(interval, error, visitors, freedom, confidence)
    value = first.value - second.value
    return Estimate(
        value=None if refused else value,
        low=None if refused else value - width,
        high=None if refused else value + width,
        refused_reason=refused,
        standard_error=None if refused else error,
        ess=min(first.support.ess, second.support.ess),
        max_weight=max(first.support.max_weight, second.support.max_weight),
        mean_weight=first.support.mean_weight,
        unsupported_share=max(first.support.unsupported_share, second.support.unsupported_share),
        row_count=first.support.row_count + second.support.row_count,
        visitor_count=visitors,
        interval=interval,
        confidence=confidence,
    )
