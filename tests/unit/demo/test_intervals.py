"""Clustered intervals by hand, and their coverage."""

import math

import numpy as np
import pytest

from offer_optimizer.demo.intervals import Mean, clustered_mean, subtract, t_quantile


def test_a_clustered_mean_by_hand() -> None:
    """Three visitors with sums 3, 0 and 3 over 2, 1 and 3 decisions: mean 1, residual sums 1, -1 and 0."""
    mean = clustered_mean(np.array([1.0, 2.0, 0.0, 1.0, 1.0, 1.0]), np.array([5, 5, 9, 2, 2, 2]))
    assert mean.value == 1.0
    assert mean.standard_error == pytest.approx(math.sqrt(3 / 2 * (1 + 1 + 0)) / 6)
    assert (mean.decision_count, mean.cluster_count) == (6, 3)


def test_with_one_decision_a_visitor_it_is_the_textbook_standard_error() -> None:
    values = np.array([0.0, 1.0, 4.0, 2.5])
    mean = clustered_mean(values, np.arange(4))
    assert mean.standard_error == pytest.approx(values.std(ddof=1) / 2)


def test_one_visitor_or_none_tells_nothing() -> None:
    assert clustered_mean(np.array([1.0, 2.0]), np.array([3, 3])).low == -math.inf
    assert math.isnan(clustered_mean(np.array([]), np.array([], dtype=np.int64)).value)


def test_a_difference_by_hand() -> None:
    """Standard errors 3 and 4 make 5; many visitors, so the quantile is nearly 1.96."""
    difference = subtract(Mean(20.0, 3.0, 10**6, 10**6), Mean(10.0, 4.0, 10**6, 10**6))
    assert difference.value == 10.0
    assert (difference.low, difference.high) == pytest.approx((10 - 9.8, 10 + 9.8), abs=0.001)
    assert difference.is_above_zero()
    assert not subtract(Mean(19.7, 3.0, 10**6, 10**6), Mean(10.0, 4.0, 10**6, 10**6)).is_above_zero()


@pytest.mark.parametrize(("freedom", "table"), [(10, 2.2281), (30, 2.0423), (120, 1.9799), (1e9, 1.9600)])
def test_t_quantiles_are_those_of_printed_tables(freedom: float, table: float) -> None:
    assert t_quantile(freedom) == pytest.approx(table, abs=0.001)


def test_clustered_intervals_cover_where_row_wise_ones_would_not() -> None:
    """400 samples of 300 visitors × 5: 95 % within 3.7 points, a false alarm in 1 of 1,000 seeds."""
    rng = np.random.default_rng(5)
    clusters = np.repeat(np.arange(300), 5)
    clustered = row_wise = 0
    for _ in range(400):
        values = np.repeat(rng.normal(size=300), 5) + 0.5 * rng.normal(size=1500)
        mean = clustered_mean(values, clusters)
        clustered += mean.low < 0.0 < mean.high
        row_wise += abs(mean.value) < 1.96 * values.std() / math.sqrt(1500)
    assert abs(clustered / 400 - 0.95) < 0.037
    assert row_wise / 400 < 0.80
