"""Products along trajectories: by hand, and unbiased exactly where all trajectories can be listed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.accounts import along
from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.estimators_modelled import doubly_robust
from offer_optimizer.evaluate.trajectory import Trajectories

CHANCE = st.floats(0.05, 0.95)


def test_products_are_those_of_the_visitor_s_own_decisions() -> None:
    whole = Trajectories()
    visitor = np.array([1, 1, 2, 1])
    target, propensity = np.array([0.5, 1.0, 0.2, 0.0]), np.array([0.25, 0.5, 0.4, 0.5])
    first = whole.follow(visitor[:2], target[:2], propensity[:2], np.zeros(2))
    second = whole.follow(visitor[2:], target[2:], propensity[2:], np.array([0.0, 0.5]))
    assert first.before.tolist() == [1.0, 2.0]
    assert second.before.tolist() == [1.0, 4.0]
    assert (first.target / first.propensity).tolist() == [2.0, 4.0]
    assert (second.target / second.propensity).tolist() == [0.5, 0.0]
    support = whole.support()
    assert (support.row_count, support.weight, support.max_weight) == (2, 0.5, 0.5)
    assert support.unsupported_share == pytest.approx(0.125)


def test_what_lies_behind_the_horizon_is_left_out() -> None:
    whole = Trajectories(horizon=2)
    found = whole.follow(np.array([1, 1, 1]), np.ones(3), np.full(3, 0.5), np.zeros(3))
    assert found.is_within.tolist() == [True, True, False]
    assert whole.beyond_count == 1


@pytest.mark.parametrize("horizon", [0, 61])
def test_a_horizon_out_of_range_is_an_error(horizon: int) -> None:
    with pytest.raises(InvalidInput, match="horizon"):
        Trajectories(horizon)


@given(
    st.lists(CHANCE, min_size=3, max_size=3),
    st.lists(CHANCE, min_size=3, max_size=3),
    st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=6),
    st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=6),
)
def test_ips_and_dr_are_unbiased_over_all_trajectories(
    log: list[float], target: list[float], rewards: list[float], model: list[float]
) -> None:
    """Two decisions between two offers; state 0 begins, states 1 and 2 follow from the first choice.

    Whatever the reward model says, the estimates' mean over all trajectories is the target's value.
    """
    truth = ips = dr = 0.0
    for first, second in itertools.product((0, 1), repeat=2):
        states, choices = (0, 1 + first), (first, second)
        did = np.array([_chance(log[s], c) for s, c in zip(states, choices, strict=True)])
        would = np.array([_chance(target[s], c) for s, c in zip(states, choices, strict=True)])
        reward = np.array([rewards[2 * s + c] for s, c in zip(states, choices, strict=True)])
        batch = Batch(
            reward=reward,
            propensity=did,
            target=would,
            visitor=np.zeros(2, dtype=np.int64),
            predicted=np.array([model[2 * s + c] for s, c in zip(states, choices, strict=True)]),
            expected=np.array(
                [sum(_chance(target[s], c) * model[2 * s + c] for c in (0, 1)) for s in states]
            ),
        )
        products = Trajectories().follow(batch.visitor, would, did, np.zeros(2))
        whole = along(batch, products)
        truth += would.prod() * reward.sum()
        ips += did.prod() * (whole.weight * reward).sum()
        dr += did.prod() * doubly_robust(whole).sum()
    assert ips == pytest.approx(truth, abs=1e-9)
    assert dr == pytest.approx(truth, abs=1e-9)


def _chance(of_first: float, choice: int) -> float:
    return of_first if choice == 0 else 1.0 - of_first
