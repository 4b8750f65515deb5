"""The bake-off's standings: regret, ranks and intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.bakeoff import standings
from benchmarks.bakeoff.passes import Facts, Figures
from benchmarks.bakeoff.race import Result
from benchmarks.bakeoff.tables import TABLES


def result(reward: float, reached: int | None = None) -> Result:
    return Result(reward, 100, 1.0, 1.0, 1, (reward,), reached)


FIGURES = Figures(
    {
        "good": {"corner": [result(0.4, 10), result(0.3, None), result(0.4, 30)]},
        "equal": {"corner": [result(0.4), result(0.2), result(0.3)]},
        "even": {"corner": [result(0.1), result(0.1), result(0.1)]},
    },
    {"corner": [Facts(100, 5, 0.1, 0.3, 0.5)] * 3},
)


def test_regret_is_zero_for_the_best_and_one_for_an_even_choice() -> None:
    table = Facts(178, 3, 1 / 3, 0.4, None)
    assert standings.regret("wine", table, TABLES["wine"]) == 0.0
    assert standings.regret("wine", table, 1 / 3) == pytest.approx(1.0)
    assert standings.regret("corner", FIGURES.facts["corner"][0], 0.5) == 0.0
    assert standings.regret("hillstrom", Facts(9, 3, 0.1, 0.2, None), 0.1) is None


def test_equal_rewards_share_their_ranks() -> None:
    ranks = [standings.mean_rank(FIGURES, who, ["corner"]) for who in FIGURES.passes]
    assert ranks == pytest.approx([(1.5 + 1 + 1) / 3, (1.5 + 2 + 2) / 3, 3.0])


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """1,000 sets of three normal values: 95 % covered, within four standard errors (0.028)."""
    values = np.random.default_rng(5).standard_normal((1000, 3))
    means = [standings.mean(row.tolist()) for row in values]
    covered = np.mean([abs(mean.value) <= (mean.half_width or 0.0) for mean in means])
    assert covered == pytest.approx(0.95, abs=0.028)
    assert standings.mean([2.0]).half_width is None


def test_never_is_later_than_any_round() -> None:
    assert standings.reached(FIGURES, "good", "corner") == 30
    assert math.isinf(standings.reached(FIGURES, "even", "corner"))
