"""The check of raw scores."""

from __future__ import annotations

import math

import numpy as np
import pytest

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.policy.distribution import SUM_TOLERANCE, distribution, share_ties


def test_scores_are_normalised_in_float64() -> None:
    pmf = distribution([0.3, 0.3, 0.4 + SUM_TOLERANCE / 2], 3)
    assert abs(sum(pmf) - 1.0) < 1e-15


@pytest.mark.parametrize(
    "scores",
    [
        [0.5],
        [0.5, 0.25, 0.25],
        [],
        [0.5, math.nan],
        [math.inf, 0.5],
        [math.inf, -math.inf],
        [1.5, -0.5],
        [0.5, 0.5 + 2 * SUM_TOLERANCE],
        [1.0, 1.0],
        [0.0, 0.0],
    ],
)
def test_what_is_no_distribution_over_two_offers_is_a_fault(scores: list[float]) -> None:
    with pytest.raises(PolicyFault, match="pmf"):
        distribution(scores, 2)


def test_offers_tied_for_the_best_share_what_the_first_of_them_got() -> None:
    pmf = share_ties([0.55, 0.25, 0.001, 0.199])
    np.testing.assert_allclose(pmf, [0.4, 0.4, 0.001, 0.199])


def test_a_single_best_offer_keeps_what_it_got() -> None:
    assert share_ties([0.9, 0.05, 0.05]) == [0.9, 0.05, 0.05]
    assert share_ties([1.0]) == [1.0]
