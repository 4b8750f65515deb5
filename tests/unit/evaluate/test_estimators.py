"""Estimators against formulas written out by hand, their merging, and when they refuse."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate import support
from offer_optimizer.evaluate.batch import Batch, dot, rows_where
from offer_optimizer.evaluate.claims import Bounds
from offer_optimizer.evaluate.clusters import fold_of
from offer_optimizer.evaluate.estimate import Estimate
from offer_optimizer.evaluate.estimators import (
    DM,
    DR,
    ESTIMATORS,
    IPS,
    SNDR,
    SNIPS,
    ClippedIPS,
    DRos,
    Estimator,
    MeanReward,
    Partial,
    SwitchDR,
    difference,
    estimator_of,
    needs_reward_model,
)
from offer_optimizer.evaluate.intervals import Interval
from offer_optimizer.evaluate.reward_model import FOLD_COUNT, SHRINKAGE, RewardSums

ALL: list[Estimator] = [made() for made in ESTIMATORS.values()]
CUT: tuple[Estimator, ...] = (ClippedIPS(1.5), SwitchDR(2.0), DRos(2.0))
MIXED = np.where(np.arange(3000) % 2 == 0, 0.3, 0.5)


def batch_of(
    count: int = 3000, visitors: int = 600, seed: int = 1, p: float | NDArray[np.float64] = 0.5
) -> Batch:
    """Return rows of a coin's log under the policy that always takes the first action."""
    chance = np.random.default_rng(seed)
    chosen = chance.random(count) < p
    return Batch(
        reward=(chance.random(count) < 0.3 + 0.2 * chosen).astype(np.float64),
        propensity=np.where(chosen, p, 1.0 - p),
        target=chosen.astype(np.float64),
        visitor=chance.integers(0, visitors, count),
        predicted=np.where(chosen, 0.4, 0.3),
        expected=np.full(count, 0.4),
    )


def by_hand(
    batch: Batch, numerator: NDArray[np.float64], denominator: NDArray[np.float64]
) -> tuple[float, float]:
    """Return ratio and clustered standard error, visitor by visitor, in plain Python."""
    ratio = sum(numerator) / sum(denominator)
    residuals: dict[int, float] = {}
    for who, a, b in zip(batch.visitor.tolist(), numerator.tolist(), denominator.tolist(), strict=True):
        residuals[who] = residuals.get(who, 0.0) + a - ratio * b
    count = len(residuals)
    meat = sum(e * e for e in residuals.values())
    return float(ratio), math.sqrt(count / (count - 1) * meat) / float(sum(denominator))


def test_values_and_errors_are_those_of_the_formulas() -> None:
    batch = batch_of(p=MIXED)
    weight, ones = batch.target / batch.propensity, np.ones(len(batch))
    assert batch.predicted is not None
    assert batch.expected is not None
    missed = batch.reward - batch.predicted
    columns = {
        "mean": (batch.reward, ones),
        "ips": (weight * batch.reward, ones),
        "snips": (weight * batch.reward, weight),
        "dr": (batch.expected + weight * missed, ones),
        "clipped-ips": (np.where(weight > 1.5, 1.5, weight) * batch.reward, ones),
        "switch-dr": (batch.expected + np.where(weight > 2.0, 0.0, weight) * missed, ones),
        "dros": (batch.expected + 2.0 * weight / (weight**2 + 2.0) * missed, ones),
    }
    standard: list[Estimator] = [MeanReward(), IPS(), SNIPS(), DR()]
    for estimator in (*standard, *CUT):
        value, error = by_hand(batch, *columns[estimator.name])
        estimate = estimator.partial(batch).estimate()
        assert estimate.value == pytest.approx(value, rel=1e-12)
        assert estimate.standard_error == pytest.approx(error, rel=1e-12)
        assert estimate.high is not None
        assert estimate.high - value == pytest.approx(1.9639 * error, rel=2e-4)


def test_the_error_of_sndr_is_that_of_leaving_out_one_visitor_after_the_other() -> None:
    """The jackknife, another way to the same to first order: within 1 %."""
    batch = batch_of(p=0.3)
    assert batch.predicted is not None
    assert batch.expected is not None
    weight = batch.weight
    columns = (batch.expected, np.ones(len(batch)), weight * (batch.reward - batch.predicted), weight)
    sums = np.stack([np.bincount(batch.visitor, weights=column) for column in columns], axis=1)
    sums = sums[sums[:, 1] > 0.0]
    without = sums.sum(axis=0) - sums
    values = without[:, 0] / without[:, 1] + without[:, 2] / without[:, 3]
    count = len(values)
    jackknife = math.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum())
    partial = SNDR().partial(batch)
    total = sums.sum(axis=0)
    assert partial.value == pytest.approx(total[0] / total[1] + total[2] / total[3], rel=1e-12)
    assert partial.standard_error == pytest.approx(jackknife, rel=0.01)


