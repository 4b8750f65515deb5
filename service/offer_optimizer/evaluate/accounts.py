"""The running account of one policy on one log: its target's run, and partial results by estimator.

One account takes the batches of a log in order and ends in a PolicyResult; two of the same rows can be
compared. Memory does not grow with the rows, but for trajectories, which keep a visitor's products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from offer_optimizer.core.log import Flags, Floats, LogRows
from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.claims import Bounds
from offer_optimizer.evaluate.clusters import Grouping
from offer_optimizer.evaluate.estimate import Estimate
from offer_optimizer.evaluate.estimators import Estimator, Partial
from offer_optimizer.evaluate.expectations import Expectations
from offer_optimizer.evaluate.intervals import Interval
from offer_optimizer.evaluate.learning_curve import LearningCurve
from offer_optimizer.evaluate.results import PolicyResult
from offer_optimizer.evaluate.target import TargetPolicy, TargetRows, TargetRun, Verdict
from offer_optimizer.evaluate.trajectory import Products, Trajectories
from offer_optimizer.evaluate.weights import WeightHistogram

OF_TRAJECTORIES: Final = frozenset({"ips", "snips", "dr", "mean"})
"""Estimators that are defined for products of weights."""

_SURE: Final = 1.0 - 1e-9
"""A propensity from here on leaves nothing for the other offers."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is asked of every estimate: kind of interval, confidence, whether refusals are overridden, ..."""

    interval: Interval
    confidence: float
    force: bool
    seed: int
    bounds: Bounds | None = None


class Account:
    """What was seen of one policy so far."""

    def __init__(
        self,
        target: TargetPolicy,
        run: TargetRun,
        estimators: Sequence[Estimator],
        verdict: Verdict,
        horizon: int,
    ) -> None:
        self.target = target
        self.verdict = verdict
        self.log_refusal = ""
        """Why no propensity of the log can be believed, or nothing."""
        self._run = run
        self._estimators = estimators
        self._partials = {estimator.name: Partial.empty() for estimator in estimators}
        self._weights = WeightHistogram.empty()
        self._curve = LearningCurve() if target.is_progressive else None
        self._trajectories = Trajectories(horizon) if verdict is Verdict.TRAJECTORY else None
        self._is_thinned = False

    def add(self, rows: LogRows, grouping: Grouping, expectations: Expectations | None) -> None:
        """Take the next rows of the log. `expectations` is the reward model, where an estimator needs one."""
        followed = self._run.follow(rows)
        batch = one_step(rows, followed, grouping, expectations)
        keep: Flags | None = None
        if self._trajectories is not None:
            products = self._trajectories.follow(
                rows.visitor, batch.target, batch.propensity, followed.unsupported
            )
            keep = products.is_within
            self._is_thinned |= rows.weight is not None
            batch = along(batch, products)
        for estimator in self._estimators:
            if self._trajectories is None or estimator.name in OF_TRAJECTORIES:
                self._partials[estimator.name] += estimator.partial(batch, keep)
        self._weights += WeightHistogram.of(batch.weight if keep is None else batch.weight[keep])
        if self._curve is not None:
            self._curve.add(batch.weight, batch.reward)

    def estimator_names(self) -> tuple[str, ...]:
        """Return the names of the estimators, in the order asked for."""
        return tuple(self._partials)

    def partial(self, estimator: str) -> Partial:
        """Return what an estimator summed."""
        return self._partials[estimator]

    def refusal(self, partial: Partial, claim: Claim) -> str:
        """Return why an estimator's figure is withheld, or nothing."""
        # A plain mean says nothing of the target, so it needs nothing of it either.
        if not partial.traits.needs_support:
            return partial.refusal(interval=claim.interval)
        refused = self._run.refusal() or self.log_refusal
        if refused or self._trajectories is None:
            return refused or partial.refusal(interval=claim.interval)
        if self._is_thinned:
            return "the log was thinned out: a trajectory needs every decision of a visitor"
        weights = self._trajectories.support()
        unsupported = weights.refusal(_mean_error(self._trajectories)).replace("decisions", "visitors")
        plain = replace(partial, traits=replace(partial.traits, needs_support=False))
        return unsupported or plain.refusal(interval=claim.interval)

    def result(self, claim: Claim) -> PolicyResult:
        """Return what all of it comes to."""
        estimates = {name: self._estimate(name, claim) for name in self._partials}
        first = next((found for found in estimates.values() if found.refused_reason), None)
        some = next(
            (partial for partial in self._partials.values() if partial.support.row_count), Partial.empty()
        )
        support = some.support if self._trajectories is None else self._trajectories.support()
        return PolicyResult(
            policy=self.target.text,
            verdict=self.verdict,
            estimates=estimates,
            ess=support.ess,
            max_weight=support.max_weight,
            mean_weight=support.mean_weight,
            unsupported_share=support.unsupported_share,
            row_count=some.support.row_count,
            visitor_count=some.clusters.visitor_count,
            refused=first.refused_reason if first is not None else "",
            notes=(*self._run.notes(), *self._own_notes()),
            weights=self._weights,
            curve=() if self._curve is None else self._curve.points(),
        )

    def close(self) -> None:
        """Let go of what the target holds."""
        self._run.close()

    def _estimate(self, name: str, claim: Claim) -> Estimate:
        partial = self._partials[name]
        if self._trajectories is not None and name not in OF_TRAJECTORIES:
            why = f"{name} is defined for one step; trajectories have {', '.join(sorted(OF_TRAJECTORIES))}"
            return Estimate(None, None, None, why, interval=claim.interval, confidence=claim.confidence)
        refused = self.refusal(partial, claim)
        return partial.judged(
            refused, claim.interval, claim.confidence, claim.bounds, claim.force, claim.seed
        )

    def _own_notes(self) -> list[str]:
        if self._trajectories is None:
            return []
        horizon, beyond = self._trajectories.horizon, self._trajectories.beyond_count
        return [
            f"The first {horizon} decisions of each visitor are judged; {beyond:,} behind them are left out.",
            "Effective sample size and weights are of visitors.",
            "ips takes the number of decisions as logged, snips lets it follow from what is shown.",
        ]


