"""Guaranteed intervals against formulas written out by hand and scipy, and what they refuse."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.claims import Bounds
from offer_optimizer.evaluate.estimators import DR, IPS, SNIPS, ClippedIPS, Estimate, MeanReward, Partial
from offer_optimizer.evaluate.intervals import Interval
from offer_optimizer.evaluate.intervals_guaranteed import clopper_pearson

UNIT = Bounds(0.0, 1.0)
BERNSTEIN, EXACT = Interval.EMPIRICAL_BERNSTEIN, Interval.CLOPPER_PEARSON


def coin_log(count: int = 2000, visitors: int = 0, arms: int = 4) -> Batch:
    """Return a uniform log under the policy that always takes one of `arms`; without visitors, once each."""
    chance = np.random.default_rng(1)
    taken = chance.integers(0, arms, count) == 0
    return Batch(
        reward=(chance.random(count) < 0.3).astype(np.float64),
        propensity=np.full(count, 1.0 / arms),
        target=taken.astype(np.float64),
        visitor=chance.integers(0, visitors, count) if visitors else -1 - np.arange(count),
        predicted=np.full(count, 0.3),
        expected=np.full(count, 0.3),
        largest_weight=np.full(count, float(arms)),
    )


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None, estimate.refused_reason
    assert estimate.high is not None
    return estimate.low, estimate.high


@pytest.mark.parametrize("count", [2000, 9000])
def test_with_one_decision_a_visitor_it_is_the_formula_of_maurer_and_pontil(count: int) -> None:
    """IPS has terms in [0, 4]: mean +- sqrt(2 V ln(4 / a) / n) + 7 * 4 ln(4 / a) / (3 (n - 1))."""
    batch = coin_log(count)
    terms, log_term = batch.weight * batch.reward, math.log(4.0 / 0.05)
    width = math.sqrt(2.0 * terms.var(ddof=1) * log_term / count) + 28.0 * log_term / (3.0 * (count - 1))
    found = IPS().partial(batch).estimate(BERNSTEIN, bounds=UNIT)
    # Beyond 4,096 visitors their number is an estimate, which hardly matters.
    assert ends(found) == pytest.approx((terms.mean() - width, terms.mean() + width), rel=1e-3)
    assert found.width == pytest.approx(2.0 * width, rel=1e-3)
    assert found.assumes == (
        "rewards in [0, 1] as stated; at most 1 decisions a visitor, as nobody is known again; "
        "weights up to 4, possible under the logged pmfs"
    )


def test_ends_of_snips_are_where_the_bound_on_its_estimating_equation_is_met() -> None:
    """sum(w (r - v)) over visitors who come often, each in a range of 4 times the busiest one's decisions."""
    batch = coin_log(count=6000, visitors=1500)
    low, high = ends(SNIPS().partial(batch).estimate(BERNSTEIN, bounds=UNIT))
    most, log_term = int(np.bincount(batch.visitor).max()), math.log(4.0 / 0.05)
    for value, sign in ((low, 1.0), (high, -1.0)):
        terms = np.bincount(batch.visitor, weights=batch.weight * (batch.reward - value))
        terms = terms[np.bincount(batch.visitor) > 0]
        count = len(terms)
        allowed = math.sqrt(2.0 * terms.var(ddof=1) * log_term / count)
        allowed += 7.0 * 4.0 * most * log_term / (3.0 * (count - 1))
        assert sign * terms.mean() == pytest.approx(allowed, rel=1e-6)


def test_many_visitors_who_come_again_need_to_be_told_how_often() -> None:
    batch = coin_log(count=12_000, visitors=6000)
    partial = IPS().partial(batch)
    assert partial.clusters.keys is None
    refused = partial.estimate(BERNSTEIN, bounds=UNIT).refused_reason
    assert "needs to be told how many decisions one may bring" in refused
    told = partial.estimate(BERNSTEIN, bounds=Bounds(0.0, 1.0, decisions_per_visitor=12))
    low, high = ends(told)
    # Kept apart, the same visitors have a smaller variance: rows bound it, by at most a factor of 12.
    sums = np.bincount(batch.visitor, weights=batch.weight * batch.reward)
    visits = np.bincount(batch.visitor)
    here = visits > 0
    terms = (sums - partial.value * visits)[here]
    log_term = math.log(4.0 / 0.05)
    exact = math.sqrt(2.0 * len(terms) * terms.var(ddof=1) * log_term) + 7.0 * 48.0 * log_term / 3.0
    assert 2.0 * exact / 12_000 < high - low < 2.0 * math.sqrt(12.0) * exact / 12_000
    few = partial.estimate(BERNSTEIN, bounds=Bounds(0.0, 1.0, decisions_per_visitor=2))
    assert "where at most 2 were stated" in few.refused_reason