def test_a_row_that_stands_for_several_counts_as_if_it_came_so_often() -> None:
    batch = batch_of(p=0.3)
    times = np.random.default_rng(2).integers(1, 4, len(batch))
    weighted = replace(batch, row_weight=times.astype(np.float64))
    often = rows_where(batch, np.repeat(np.arange(len(batch)), times))
    for estimator in (*ALL, *CUT):
        once, repeated = estimator.partial(weighted), estimator.partial(often)
        assert once.value == pytest.approx(repeated.value, rel=1e-12)
        assert once.standard_error == pytest.approx(repeated.standard_error, rel=1e-9, abs=1e-15)
        assert once.support.mean_weight == pytest.approx(repeated.support.mean_weight)
        assert once.bias_bound(None) == pytest.approx(repeated.bias_bound(None))
        # It is one row's word all the same.
        assert once.support.ess < repeated.support.ess
        assert once.support.row_count == len(batch)


def test_where_nobody_is_known_again_many_rows_have_the_variance_of_rows() -> None:
    batch = replace(batch_of(count=9000), visitor=-1 - np.arange(9000))
    terms = batch.weight * batch.reward
    partial = IPS().partial(batch)
    assert partial.clusters.keys is None
    assert partial.standard_error == pytest.approx(terms.std(ddof=1) / math.sqrt(9000), rel=1e-9)
    assert partial.estimate().visitor_count == 9000
    assert partial.freedom == 8999
    twice = replace(batch, visitor=-1 - np.arange(9000) // 2)
    with pytest.raises(InvalidInput, match="visitor: has a negative number twice"):
        IPS().partial(twice)


def test_what_cutting_weights_costs_at_most_is_stated() -> None:
    """By hand: the mean weight that was cut, times the largest reward or, with a model, their range."""
    batch = batch_of(p=MIXED)
    for estimator, used, span in (
        (CUT[0], np.minimum(batch.weight, 1.5), 2.0),
        (CUT[1], np.where(batch.weight <= 2.0, batch.weight, 0.0), 3.0),
        (CUT[2], 2.0 * batch.weight / (batch.weight**2 + 2.0), 3.0),
    ):
        estimate = estimator.partial(batch).estimate(bounds=Bounds(-1.0, 2.0))
        assert estimate.bias_bound == pytest.approx(span * (batch.weight - used).mean())
        assert f"off by up to {estimate.bias_bound:.4f} besides" in str(estimate)
    assert IPS().partial(batch).estimate().bias_bound is None


def test_the_product_of_long_columns_is_the_sum_of_products() -> None:
    first, second = np.arange(20_000.0), np.arange(20_000.0)[::-1]
    assert dot(first, second) == pytest.approx(float((first * second).sum()), rel=1e-12)


def test_an_interval_of_cut_weights_is_above_a_bound_only_with_its_bias() -> None:
    found = Estimate(0.5, 0.4, 0.6, "", bias_bound=0.1)
    assert found.lowest == pytest.approx(0.3)
    assert found.is_above(0.29)
    assert not found.is_above(0.31)
    assert found.is_below(0.71)
    assert not found.is_below(0.69)


def test_what_a_reward_model_says_alone_has_no_interval() -> None:
    for interval in Interval:
        estimate = DM().partial(batch_of()).estimate(interval)
        assert estimate.value == pytest.approx(0.4)
        assert estimate.low is estimate.high is estimate.standard_error is None
        assert not estimate.is_above(0.0)
        assert not estimate.is_below(1.0)
        assert str(estimate).startswith("0.4000 (no interval: a reward model's word")


def test_a_figure_that_was_forced_says_so_and_why() -> None:
    partial = IPS().partial(batch_of(visitors=90))
    estimate = partial.estimate(force=True)
    assert estimate.forced
    assert estimate.value == partial.value
    assert str(estimate).endswith("FORCED although 90 visitors, at least 400 are needed")
    assert estimate.to_dict()["forced"] is True
    assert estimate.to_dict()["width"] == estimate.width
    assert not IPS().partial(batch_of()).estimate(force=True).forced
    assert Partial.empty().estimate(force=True).value is None
    nobody = replace(batch_of(), target=np.zeros(3000))
    assert SNIPS().partial(nobody).estimate(force=True).value is None


def test_estimators_have_names_and_limits() -> None:
    for name, made in ESTIMATORS.items():
        assert made().name == name
        assert estimator_of(name).name == name
    assert [name for name in ESTIMATORS if needs_reward_model(estimator_of(name))] == [
        "dm",
        "dr",
        "sndr",
        "switch-dr",
        "dros",
    ]
    with pytest.raises(InvalidInput, match="estimator: 'ipw' is none of dm, ips, "):
        estimator_of("ipw")
    for wrong in (lambda: ClippedIPS(0.0), lambda: SwitchDR(-1.0), lambda: DRos(0.0), lambda: DRos(math.nan)):
        with pytest.raises(InvalidInput):
            wrong()


def test_with_one_row_a_visitor_the_error_of_ips_is_the_standard_error_of_a_mean() -> None:
    batch = batch_of()
    alone = Batch(batch.reward, batch.propensity, batch.target, np.arange(len(batch)))
    terms = batch.weight * batch.reward
    expected = terms.std(ddof=1) / math.sqrt(len(terms))
    assert IPS().partial(alone).standard_error == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.integers(0, 2999), min_size=0, max_size=4), st.sampled_from(ALL))
