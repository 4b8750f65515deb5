"""Intervals that hold at any number of visitors: empirical Bernstein and Clopper-Pearson.

Both need what no log can tell: the range of rewards, stated beforehand. Where an assumption fails they refuse
and name it. They are wide by nature. Visitors are the unit: a visitor who may come m times has a range m
times as wide, so the first is of use where visitors come once or a few times. They bind at one look, whose
time was fixed beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from scipy.special import betaincinv

from offer_optimizer.evaluate.claims import Aim, Bound, Bounds, Traits
from offer_optimizer.evaluate.clusters import ClusterSums
from offer_optimizer.evaluate.intervals import Ends, Interval
from offer_optimizer.evaluate.row_moments import Range, RowMoments

_NUMERATOR: Final = 2
_DENOMINATOR: Final = 3
_ROWS: Final = 0
_HALVINGS: Final = 80
"""Bisections: from any range down to what a float64 tells apart."""


def guaranteed_ends(
    interval: Interval,
    clusters: ClusterSums,
    moments: RowMoments,
    traits: Traits,
    bounds: Bounds | None,
    confidence: float,
) -> Ends:
    """Return a guaranteed interval, or why it can't be had."""
    if traits.bound is Bound.NOTHING:
        return Ends.refused(f"{interval}: holds for mean, ips, clipped-ips and snips only")
    if bounds is None:
        return Ends.refused(
            f"{interval}: needs the range of rewards, stated beforehand: what was seen is none"
        )
    seen = moments.rewards
    if seen.low < bounds.reward_low or seen.high > bounds.reward_high:
        return Ends.refused(
            f"{interval}: rewards from {seen.low:g} to {seen.high:g} were seen, outside of what was stated, "
            f"{bounds.reward_low:g} to {bounds.reward_high:g}"
        )
    most, whence, refused = _decisions_per_visitor(clusters, moments, bounds)
    if refused:
        return Ends.refused(f"{interval}: {refused}")
    if interval is Interval.CLOPPER_PEARSON:
        return _proportion_ends(clusters, moments, traits, bounds, most, confidence)
    return _bernstein_ends(clusters, moments, traits, bounds, (most, whence), confidence)


def _decisions_per_visitor(
    clusters: ClusterSums, moments: RowMoments, bounds: Bounds
) -> tuple[float, str, str]:
    """Return the most decisions of a visitor, where that is from, and why it can't be told."""
    if moments.is_anonymous:
        return max(moments.most_rows, 1.0), "as nobody is known again", ""
    known = clusters.keys is not None
    seen = float(clusters.sums[:, _ROWS].max(initial=0.0)) if known else moments.most_rows
    if bounds.decisions_per_visitor is not None:
        if seen > bounds.decisions_per_visitor + 1e-9:
            return (
                seen,
                "",
                (
                    f"a visitor has {seen:g} decisions where at most "
                    f"{bounds.decisions_per_visitor:g} were stated"
                ),
            )
        return bounds.decisions_per_visitor, "as stated", ""
    if known:
        return seen, "the most seen", ""
    return seen, "", "of so many visitors it needs to be told how many decisions one may bring"


# --- Empirical Bernstein -----------------------------------------------------------------------------------


def _bernstein_ends(
    clusters: ClusterSums,
    moments: RowMoments,
    traits: Traits,
    bounds: Bounds,
    decisions: tuple[float, str],
    confidence: float,
) -> Ends:
    """Return all values v at which sum over visitors of numerator - v denominator is near enough to 0.

    That sum has mean 0 at the true value, for IPS and SNIPS alike, so no approximation by a ratio is made. A
    visitor's part of it lies in a range of `spread`, and
    |sum| <= sqrt(2 g V ln(4 / alpha)) + 7 spread ln(4 / alpha) g / (3 (g - 1)) with probability 1 - alpha, V
    the sample variance of g visitors. Where visitors are no longer kept apart, m decisions of one have a sum
    whose square is at most m times the sum of squares: a variance from rows that is never too small.
    Source: Maurer and Pontil 2009, "Empirical Bernstein bounds and sample variance penalization", theorem 4,
    arXiv:0907.3740; both sides at alpha / 2.
    """
    most, whence = decisions
    low, high, spread = _row_range(moments, traits, bounds)
    spread *= most
    # Above EXACT_VISITORS an estimate, to 2 %: what follows hardly depends on it.
    count = float(clusters.visitor_count)
    if count < 2.0:
        return Ends.refused("empirical-bernstein: needs two visitors")
    if clusters.keys is None:
        nn, nd, dd = (most * s for s in (moments.squares, moments.products, moments.other_squares))
    else:
        numerators, denominators = clusters.sums[:, _NUMERATOR], clusters.sums[:, _DENOMINATOR]
        nn = float(numerators @ numerators)
        nd, dd = float(numerators @ denominators), float(denominators @ denominators)
    totals = clusters.totals()
    n, d = float(totals[_NUMERATOR]), float(totals[_DENOMINATOR])
    log_term = math.log(4.0 / (1.0 - confidence))
    linear = 7.0 * spread * log_term * count / (3.0 * (count - 1.0))

    def allowed(value: float) -> float:
        squares = nn - 2.0 * value * nd + value * value * dd - (n - value * d) ** 2 / count
        return math.sqrt(max(squares, 0.0) * 2.0 * log_term * count / (count - 1.0)) + linear

    best = n / d
    weights = "possible under the logged pmfs" if moments.is_possible else "the largest seen"
    assumes = (
        f"rewards in [{bounds.reward_low:g}, {bounds.reward_high:g}] as stated; at most {most:g} decisions a "
        f"visitor, {whence}"
    )
    if traits.bound is not Bound.REWARD:
        cut = min(moments.largest_weight, traits.clip)
        whence = "by clipping" if cut < moments.largest_weight else weights
        assumes += f"; weights up to {cut:.4g}, {whence}"
    return Ends(
        _edge(lambda value: n - value * d - allowed(value), min(low, best), best),
        _edge(lambda value: value * d - n - allowed(value), max(high, best), best),
        assumes,
    )