def test_clipping_bounds_the_weights_and_says_so() -> None:
    found = ClippedIPS(2.5).partial(coin_log()).estimate(BERNSTEIN, bounds=UNIT)
    assert found.assumes.endswith("weights up to 2.5, by clipping")
    seen = replace(coin_log(), largest_weight=None)
    assert IPS().partial(seen).estimate(BERNSTEIN, bounds=UNIT).assumes.endswith("4, the largest seen")
    mean = MeanReward().partial(coin_log()).estimate(BERNSTEIN, bounds=UNIT)
    assert "weights" not in mean.assumes


def test_an_interval_that_says_nothing_ends_at_the_range_of_rewards() -> None:
    few = Batch(np.array([0.0, 1.0, 1.0]), np.ones(3), np.ones(3), np.arange(3))
    found = MeanReward().partial(few).estimate(BERNSTEIN, bounds=UNIT, force=True)
    assert ends(found) == (0.0, 1.0)
    assert found.forced


@pytest.mark.parametrize(("successes", "trials"), [(0, 30), (30, 30), (7, 30), (154, 1000)])
def test_clopper_pearson_is_scipys(successes: int, trials: int) -> None:
    theirs = binomtest(successes, trials).proportion_ci(method="exact")
    assert clopper_pearson(successes, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_proportions_of_ips_are_of_all_rows_and_of_snips_among_the_policys_choices() -> None:
    batch = coin_log()
    taken = batch.target > 0.0
    rewarded = int(batch.reward[taken].sum())
    low, high = clopper_pearson(rewarded, len(batch))
    assert ends(IPS().partial(batch).estimate(EXACT, bounds=UNIT)) == pytest.approx((4 * low, 4 * high))
    among = clopper_pearson(rewarded, int(taken.sum()))
    assert ends(SNIPS().partial(batch).estimate(EXACT, bounds=UNIT)) == pytest.approx(among)
    every = clopper_pearson(int(batch.reward.sum()), len(batch))
    assert ends(MeanReward().partial(batch).estimate(EXACT, bounds=UNIT)) == pytest.approx(every)


def test_a_reward_that_was_never_seen_is_bounded_from_above() -> None:
    """Where a normal interval would have no width, and is refused."""
    batch = replace(coin_log(), reward=np.zeros(2000))
    assert "never varied" in IPS().partial(batch).estimate().refused_reason
    found = IPS().partial(batch).estimate(EXACT, bounds=UNIT)
    assert ends(found) == pytest.approx((0.0, 4.0 * (1.0 - 0.025 ** (1 / 2000))))


def refusal(partial: Partial, interval: Interval, bounds: Bounds | None = UNIT) -> str:
    return partial.estimate(interval, bounds=bounds).refused_reason


def test_what_does_not_hold_is_refused_and_named() -> None:
    batch = coin_log()
    mixed = replace(batch, propensity=np.where(np.arange(2000) % 2 == 0, 0.25, 0.24))
    often = coin_log(visitors=800)
    beyond = replace(batch, reward=3.0 * batch.reward)
    weighted = replace(batch, row_weight=np.where(batch.reward > 0.0, 1.0, 2.0))
    for interval in (BERNSTEIN, EXACT):
        assert "needs the range of rewards" in refusal(IPS().partial(batch), interval, None)
        assert "holds for mean, ips" in refusal(DR().partial(batch), interval)
        assert "rewards from 0 to 3 were seen" in refusal(IPS().partial(beyond), interval)
    assert "one weight beside 0" in refusal(IPS().partial(mixed), EXACT)
    assert "one weight beside 0" in refusal(SNIPS().partial(mixed), EXACT)
    assert "one decision a visitor" in refusal(IPS().partial(often), EXACT)
    assert "one decision a visitor" in refusal(IPS().partial(weighted), EXACT)
    assert "rewards that are 0 or 1" in refusal(IPS().partial(batch), EXACT, Bounds(0.0, 2.0))
    halves = replace(batch, reward=np.where(np.arange(2000) % 3 == 0, 0.5, batch.reward))
    assert "a proportion" in refusal(IPS().partial(halves), EXACT)
    assert "a proportion" in refusal(IPS().partial(replace(batch, reward=0.5 * batch.reward)), EXACT)
    # A weight that was possible and not seen.
    rare = replace(batch, largest_weight=np.full(2000, 9.0))
    assert "one weight beside 0" in refusal(IPS().partial(rare), EXACT)
    assert refusal(IPS().partial(batch), BERNSTEIN) == refusal(IPS().partial(batch), EXACT) == ""


def test_bounds_that_make_no_sense_are_named() -> None:
    for low, high in ((1.0, 1.0), (0.0, math.inf), (math.nan, 1.0)):
        with pytest.raises(InvalidInput, match="reward_low, reward_high"):
            Bounds(low, high)
    with pytest.raises(InvalidInput, match="decisions_per_visitor"):
        Bounds(0.0, 1.0, 0.5)