def test_parts_add_up_to_the_whole(cuts: list[int], estimator: Estimator) -> None:
    batch = batch_of()
    edges = [0, *sorted(cuts), len(batch)]
    numbers = np.arange(len(batch))
    total = Partial.empty()
    for low, high in itertools.pairwise(edges):
        total += estimator.partial(rows_where(batch, (numbers >= low) & (numbers < high)))
    whole = estimator.partial(batch)
    assert total.value == pytest.approx(whole.value, rel=1e-12)
    assert total.standard_error == pytest.approx(whole.standard_error, rel=1e-12)
    assert total.support.ess == pytest.approx(whole.support.ess)
    assert total.support.row_count == len(batch)


def test_rows_that_are_kept_out_count_for_nothing() -> None:
    batch = batch_of()
    keep = batch.visitor % 3 != 0
    for estimator in ALL:
        masked, cut = estimator.partial(batch, keep), estimator.partial(rows_where(batch, keep))
        assert masked.estimate().to_dict() == pytest.approx(cut.estimate().to_dict())


def test_the_error_of_buckets_is_that_of_visitors_within_a_tenth() -> None:
    """1,024 buckets: the standard error's own is 2.2 %."""
    batch = batch_of(count=40_000, visitors=8000)
    partial = IPS().partial(batch)
    assert partial.clusters.keys is None
    _, error = by_hand(batch, batch.weight * batch.reward, np.ones(len(batch)))
    assert partial.standard_error == pytest.approx(error, rel=0.1)


def refusal(batch: Batch, estimator: Estimator | None = None) -> str:
    estimate = (estimator or IPS()).partial(batch).estimate()
    assert (estimate.value is None) == bool(estimate.refused_reason)
    return estimate.refused_reason


def test_too_few_visitors_are_refused_and_just_enough_are_not() -> None:
    few = batch_of(visitors=support.LEAST_VISITORS - 1, count=9000)
    assert refusal(few) == "399 visitors, at least 400 are needed"
    assert "399 visitors" in refusal(few, MeanReward())
    assert refusal(batch_of(visitors=support.LEAST_VISITORS, count=9000)) == ""
    assert "no decision" in Partial.empty().estimate().refused_reason


def test_a_small_effective_sample_size_is_refused() -> None:
    assert "an effective sample size of" in refusal(batch_of(p=0.02))


def test_one_decision_that_carries_much_of_the_weight_is_refused() -> None:
    batch = batch_of()
    propensity = batch.propensity.copy()
    first = int(np.flatnonzero(batch.target)[0])
    propensity[first] = 1e-3
    assert "one decision carries" in refusal(
        Batch(batch.reward, propensity, batch.target, batch.visitor)
    ) or ("effective sample size" in refusal(Batch(batch.reward, propensity, batch.target, batch.visitor)))


def test_wrong_propensities_are_refused_by_their_mean_weight() -> None:
    batch = batch_of()
    assert "the mean weight is 0.5" in refusal(
        Batch(batch.reward, np.ones(len(batch)), batch.target, batch.visitor)
    )


