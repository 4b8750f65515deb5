"""Reward models by name: blind to the row's visitor, mergeable, better with a context where that counts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.log import LogRows
from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.estimators import DR
from offer_optimizer.evaluate.reward_model import FOLD_COUNT, SHRINKAGE
from offer_optimizer.evaluate.reward_model_choice import (
    REWARD_MODELS,
    GivenRewards,
    RewardValues,
    modelled_columns,
    reward_learner_of,
)
from offer_optimizer.evaluate.reward_model_context import WIDTH, RidgeSums, hashed_context
from tests.unit.evaluate.log_rows import Columns, shop_log, some_rows

COUNT = 4000


def fitted(name: str, rows: LogRows, parts: int = 1) -> RewardValues:
    learner = reward_learner_of(name)
    for part in np.array_split(np.arange(len(rows)), parts):
        learner.add(some_rows(rows, part))
    return learner.fit()


def test_one_that_reads_the_context_is_nearer_to_the_truth() -> None:
    rows, mean = shop_log()
    errors = {name: np.square(fitted(name, rows).values(rows) - mean).mean() for name in REWARD_MODELS}
    assert errors["ridge"] < 0.5 * errors["mean"]


def test_a_better_model_makes_a_narrower_interval_of_dr_around_the_same_value() -> None:
    rows, mean = shop_log()
    best = np.eye(3)[mean.argmax(axis=1)]
    found = {}
    for name in REWARD_MODELS:
        predicted, expected = modelled_columns(fitted(name, rows).values(rows), rows, best)
        target = best[np.arange(COUNT), rows.chosen]
        batch = Batch(
            rows.reward, rows.propensity, target, rows.visitor, predicted=predicted, expected=expected
        )
        found[name] = DR().partial(batch)
    assert found["ridge"].standard_error < 0.95 * found["mean"].standard_error
    truth = (best * mean).sum(axis=1).mean()
    assert found["ridge"].value == pytest.approx(truth, abs=4 * found["ridge"].standard_error)


@pytest.mark.parametrize("name", list(REWARD_MODELS))
def test_what_is_said_about_a_visitor_does_not_come_from_them(name: str) -> None:
    rows, _ = shop_log(count=1500)
    mine = rows.visitor == 7
    changed = replace(rows, reward=np.where(mine, 50.0, rows.reward))
    before, after = fitted(name, rows).values(rows), fitted(name, changed).values(rows)
    np.testing.assert_allclose(after[mine], before[mine], rtol=1e-9)
    assert np.abs(after[~mine] - before[~mine]).max() > 0.01


@pytest.mark.parametrize("name", list(REWARD_MODELS))
def test_batches_add_up_to_the_whole(name: str) -> None:
    rows, _ = shop_log(count=1500)
    whole, parts = fitted(name, rows).values(rows), fitted(name, rows, parts=6).values(rows)
    np.testing.assert_allclose(parts, whole, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", list(REWARD_MODELS))
def test_a_row_that_stands_for_several_is_learned_as_often(name: str) -> None:
    rows, _ = shop_log(count=1200)
    times = np.random.default_rng(2).integers(1, 4, len(rows))
    often = some_rows(rows, np.repeat(np.arange(len(rows)), times))
    weighted = fitted(name, replace(rows, weight=times.astype(np.float64))).values(rows)
    np.testing.assert_allclose(weighted, fitted(name, often).values(rows), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", list(REWARD_MODELS))
def test_offers_without_a_decision_and_logs_without_a_row_have_values_too(name: str) -> None:
    rows, _ = shop_log(count=900)
    only = some_rows(rows, np.flatnonzero(rows.chosen < 2))
    values = fitted(name, only).values(rows)
    assert values.shape == (900, 3)
    assert np.isfinite(values).all()
    # Nothing was learned of the third: it is worth what the others are.
    assert values[:, 2].mean() == pytest.approx(only.reward.mean(), abs=0.1)
    nothing = reward_learner_of(name).fit().values(rows)
    assert nothing.tolist() == np.zeros((900, 3)).tolist()
    gone = replace(rows, offers=np.where(rows.offers == 1, -1, rows.offers).astype(np.int32))
    assert (fitted(name, only).values(gone)[:, 1] == 0.0).all()


def test_the_mean_of_an_offer_is_shrunk_to_that_of_all() -> None:
    rows, _ = shop_log(count=900)
    values = fitted("mean", rows).values(rows)
    assert len(np.unique(values[:, 0])) == FOLD_COUNT
    shown = rows.chosen == 0
    whole = (rows.reward[shown].sum() + SHRINKAGE * rows.reward.mean()) / (shown.sum() + SHRINKAGE)
    assert values[:, 0].mean() == pytest.approx(whole, abs=0.03)


def test_contexts_are_hashed_into_a_fixed_width_the_same_way_for_ever() -> None:
    contexts = Columns(2, {"city": ["Lyon", ""], "age": np.array([2.0, np.nan])})
    found = hashed_context(contexts)
    assert found.shape == (2, 1 + WIDTH)
    assert found[1].tolist() == [1.0, *[0.0] * WIDTH]
    assert {int(place): float(found[0, place]) for place in np.flatnonzero(found[0])} == {
        0: 1.0,
        21: math.asinh(2.0),
        42: -1.0,
    }
    wide = Columns(1, {f"c{number}": ["x"] for number in range(500)})
    assert hashed_context(wide).shape == (1, 1 + WIDTH)


def test_numbers_of_any_size_do_no_harm() -> None:
    rows, mean = shop_log()
    assert isinstance(rows.contexts, Columns)
    columns = dict(rows.contexts.columns) | {
        "time": 1.7e9 + np.arange(COUNT),
        "huge": np.full(COUNT, 1e300),
        "infinite": np.full(COUNT, np.inf),
    }
    noisy = replace(rows, contexts=Columns(COUNT, columns))
    error = np.square(fitted("ridge", noisy).values(noisy) - mean).mean()
    assert error < 0.5 * np.square(fitted("mean", rows).values(rows) - mean).mean()


def test_nothing_is_said_beyond_the_rewards_seen() -> None:
    rows, _ = shop_log(count=900)
    values = fitted("ridge", rows).values(rows)
    assert values.min() >= 0.0
    assert values.max() <= 1.0


def test_sums_grow_with_the_offers_up_to_a_bound() -> None:
    rows, _ = shop_log(count=300)
    many = replace(rows, chosen=rows.chosen * 1000)
    assert RidgeSums.of(many).grams.shape[1] == 128
    assert (RidgeSums.of(rows) + RidgeSums.of(many)).grams.shape[1] == 128


def test_given_rewards_are_read_by_offer_and_cell() -> None:
    rows, _ = shop_log(count=50)
    by_offer = GivenRewards(np.array([0.1, 0.2, 0.3])).values(rows)
    assert by_offer.tolist() == [[0.1, 0.2, 0.3]] * 50
    place = np.tile([1.0, 3.0], 25)
    placed = replace(rows, contexts=Columns(50, {"position": place}))
    table = np.arange(6.0).reshape(3, 2)
    by_cell = GivenRewards(table, "position", [1, 3]).values(placed)
    assert by_cell[:2].tolist() == [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
    for make in (
        lambda: GivenRewards(table),
        lambda: GivenRewards(table, "position", [1]),
        lambda: GivenRewards(np.array([np.nan])),
        lambda: GivenRewards(np.zeros(2)).values(rows),
        lambda: GivenRewards(table, "position", [1, 2]).values(placed),
    ):
        with pytest.raises(InvalidInput, match=r"^table: "):
            make()


def test_a_name_that_is_none_is_an_error_that_lists_them() -> None:
    with pytest.raises(InvalidInput, match="'forest' is none of mean, ridge"):
        reward_learner_of("forest")
