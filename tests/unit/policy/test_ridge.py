"""Ridge regression in blocks against solutions by linear algebra."""

from __future__ import annotations

import numpy as np
import pytest

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.policy.ridge import RidgeBlocks

PRIOR = 0.5


def test_one_block_is_weighted_ridge_regression() -> None:
    """Against the normal equations, for weights, means and variances."""
    chance = np.random.default_rng(1)
    rows, rewards = chance.normal(size=(60, 5)), chance.normal(size=60)
    weights = chance.uniform(1.0, 4.0, size=60)
    blocks = RidgeBlocks(PRIOR, 1.0, 1, 5)
    for row, reward, weight in zip(rows, rewards, weights, strict=True):
        blocks.learn(row, [0], [1.0], reward - blocks.mean(row, [0], [1.0]), float(weight))
    precision = np.eye(5) / PRIOR + rows.T @ (rows * weights[:, None])
    expected = np.linalg.solve(precision, rows.T @ (weights * rewards))
    np.testing.assert_allclose(blocks.weights[0], expected, rtol=1e-9)
    asked = chance.normal(size=5)
    assert blocks.variances(asked, None, 60.0)[0] == pytest.approx(asked @ np.linalg.solve(precision, asked))
    np.testing.assert_array_equal(blocks.covariance[0], blocks.covariance[0].T)


def test_two_blocks_of_an_offer_share_an_error_by_their_variance() -> None:
    blocks = RidgeBlocks(PRIOR, 1.0, 2, 1)
    row = np.array([1.0])
    for _ in range(20):
        blocks.learn(row, [0], [1.0], 1.0 - blocks.mean(row, [0], [1.0]), 1.0)
    before = blocks.weights.copy()
    blocks.learn(row, [0, 1], [0.6, 0.8], 1.0, 1.0)
    moved = blocks.weights - before
    assert moved[1, 0] > 5.0 * moved[0, 0] > 0.0


def test_room_for_more_changes_no_answer() -> None:
    chance = np.random.default_rng(2)
    small, large = RidgeBlocks(PRIOR, 1.0, 2, 3), RidgeBlocks(PRIOR, 1.0, 2, 3)
    for step in range(30):
        row, block = chance.normal(size=3), int(chance.integers(2))
        padded = row
        if step > 10:
            large.fit(8, 6)
            padded = np.concatenate((row, np.zeros(3)))
        small.learn(row, [block], [1.0], 0.3, 1.0)
        large.learn(padded, [block], [1.0], 0.3, 1.0)
    np.testing.assert_allclose(large.weights[:2, :3], small.weights, rtol=1e-12)
    np.testing.assert_allclose(large.covariance[:2, :3, :3], small.covariance, rtol=1e-12, atol=1e-15)


def test_what_is_never_heard_of_returns_to_the_prior_and_no_further() -> None:
    kept = 0.5 ** (1.0 / 100.0)
    blocks = RidgeBlocks(PRIOR, kept, 1, 1)
    row = np.array([1.0])
    for _ in range(50):
        blocks.learn(row, [0], [1.0], 1.0 - blocks.mean(row, [0], [1.0]), 1.0)
    known = float(blocks.weights[0, 0])
    assert blocks.means(row, None, 100.0)[0] == pytest.approx(known / 2.0)
    assert blocks.variances(row, None, 1e5)[0] == pytest.approx(PRIOR)
    blocks.refresh([0], 100.0)
    assert blocks.weights[0, 0] == pytest.approx(known / 2.0)
    assert blocks.means(row, None, 100.0)[0] == pytest.approx(known / 2.0)


def test_variances_without_covariances_are_the_diagonal_and_still_learn() -> None:
    chance = np.random.default_rng(3)
    blocks = RidgeBlocks(PRIOR, 1.0, 1, 4)
    truth = np.array([1.0, -1.0, 0.5, 0.0])
    for step in range(600):
        if step == 20:
            diagonal = np.diag(blocks.covariance[0]).copy()
            blocks.forget_correlations()
            np.testing.assert_array_equal(blocks.covariance[0], diagonal)
        row = chance.normal(size=4)
        blocks.learn(row, [0], [1.0], float(truth @ row) - blocks.mean(row, [0], [1.0]), 1.0)
    np.testing.assert_allclose(blocks.weights[0], truth, atol=0.05)


def test_arrays_of_another_shape_are_refused() -> None:
    arrays = RidgeBlocks(PRIOR, 1.0, 2, 3).arrays()
    with pytest.raises(PolicyFault, match="expected 2 blocks of 4"):
        RidgeBlocks(PRIOR, 1.0, 1, 1).restore(arrays, 2, 4)


@pytest.mark.parametrize("is_symmetric", [True, False])
def test_a_state_has_half_of_each_covariance_unless_that_would_change_it(is_symmetric: bool) -> None:
    """BLAS promises nothing of the last bit: what it left askew is kept whole, bit for bit."""
    chance = np.random.default_rng(5)
    blocks = RidgeBlocks(0.25, 0.999, 3, 6)
    for step in range(200):
        pair, row = sorted(chance.choice(3, 2, replace=False).tolist()), chance.standard_normal(6)
        blocks.refresh(pair, float(step))
        blocks.learn(row, pair, [0.6, 0.8], float(chance.standard_normal()), 1.0)
    if not is_symmetric:
        blocks.covariance[1, 2, 4] = np.nextafter(blocks.covariance[1, 2, 4], 1.0)
    state = blocks.arrays()
    assert state["covariance"].shape == ((3, 21) if is_symmetric else (3, 6, 6))
    restored = RidgeBlocks(0.25, 0.999, 3, 6)
    restored.restore({name: array.copy() for name, array in state.items()}, 3, 6)
    assert restored.covariance.tobytes() == blocks.covariance.tobytes()
