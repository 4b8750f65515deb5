"""Logged probabilities against the choices made: right ones pass, wrong ones are refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2, kstest

from offer_optimizer.core.log import LogRows
from offer_optimizer.evaluate.calibration import CHANCE_CELLS, Calibration
from tests.unit.evaluate.log_rows import drawn_rows, some_rows

COUNT = 6000


def pmfs(chance: np.random.Generator, count: int = COUNT, offers: int = 4) -> NDArray[np.float64]:
    return 0.9 * chance.dirichlet(np.full(offers, 0.5), count) + 0.1 / offers


def right_log(seed: int, count: int = COUNT) -> LogRows:
    chance = np.random.default_rng(seed)
    return drawn_rows(pmfs(chance, count), chance)


@pytest.mark.parametrize("kept", [1.0, 0.4])
def test_a_right_log_is_not_refused_and_its_p_values_are_even(kept: float) -> None:
    """150 logs, thinned or not; Kolmogorov-Smirnov of the table by offer, false alarms 1e-3."""
    found = []
    for seed in range(150):
        rows = right_log(seed, 1000)
        if kept < 1.0:
            chances = np.where(rows.chosen == 1, kept, 1.0)
            which = np.flatnonzero(np.random.default_rng([seed, 1]).random(1000) < chances)
            rows = some_rows(replace(rows, weight=1.0 / chances), which)
        calibration = Calibration.of(rows)
        assert calibration.refusal() == ""
        square, freedom = calibration.by_offer.test()
        assert freedom == 3
        found.append(chi2.sf(square, freedom))
    assert kstest(found, "uniform").pvalue > 1e-3


def argmax_logged_as_softmax(rows: LogRows) -> LogRows:
    assert rows.pmf is not None
    best = rows.pmf.argmax(axis=1)
    return replace(
        rows, chosen=best.astype(np.int64), propensity=rows.pmf[np.arange(len(best)), best].astype(np.float64)
    )


def always_one_offer_more_often(rows: LogRows) -> LogRows:
    assert rows.pmf is not None
    chosen = np.where(np.arange(len(rows)) % 20 == 0, 2, rows.chosen)
    return replace(rows, chosen=chosen, propensity=rows.pmf[np.arange(len(rows)), chosen].astype(np.float64))


@pytest.mark.parametrize("spoil", [argmax_logged_as_softmax, always_one_offer_more_often])
def test_choices_that_were_made_otherwise_are_refused(spoil: Callable[[LogRows], LogRows]) -> None:
    refused = Calibration.of(spoil(right_log(1))).refusal()
    assert "are not those with which was chosen" in refused
    assert "degrees of freedom" in refused


def test_a_propensity_that_is_not_its_pmfs_is_refused() -> None:
    rows = right_log(1)
    wrong = replace(rows, propensity=np.where(np.arange(COUNT) < 100, 0.5, rows.propensity))
    refused = Calibration.of(wrong).refusal()
    assert "in 100 of 6000 decisions the propensity is not the chosen offer's" in refused
    assert Calibration.of(replace(rows, propensity=rows.propensity * (1 + 1e-5))).refusal() == ""


def test_parts_add_up_to_the_whole() -> None:
    rows = right_log(2)
    total = Calibration.empty()
    for part in np.array_split(np.arange(COUNT), 7):
        total += Calibration.of(some_rows(rows, part))
    whole = Calibration.of(rows)
    assert total.row_count == whole.row_count == COUNT
    assert total.p_value == pytest.approx(whole.p_value)
    assert total.misplaced_share == pytest.approx(whole.misplaced_share)


def test_a_long_log_with_rounded_probabilities_is_right_enough() -> None:
    """One decimal in a log of 200,000: chi-square sees it, and nobody's estimate does."""
    chance = np.random.default_rng(3)
    exact = np.tile([0.507, 0.493], (200_000, 1))
    rows = drawn_rows(exact, chance)
    rounded = np.round(exact, 1).astype(np.float32)
    logged = replace(
        rows, pmf=rounded, propensity=rounded[np.arange(len(rows)), rows.chosen].astype(np.float64)
    )
    calibration = Calibration.of(logged)
    assert calibration.p_value < 1e-6
    assert calibration.refusal() == ""


def test_a_log_thinned_by_its_choices_is_right_with_its_weights_and_not_without() -> None:
    rows = right_log(4)
    chance = np.random.default_rng(5)
    kept = np.where(rows.chosen == 0, 0.3, 1.0)
    which = np.flatnonzero(chance.random(COUNT) < kept)
    thinned = some_rows(replace(rows, weight=1.0 / kept), which)
    assert Calibration.of(thinned).refusal() == ""
    assert "are not where" in Calibration.of(replace(thinned, weight=None)).refusal()


def test_without_pmfs_or_rows_or_chance_there_is_nothing_to_say() -> None:
    rows = right_log(6, 50)
    for said in (
        Calibration.of(replace(rows, pmf=None)),
        Calibration.of(some_rows(rows, np.empty(0, np.int64))),
        Calibration.empty(),
    ):
        assert (said.row_count, said.p_value, said.refusal()) == (0, 1.0, "")
    sure = drawn_rows(np.tile([1.0, 0.0], (500, 1)), np.random.default_rng(1))
    assert Calibration.of(sure).p_value == 1.0


def test_offers_beyond_the_cells_share_them_and_tiny_probabilities_the_last() -> None:
    chance = np.random.default_rng(7)
    wide = drawn_rows(pmfs(chance, 3000, 50), chance)
    assert Calibration.of(wide).refusal() == ""
    tiny = drawn_rows(np.tile([1e-6, 1.0 - 1e-6], (100, 1)), chance)
    assert Calibration.of(tiny).by_chance.expected[CHANCE_CELLS - 1] == pytest.approx(1e-4, rel=1e-3)