def one_step(
    rows: LogRows, followed: TargetRows, grouping: Grouping, expectations: Expectations | None
) -> Batch:
    """Return rows with what the target would do in each of them alone."""
    predicted = expected = None
    if expectations is not None:
        predicted = expectations.predicted
        expected = expectations.under(followed)
    return Batch(
        reward=rows.reward,
        propensity=rows.propensity,
        target=followed.chosen,
        visitor=rows.visitor,
        unsupported=_unsupported(rows, followed),
        predicted=predicted,
        expected=expected,
        row_weight=rows.weight,
        largest_weight=_largest_weight(rows, followed),
        known_grouping=grouping,
    )


def along(batch: Batch, products: Products) -> Batch:
    """Return a batch whose weights are those of all the visitor's decisions up to each row.

    What the reward model says of a row before its choice carries the weight of those before it.
    """
    expected = None if batch.expected is None else products.before * batch.expected
    return replace(
        batch,
        target=products.target,
        propensity=products.propensity,
        expected=expected,
        largest_weight=None,
    )


def _unsupported(rows: LogRows, followed: TargetRows) -> Floats:
    """Return the probability put on what the log could not choose: without a pmf a sure choice tells it."""
    if rows.pmf is not None:
        return followed.unsupported
    is_sure = rows.propensity >= _SURE
    return np.where(is_sure, np.maximum(followed.unsupported, 1.0 - followed.chosen), followed.unsupported)


def _largest_weight(rows: LogRows, followed: TargetRows) -> Floats | None:
    """Return the largest weight that each row could have had, None where the log keeps no pmf."""
    if rows.pmf is None or followed.mass.shape != rows.pmf.shape:
        return None
    possible = rows.pmf > 0.0
    weights = np.divide(followed.mass, rows.pmf, out=np.zeros(followed.mass.shape), where=possible)
    largest: Floats = np.maximum(weights.max(axis=1), followed.chosen / rows.propensity)
    return largest


def _mean_error(trajectories: Trajectories) -> float:
    support = trajectories.support()
    count = support.row_count
    if count < 2:
        return math.inf
    variance = max(support.squares / count - support.mean_weight**2, 0.0)
    return math.sqrt(variance / (count - 1))
