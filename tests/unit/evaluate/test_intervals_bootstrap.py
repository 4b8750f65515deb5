"""Bootstrap intervals against scipy's, their determinism, and their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from offer_optimizer.evaluate.intervals_bootstrap import REPLICATES, bootstrap_ends, resampled_counts


def test_of_a_mean_it_is_scipys_bca_interval() -> None:
    """Skewed values, so that the correction counts; two sets of replicates differ by some 0.1 errors."""
    values = np.random.default_rng(1).lognormal(0.0, 1.0, 500)
    sums = np.stack([values, np.ones(500)], axis=1)
    found = bootstrap_ends(sums, (1.0,), 0.95, seed=0)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    error = values.std(ddof=1) / math.sqrt(500)
    assert found.low == pytest.approx(theirs.low, abs=0.2 * error)
    assert found.high == pytest.approx(theirs.high, abs=0.2 * error)
    # It leans to where the tail is.
    assert found.low is not None
    assert found.high is not None
    assert found.high - values.mean() > 1.05 * (values.mean() - found.low)


def test_its_ends_are_the_formulas_quantiles_of_its_own_replicates() -> None:
    """BCa written out: the acceleration from leaving out one value after the other."""
    values = np.random.default_rng(8).lognormal(0.0, 1.0, 300)
    found = bootstrap_ends(np.stack([values, np.ones(300)], axis=1), (1.0,), 0.9, seed=3)
    replicates = resampled_counts(300, 3) @ values / 300.0
    without = (values.sum() - values) / 299.0
    spread = without.mean() - without
    acceleration = (spread**3).sum() / (6.0 * (spread**2).sum() ** 1.5)
    bias = stats.norm.ppf((replicates < values.mean()).mean())
    for end, level in ((found.low, 0.05), (found.high, 0.95)):
        moved = bias + stats.norm.ppf(level)
        place = stats.norm.cdf(bias + moved / (1.0 - acceleration * moved))
        assert end == pytest.approx(float(np.quantile(replicates, place)), rel=1e-6)


def test_of_a_ratio_by_visitor_it_is_scipys_of_paired_sums() -> None:
    chance = np.random.default_rng(3)
    visits = 1.0 + chance.poisson(3.0, 400)
    earned = chance.gamma(visits * 0.3)
    found = bootstrap_ends(np.stack([earned, visits], axis=1), (1.0,), 0.9, seed=4)
    theirs = stats.bootstrap(
        (earned, visits),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        vectorized=True,
        confidence_level=0.9,
        n_resamples=4000,
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert found.low is not None
    assert found.high is not None
    width = theirs.high - theirs.low
    assert [found.low, found.high] == pytest.approx([theirs.low, theirs.high], abs=0.06 * width)


def test_the_same_seed_gives_the_same_interval_and_another_hardly_another() -> None:
    chance = np.random.default_rng(6)
    sums = np.stack([chance.normal(5.0, 1.0, 450), np.ones(450)], axis=1)
    first, again, other = (bootstrap_ends(sums, (1.0,), 0.95, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert first.low is not None
    assert first.low == pytest.approx(other.low, abs=0.02)


def test_every_replicate_draws_as_many_clusters_as_there_are() -> None:
    counts = resampled_counts(37, 9)
    assert counts.shape == (REPLICATES, 37)
    assert (counts.sum(axis=1) == 37).all()
    # Each cluster once on average, within 6 standard errors.
    assert counts.mean(axis=0) == pytest.approx(np.ones(37), abs=6 / math.sqrt(REPLICATES))


def test_one_cluster_tells_nothing_and_equal_ones_leave_no_width() -> None:
    assert bootstrap_ends(np.array([[1.0, 2.0]]), (1.0,), 0.95, 0).high == math.inf
    same = bootstrap_ends(np.tile([1.0, 2.0], (20, 1)), (1.0,), 0.95, 0)
    assert (same.low, same.high) == (0.5, 0.5)


def test_a_denominator_that_some_replicates_miss_is_left_out() -> None:
    """Two of thirty clusters have weight: every eighth replicate has none."""
    sums = np.zeros((30, 2))
    sums[0], sums[1] = (1.0, 1.0), (0.0, 2.0)
    found = bootstrap_ends(sums, (1.0,), 0.95, 0)
    assert found.low is not None
    assert found.high is not None
    assert 0.0 <= found.low <= found.high <= 1.0
