"""Differences of two estimates: of two sets of visitors that share nobody, and of two policies on one log."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.claims import Aim, Bound
from offer_optimizer.evaluate.clusters import ClusterSums
from offer_optimizer.evaluate.estimate import Estimate
from offer_optimizer.evaluate.intervals import CONFIDENCE, Interval, half_width, welch_freedom
from offer_optimizer.evaluate.partial import Partial
from offer_optimizer.evaluate.support import LEAST_ARM_VISITORS, LEAST_VISITORS


def difference(
    first: Partial,
    second: Partial,
    interval: Interval = Interval.ANYTIME,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return `first - second` of two sets of visitors that share nobody, or why there is none.

    Diagnostics are the worse ones of the two; `visitor_count` and `row_count` are of both. With ANYTIME the
    whole is one confidence sequence over the visitors of both arms, as for the mean of visitors who were
    assigned by a coin: arms must have been filled side by side, not one after the other. The other kind is
    NORMAL. Raises InvalidInput for any else.
    """
    visitors = first.visitor_count + second.visitor_count
    refused = first.refusal(LEAST_ARM_VISITORS) or second.refusal(LEAST_ARM_VISITORS)
    if not refused and visitors < LEAST_VISITORS:
        refused = f"{visitors} visitors in both arms, at least {LEAST_VISITORS} are needed"
    a, b = first.standard_error, second.standard_error
    freedom = welch_freedom(a, first.freedom, b, second.freedom)
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


def paired_difference(
    first: Partial,
    second: Partial,
    interval: Interval = Interval.NORMAL,
    confidence: float = CONFIDENCE,
    *,
    force: bool = False,
    seed: int = 0,
) -> Estimate:
    """Return `first - second` of two policies (or estimators) on the same rows of one log, or why not.

    What both owe to the same visitors cancels out, so the interval is narrower than those of the two. Support
    is asked of both. Diagnostics are the worse ones. Not for guaranteed intervals. Raises InvalidInput where
    the rows are not the same.
    """
    a, b = first.clusters, second.clusters
    same_visitors = (a.keys is None) == (b.keys is None) and (
        a.keys is None or b.keys is None or np.array_equal(a.keys, b.keys)
    )
    if first.support.row_count != second.support.row_count or not same_visitors:
        raise InvalidInput("second", "is not of the same rows as the first: their difference is not paired")
    aims = (first.traits.aim, second.traits.aim)
    traits = replace(
        first.traits,
        aim=Aim.NOTHING if Aim.NOTHING in aims else Aim.CUT if Aim.CUT in aims else Aim.POLICY,
        bound=Bound.NOTHING,
        signs=first.traits.signs + tuple(-sign for sign in second.traits.signs),
    )
    columns = np.concatenate([a.sums, b.sums[:, 2:]], axis=1)
    both = replace(first, clusters=ClusterSums(a.keys, columns, a.sketch), traits=traits)
    refused = first.support_refusal() or second.support_refusal()
    if first.traits == second.traits and np.array_equal(a.sums, b.sums):
        refused = refused or "both come to the same in every decision: there is no difference to measure"
    refused = refused or both.refusal(interval=interval)
    found = both.judged(refused, interval, confidence, force=force, seed=seed)
    biases = [partial.bias_bound(None) for partial in (first, second)]
    known = [bias for bias in biases if bias is not None]
    return replace(
        found,
        ess=min(first.support.ess, second.support.ess),
        max_weight=max(first.support.max_weight, second.support.max_weight),
        unsupported_share=max(first.support.unsupported_share, second.support.unsupported_share),
        bias_bound=sum(known) if known and found.value is not None else None,
    )
