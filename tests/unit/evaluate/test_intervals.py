"""Quantiles and the boundary of the confidence sequence, against other sources than the code."""

from __future__ import annotations

import math

import numpy as np
import pytest

from offer_optimizer.evaluate.intervals import (
    Interval,
    anytime_factor,
    half_width,
    student_t,
    welch_freedom,
)


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.706), (10, 2.228), (30, 2.042), (1e6, 1.95996)])
def test_students_t_is_that_of_the_tables(freedom: float, expected: float) -> None:
    assert student_t(freedom) == pytest.approx(expected, abs=1e-3)


def test_the_anytime_factor_is_least_near_2000_visitors_and_stays_under_3_point_7_up_to_200_000() -> None:
    counts = np.geomspace(400, 200_000, 400)
    factors = [anytime_factor(count) for count in counts]
    assert max(factors) < 3.7
    assert min(factors) < 3.05
    assert 1000 < counts[int(np.argmin(factors))] < 4000
    assert all(factor > 1.96 for factor in factors)


def test_the_boundary_is_where_the_normal_mixtures_martingale_reaches_20() -> None:
    """By integrating the mixture numerically over effects, instead of by its closed form.

    At n visitors and z standard errors: E over effects m of exp(m s - m^2 n / 2) is 1 / alpha, s = z sqrt(n).
    """
    rho = math.sqrt((-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 2000)
    effects = np.linspace(-12 * rho, 12 * rho, 400_001)
    density = np.exp(-(effects**2) / (2 * rho**2)) / (rho * math.sqrt(2 * math.pi))
    for count in (400, 2000, 30_000):
        s = anytime_factor(count) * math.sqrt(count)
        grown = float(
            (np.exp(effects * s - effects**2 * count / 2) * density).sum() * (effects[1] - effects[0])
        )
        assert grown == pytest.approx(20.0, rel=1e-6)


def test_every_interval_says_what_it_assumes() -> None:
    for interval in Interval:
        assert interval.assumption.startswith("Visitors are independent")
        assert ("one look" in interval.assumption) == (interval is not Interval.ANYTIME)
        assert ("many" in interval.assumption) != interval.is_guaranteed


def test_without_spread_to_measure_the_interval_is_endless() -> None:
    for interval in (Interval.NORMAL, Interval.ANYTIME):
        assert half_width(interval, 0.1, 1, 0.0) == math.inf
        assert half_width(interval, 0.1, 0, -1.0) == math.inf
        assert half_width(interval, 0.1, 500, 499.0) > 0.19


def test_welchs_freedom_is_that_of_equal_arms_and_of_the_noisier_arm() -> None:
    assert welch_freedom(1.0, 50, 1.0, 50) == pytest.approx(100)
    assert welch_freedom(1.0, 50, 0.0, 7) == pytest.approx(50)
    assert welch_freedom(0.0, 3, 0.0, 7) == 3
    assert welch_freedom(1.0, 0, 1.0, 7) == 0