def _row_range(moments: RowMoments, traits: Traits, bounds: Bounds) -> tuple[float, float, float]:
    """Return the least and greatest possible value, and the range of a row's term; see claims.Bound."""
    low, high = bounds.reward_low, bounds.reward_high
    if traits.bound is Bound.REWARD:
        return low, high, high - low
    weight = max(1.0, min(moments.largest_weight, traits.clip))
    if traits.bound is Bound.SELF_NORMALISED:
        return low, high, weight * (high - low)
    spread = max(0.0, weight * high) - min(0.0, weight * low)
    if traits.aim is Aim.CUT:  # cut weights sum to less than 1, so the value moves towards 0
        return min(low, 0.0), max(high, 0.0), spread
    return low, high, spread


def _edge(excess: Callable[[float], float], far: float, best: float) -> float:
    """Return where `excess` turns to 0 between `best`, where it is below, and `far`; `far` if nowhere.

    `excess` is a line less a convex function, so it crosses at most once on the way.
    """
    if excess(far) <= 0.0:
        return far
    inside, outside = best, far
    for _ in range(_HALVINGS):
        middle = 0.5 * (inside + outside)
        if excess(middle) > 0.0:
            outside = middle
        else:
            inside = middle
    return outside


# --- Clopper-Pearson ---------------------------------------------------------------------------------------


def _proportion_ends(
    clusters: ClusterSums,
    moments: RowMoments,
    traits: Traits,
    bounds: Bounds,
    most: float,
    confidence: float,
) -> Ends:
    """Return the exact interval of a proportion, where the estimate is one.

    It is, if every row adds 0 or the same number to numerator and denominator: rewards 0 and 1, weights 0 and
    one other number. IPS counts rewards among all rows, SNIPS among those that the target would have chosen.
    """
    name = Interval.CLOPPER_PEARSON
    if most > 1.0:
        return Ends.refused(f"{name}: needs one decision a visitor, {most:g} were found")
    if (bounds.reward_low, bounds.reward_high) != (0.0, 1.0):
        return Ends.refused(f"{name}: needs rewards that are 0 or 1")
    trial = moments.denominators
    step = trial.high if traits.bound is Bound.REWARD else moments.weights.high
    is_proportion = trial.is_one_number and (
        traits.bound is Bound.REWARD
        or (moments.weights.is_one_number and moments.largest_weight <= step * (1.0 + 1e-6))
    )
    # No numerator but 0: not a single reward.
    rewarded = moments.numerators
    if not is_proportion or (rewarded.high > -math.inf and not (rewarded + Range(step, step)).is_one_number):
        return Ends.refused(
            f"{name}: needs an estimate that is a proportion: rewards 0 and 1, "
            "one weight beside 0, no row weights"
        )
    totals = clusters.totals()
    trials = float(totals[_DENOMINATOR]) / trial.high
    successes = float(totals[_NUMERATOR]) / step
    low, high = clopper_pearson(successes, trials, confidence)
    scale = step / trial.high if traits.bound is Bound.WEIGHTED else 1.0
    return Ends(
        low * scale,
        min(high * scale, 1.0) if traits.aim is Aim.POLICY else high * scale,
        f"rewards 0 or 1; one decision a visitor; {successes:.0f} of {trials:.0f}",
    )


def clopper_pearson(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a proportion, in [0, 1].

    Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits", Biometrika 26.
    """
    tail = (1.0 - confidence) / 2.0
    low = float(betaincinv(successes, trials - successes + 1.0, tail)) if successes > 0.0 else 0.0
    high = float(betaincinv(successes + 1.0, trials - successes, 1.0 - tail)) if successes < trials else 1.0
    return low, high