def test_missing_support_is_refused() -> None:
    batch = batch_of()
    unsupported = np.where(batch.visitor % 100 == 0, 1.0, 0.0)
    found = refusal(Batch(batch.reward, batch.propensity, batch.target, batch.visitor, unsupported))
    assert found.startswith("the log could not have chosen")


def test_a_reward_that_never_varies_or_hardly_ever_gets_no_interval() -> None:
    ones = np.ones(3000)
    visitor = np.arange(3000) % 700
    assert "never varied" in refusal(Batch(ones, ones, ones, visitor), MeanReward())
    rare = np.where(np.arange(3000) < 5, 1.0, 0.0)
    assert "the variance rests on about 5 visitors" in refusal(Batch(rare, ones, ones, visitor), MeanReward())


@pytest.mark.parametrize(
    ("column", "value", "field"),
    [
        ("propensity", 0.0, "propensity"),
        ("propensity", 1.5, "propensity"),
        ("propensity", math.nan, "propensity"),
        ("target", -0.1, "target"),
        ("reward", math.inf, "reward"),
        ("row_weight", 0.0, "row_weight"),
    ],
)
def test_rows_that_make_no_sense_are_named(column: str, value: float, field: str) -> None:
    columns = {name: np.ones(3) for name in ("reward", "propensity", "target", "row_weight")}
    columns[column][1] = value
    with pytest.raises(InvalidInput, match=f"^{field}: "):
        Batch(
            columns["reward"],
            columns["propensity"],
            columns["target"],
            np.arange(3),
            row_weight=columns["row_weight"],
        )
    with pytest.raises(InvalidInput, match="visitor: has shape"):
        Batch(np.ones(3), np.ones(3), np.ones(3), np.arange(2))


def test_without_a_reward_model_an_estimator_that_needs_one_says_so() -> None:
    batch = Batch(np.ones(2), np.ones(2), np.ones(2), np.arange(2))
    for estimator in ALL:
        if needs_reward_model(estimator):
            with pytest.raises(InvalidInput, match="reward model"):
                estimator.partial(batch)
        else:
            estimator.partial(batch)


def test_the_difference_of_two_arms_is_that_of_two_independent_means() -> None:
    first, second = (
        MeanReward().partial(batch_of(seed=1)),
        MeanReward().partial(batch_of(seed=2, visitors=300)),
    )
    for interval in (Interval.NORMAL, Interval.ANYTIME):
        found = difference(first, second, interval)
        assert found.value == pytest.approx(first.value - second.value)
        assert found.standard_error == pytest.approx(math.hypot(first.standard_error, second.standard_error))
        assert found.visitor_count == first.clusters.visitor_count + second.clusters.visitor_count
    with pytest.raises(InvalidInput, match="bootstrap is not made from a standard error"):
        difference(first, second, Interval.BOOTSTRAP)
    small = MeanReward().partial(batch_of(seed=2, visitors=90))
    assert "at least 100" in difference(first, small).refused_reason


def test_the_reward_model_of_a_row_has_not_seen_its_visitor() -> None:
    """By hand for one fold; another reward of the visitor changes nothing that is said of them."""
    chance = np.random.default_rng(3)
    visitor, chosen = chance.integers(0, 50, 500), chance.integers(0, 3, 500)
    reward = chance.random(500)
    model = RewardSums.of(visitor, chosen, reward, 3).fit()
    who = 7
    said = model.of(np.array([who]), np.array([1]))[0]
    others = fold_of(visitor, FOLD_COUNT) != fold_of(np.array([who]), FOLD_COUNT)[0]
    mean = reward[others].mean()
    mine = others & (chosen == 1)
    assert said == pytest.approx((reward[mine].sum() + SHRINKAGE * mean) / (mine.sum() + SHRINKAGE))
    changed = RewardSums.of(visitor, chosen, np.where(visitor == who, 99.0, reward), 3).fit()
    assert changed.of(np.array([who]), np.array([1]))[0] == pytest.approx(said, rel=1e-12)
    halves = RewardSums.of(visitor[:200], chosen[:200], reward[:200], 2 + 1) + RewardSums.of(
        visitor[200:], chosen[200:], reward[200:], 3
    )
    np.testing.assert_allclose(halves.fit().values, model.values)


def test_the_reward_model_of_nothing_says_zero() -> None:
    nobody = np.empty(0, np.int64)
    assert RewardSums.of(nobody, nobody, np.empty(0), 2).fit().values.tolist() == [[0.0, 0.0]] * FOLD_COUNT
