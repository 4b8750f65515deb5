"""The probability that a posterior is the largest."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offer_optimizer.policy.best_of import best_of

TOLERANCE = 2e-3


def exactly(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Return P(X > Y) for X of Beta(*a), Y of Beta(*b), whole numbers, as a finite sum of fractions."""
    # Y's distribution function is the chance of at least b[0] successes in n tries; integrate against X.
    n = b[0] + b[1] - 1
    total = Fraction(0)
    for j in range(b[0], n + 1):
        total += Fraction(comb(n, j)) * _beta_ratio(a, j, n - j)
    return float(total)


def _beta_ratio(a: tuple[int, int], more: int, less: int) -> Fraction:
    """Return B(a0 + more, a1 + less) / B(a0, a1)."""
    ratio = Fraction(1)
    for step in range(more):
        ratio *= a[0] + step
    for step in range(less):
        ratio *= a[1] + step
    for step in range(more + less):
        ratio /= a[0] + a[1] + step
    return ratio


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 1), (3, 5)),
        ((1, 40), (2, 60)),
        ((200, 1), (150, 1)),
        ((1, 1), (60, 100)),
        ((2, 300), (1, 2)),
        ((90, 110), (80, 120)),
    ],
    ids=str,
)
def test_two_posteriors_agree_with_the_sum_of_fractions(one: tuple[int, int], other: tuple[int, int]) -> None:
    found = best_of([(float(one[0]), float(one[1])), (float(other[0]), float(other[1]))])
    assert found[0] == pytest.approx(exactly(one, other), abs=TOLERANCE)


def test_a_gap_between_narrow_posteriors_is_given_no_mass() -> None:
    """At both ends of [0, 1] at once: 2000 / 3500 for the upper two, by hand."""
    found = best_of([(2000.0, 1.0), (1.0, 2000.0), (1500.0, 1.0)])
    assert found == pytest.approx([2000 / 3500, 0.0, 1500 / 3500], abs=TOLERANCE)


shapes = st.tuples(st.floats(1.0, 1e6), st.floats(1.0, 1e6))


@settings(deadline=None, max_examples=50)
@given(st.lists(shapes, min_size=1, max_size=12))
def test_any_posteriors_give_a_pmf_that_does_not_depend_on_order(
    posteriors: list[tuple[float, float]],
) -> None:
    found = best_of(posteriors)
    assert sum(found) == pytest.approx(1.0, abs=1e-9)
    assert min(found) >= 0.0
    backwards = best_of(posteriors[::-1])
    assert backwards[::-1] == found


def test_two_hundred_posteriors_agree_with_draws() -> None:
    """Against 40,000 draws: five standard errors of a share of one half are 0.0125 (one in a million)."""
    chance = np.random.default_rng(3)
    posteriors = [(1.0 + k % 7, 30.0 + 3 * k) for k in range(200)]
    drawn = np.stack([chance.beta(a, b, 40_000) for a, b in posteriors]).argmax(axis=0)
    shares = np.bincount(drawn, minlength=200) / 40_000
    np.testing.assert_allclose(best_of(posteriors), shares, atol=0.0125)
