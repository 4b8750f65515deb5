"""What attributes say of newcomers, against solutions by linear algebra and truths that are known."""

from __future__ import annotations

import numpy as np
import pytest

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.policy.encoding import Vector
from offer_optimizer.policy.newcomers import UNSURE_LEAST, Starts, learn_prior
from offer_optimizer.policy.offer_blocks import Known
from offer_optimizer.policy.ridge import Matrix

OFFERS, WIDTH = 24, 3
SLOPES = np.array([[0.2, 0.1, 0.0], [-0.1, 0.0, 0.1], [0.05, -0.1, 0.0], [0.0, 0.1, -0.1]])
PANEL = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])


def known(chance: np.random.Generator) -> Known:
    """Return offers of two categories with two values each, and a block of their own."""
    made = np.zeros((OFFERS, 4 + OFFERS))
    made[np.arange(OFFERS), chance.integers(2, size=OFFERS)] = 0.5
    made[np.arange(OFFERS), 2 + chance.integers(2, size=OFFERS)] = 0.5
    made[np.arange(OFFERS), 4 + np.arange(OFFERS)] = 0.5**0.5
    return Known(made, np.arange(4), np.full(OFFERS, 1e6))


def told(prior_level: Vector, slopes: Matrix, attributes: Matrix) -> Matrix:
    return prior_level + attributes @ slopes


def test_where_attributes_make_the_offer_newcomers_start_there_and_nearly_sure() -> None:
    chance = np.random.default_rng(1)
    offers = known(chance)
    attributes = offers.made[:, :4]
    weights = 0.3 + attributes @ SLOPES
    prior = learn_prior(offers, weights, PANEL, np.full(OFFERS, 1e-8))
    np.testing.assert_allclose(told(prior.level, prior.slopes, attributes), weights, atol=0.005)
    assert prior.unsure == UNSURE_LEAST


def test_where_attributes_say_nothing_newcomers_stay_as_unsure_as_ever() -> None:
    """Attributes predict a random truth better than the mean does by luck alone, and then barely."""
    unsure = []
    for seed in range(20):
        chance = np.random.default_rng(seed)
        weights = chance.normal(0.3, 0.2, size=(OFFERS, WIDTH))
        prior = learn_prior(known(chance), weights, PANEL, np.full(OFFERS, 1e-8))
        unsure.append(prior.unsure)
        if prior.unsure == 1.0:
            np.testing.assert_allclose(prior.level, weights.mean(axis=0), rtol=1e-9)
            assert not prior.slopes.any()
    assert np.mean(unsure) > 0.9
    assert min(unsure) > 0.5


def test_differences_within_the_noise_tell_nothing() -> None:
    chance = np.random.default_rng(3)
    offers = known(chance)
    weights = 0.3 + offers.made[:, :4] @ SLOPES
    sure = learn_prior(offers, weights, PANEL, np.full(OFFERS, 1e-8)).unsure
    assert learn_prior(offers, weights, PANEL, np.full(OFFERS, 10.0)).unsure > 0.99 > sure


def test_an_offer_left_out_is_missed_as_if_it_were_fitted_without_it() -> None:
    """The share that attributes leave, against refits without each offer in turn."""
    chance = np.random.default_rng(4)
    offers = known(chance)
    weights = 0.3 + offers.made[:, :4] @ SLOPES + chance.normal(0.0, 0.03, size=(OFFERS, WIDTH))
    found = learn_prior(offers, weights, PANEL, np.zeros(OFFERS))
    left = min(missed_by_refits(offers, weights, penalty) for penalty in (0.01, 0.03, 0.1, 0.3, 1.0))
    by_level = missed_by_refits(Known(offers.made, np.arange(0), offers.counts), weights, 1.0)
    assert found.unsure == pytest.approx(left / by_level, rel=1e-3)


def missed_by_refits(offers: Known, weights: Matrix, penalty: float) -> float:
    design = np.hstack((np.ones((OFFERS, 1)), offers.made[:, offers.shared]))
    expected = weights @ PANEL.T
    ridge = np.diag([0.0, *[penalty] * len(offers.shared)])
    missed = 0.0
    for out in range(OFFERS):
        rows = np.arange(OFFERS) != out
        gram = design[rows].T @ design[rows] + ridge
        fitted = np.linalg.solve(gram, design[rows].T @ expected[rows])
        missed += float(np.square(expected[out] - design[out] @ fitted).sum())
    return missed


def test_offers_of_few_examples_count_for_less() -> None:
    chance = np.random.default_rng(5)
    offers = known(chance)
    weights = 0.3 + offers.made[:, :4] @ SLOPES
    counts = offers.counts.copy()
    weights[:6] += 0.5
    counts[:6] = 1.0
    attributes = offers.made[:, :4]
    right = 0.3 + attributes[6:] @ SLOPES
    doubted = learn_prior(Known(offers.made, offers.shared, counts), weights, PANEL, np.zeros(OFFERS))
    believed = learn_prior(offers, weights, PANEL, np.zeros(OFFERS))
    by_doubt = np.abs(told(doubted.level, doubted.slopes, attributes[6:]) - right).mean()
    assert by_doubt < 0.2 * np.abs(told(believed.level, believed.slopes, attributes[6:]) - right).mean()


def test_starts_of_another_shape_are_refused() -> None:
    starts = Starts(8, 4)
    starts.fit(16, 8)
    state, arrays = starts.describe(), starts.arrays()
    again = Starts(16, 8)
    again.restore(state, arrays, 16, 8)
    assert again.describe() == state
    with pytest.raises(PolicyFault, match="starts of shapes"):
        again.restore(state, arrays, 16, 16)
    with pytest.raises(PolicyFault, match="starts of shapes"):
        again.restore({**state, "unsure": 0.0}, arrays, 16, 8)
    with pytest.raises(PolicyFault, match="outside"):
        again.restore({**state, "blocks": [16]}, {**arrays, "slopes": np.ones((1, 8))}, 16, 8)
