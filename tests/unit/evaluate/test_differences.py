"""Two policies on one log: their difference, its error, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.batch import Batch, rows_where
from offer_optimizer.evaluate.estimators import DM, IPS, SNIPS, ClippedIPS, Partial, paired_difference
from offer_optimizer.evaluate.intervals import Interval

COUNT = 4000


def two_policies(visitors: int = 700) -> tuple[Batch, Batch]:
    """Return one coin's log under the policy that takes heads always, and the one that does in 3 of 4."""
    chance = np.random.default_rng(1)
    heads = chance.random(COUNT) < 0.5
    reward = (chance.random(COUNT) < np.where(heads, 0.5, 0.3)).astype(np.float64)
    visitor = chance.integers(0, visitors, COUNT)
    always, often = heads.astype(np.float64), np.where(heads, 0.75, 0.25)
    half = np.full(COUNT, 0.5)
    ones = np.ones(COUNT)
    return (
        Batch(reward, half, always, visitor, predicted=ones, expected=ones),
        Batch(reward, half, often, visitor, predicted=ones, expected=ones),
    )


def test_the_difference_of_ips_is_ips_of_the_difference() -> None:
    always, often = two_policies()
    found = paired_difference(IPS().partial(always), IPS().partial(often))
    terms = (always.weight - often.weight) * always.reward
    expected = Partial.of(always, terms, np.ones(COUNT))
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-12)
    for estimator in (IPS(), SNIPS()):
        first, second = estimator.partial(always), estimator.partial(often)
        estimate = paired_difference(first, second, Interval.BOOTSTRAP)
        assert estimate.value == pytest.approx(first.value - second.value)
        assert estimate.low is not None
        assert estimate.value is not None
        assert estimate.high is not None
        assert estimate.low < estimate.value < estimate.high
        # The rows are the same: far less uncertain than two logs would be.
        assert estimate.standard_error is not None
        assert estimate.standard_error < np.hypot(first.standard_error, second.standard_error) / 1.5


def test_many_visitors_are_compared_by_bucket() -> None:
    always, often = two_policies(visitors=1_000_000)
    parts = [np.arange(COUNT) % 2 == 0, np.arange(COUNT) % 2 == 1]
    first, second = Partial.empty(), Partial.empty()
    for _ in range(3):
        for keep in parts:
            for offset in (0, 10**7):
                moved = Batch(always.reward, always.propensity, always.target, always.visitor + offset)
                other = Batch(often.reward, often.propensity, often.target, often.visitor + offset)
                first += IPS().partial(rows_where(moved, keep))
                second += IPS().partial(rows_where(other, keep))
    assert first.clusters.keys is None
    found = paired_difference(first, second)
    assert found.value == pytest.approx(IPS().partial(always).value - IPS().partial(often).value)


def test_a_policy_against_itself_has_no_interval() -> None:
    always, _ = two_policies()
    found = paired_difference(IPS().partial(always), IPS().partial(always))
    assert found.value is None
    assert "no difference to measure" in found.refused_reason


def test_support_is_asked_of_both() -> None:
    always, often = two_policies()
    blind = Batch(
        always.reward, always.propensity, always.target, always.visitor, unsupported=np.full(COUNT, 0.5)
    )
    for first, second in ((blind, often), (often, blind)):
        found = paired_difference(IPS().partial(first), IPS().partial(second))
        assert found.refused_reason.startswith("the log could not have chosen")
        assert found.unsupported_share == 0.5
        assert paired_difference(IPS().partial(first), IPS().partial(second), force=True).forced


def test_different_rows_are_not_compared_and_guarantees_not_given() -> None:
    always, often = two_policies()
    for keep in (np.arange(COUNT) > 0, always.visitor > 3):
        with pytest.raises(InvalidInput, match="not of the same rows"):
            paired_difference(IPS().partial(always), IPS().partial(often, keep))
    found = paired_difference(IPS().partial(always), IPS().partial(often), Interval.EMPIRICAL_BERNSTEIN)
    assert "empirical-bernstein: holds for" in found.refused_reason


def test_biases_add_up_and_a_models_word_stays_without_interval() -> None:
    always, often = two_policies()
    clipped = ClippedIPS(1.2)
    first, second = clipped.partial(always), clipped.partial(often)
    found, biases = paired_difference(first, second), [part.bias_bound(None) for part in (first, second)]
    assert found.bias_bound == pytest.approx(sum(bias for bias in biases if bias is not None))
    assert paired_difference(IPS().partial(always), DM().partial(often)).low is None
