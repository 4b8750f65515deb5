"""Target policies as weights, and the simulated log that the statistical proofs are made of."""

from __future__ import annotations

import numpy as np
import pytest

from offer_optimizer.core import draw
from offer_optimizer.core.log import Vocabulary
from offer_optimizer.evaluate.reward_model import RewardModel
from offer_optimizer.evaluate.rows import (
    DecisionRows,
    always,
    following,
    full_ramp_pmf,
    uniform_pmf,
)
from tests.unit.evaluate.bandit_worlds import CONTEXTS, ELIGIBLE, OFFERS, World, draw_many, in_order

MODEL = RewardModel(np.tile(np.arange(5.0) / 10, (5, 1)))


def log() -> DecisionRows:
    chance = np.random.default_rng(1)
    return World.make(chance).log(chance, 60)[0]


def test_always_weighs_only_the_rows_that_showed_it() -> None:
    rows = log()
    batch = always(rows, 2, MODEL)
    expected = np.where(rows.chosen == 2, 1.0 / rows.propensity, 0.0)
    np.testing.assert_allclose(batch.weight, expected)
    assert batch.expected is not None
    assert set(batch.expected.tolist()) == {0.2}
    assert batch.predicted is not None
    np.testing.assert_allclose(batch.predicted, rows.chosen / 10)
    assert batch.unsupported is not None
    assert batch.unsupported.tolist() == (~(rows.offers == 2).any(axis=1)).astype(float).tolist()


def test_following_a_pmf_that_is_certain_is_the_same_as_always() -> None:
    rows = log()
    here = rows.where((rows.offers == 1).any(axis=1))
    certain, fixed = following(here, (here.offers == 1).astype(np.float64), MODEL), always(here, 1, MODEL)
    np.testing.assert_allclose(certain.weight, fixed.weight)
    assert certain.expected is not None
    assert fixed.expected is not None
    np.testing.assert_allclose(certain.expected, fixed.expected)
    assert certain.unsupported is not None
    assert not certain.unsupported.any()


def test_uniform_and_full_ramp_are_distributions_over_the_eligible() -> None:
    rows = log()
    for pmf in (uniform_pmf(rows), full_ramp_pmf(rows)):
        np.testing.assert_allclose(pmf.sum(axis=1), 1.0)
        assert not pmf[~rows.eligible].any()
    assert (full_ramp_pmf(rows)[rows.eligible] >= 0.3 / 5).all()


def test_the_policy_that_made_the_log_has_weights_of_1() -> None:
    rows = log()
    logged = rows.pmf / rows.pmf.sum(axis=1, dtype=np.float64, keepdims=True)
    np.testing.assert_allclose(following(rows, logged, MODEL).weight, 1.0)


def test_without_a_logged_model_there_is_no_full_ramp() -> None:
    rows = log()
    bare = DecisionRows(
        rows.visitor,
        rows.reward,
        rows.chosen,
        rows.propensity,
        rows.offers,
        rows.pmf,
        rows.floor,
        rows.baseline,
    )
    assert not bare.shadowed().any()
    with pytest.raises(ValueError, match="model_pmf"):
        full_ramp_pmf(bare)


def test_a_vocabulary_numbers_offers_in_the_order_they_come() -> None:
    words = Vocabulary()
    assert [words.number(name) for name in ("b", "a", "b", "c")] == [0, 1, 0, 2]
    assert words.ids == ["b", "a", "c"]
    assert len(words) == 3


def test_the_simulated_draw_is_the_services_own() -> None:
    chance = np.random.default_rng(2)
    pmf = World.make(chance).served[chance.integers(0, CONTEXTS, 500)]
    u = chance.random(500)
    chosen, propensity = draw_many(pmf, u)
    for row in range(500):
        assert (chosen[row], propensity[row]) == draw.pick(pmf[row], float(u[row]))
        assert pmf[row, chosen[row]] > 0.0


def test_a_simulated_worlds_truth_is_what_its_log_earns() -> None:
    """Within 5 standard errors of 60,000 visitors, 0.002 each."""
    chance = np.random.default_rng(3)
    world = World.make(chance)
    rows, _ = world.log(chance, 60_000)
    logged = (world.served / world.served.sum(axis=1, keepdims=True)).astype(np.float64)
    assert rows.reward.mean() == pytest.approx(world.value(logged), abs=0.01)
    where = ELIGIBLE[:, 0]
    here = rows.chosen == 0
    weight = here / rows.propensity
    eligible = (rows.offers == 0).any(axis=1)
    found = (weight * rows.reward)[eligible].sum() / eligible.sum()
    assert found == pytest.approx(world.value(np.eye(OFFERS)[[0] * CONTEXTS], where), abs=0.015)
    assert sum(map(len, in_order(rows, 7))) == len(rows)
