"""The figures of a drive against figures worked out by hand."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from offer_optimizer.drive.summary import Mean, Summary, mean_of, summarise
from offer_optimizer.drive.table import Row, Table


def approx(value: float) -> Any:  # noqa: ANN401  (what pytest returns equals a float and is none)
    return pytest.approx(value)


def make_table(*rows: tuple[str, float]) -> Table:
    built = tuple(Row(number, arm, reward, {}, {}) for number, (arm, reward) in enumerate(rows, start=1))
    return Table(built, tuple(dict.fromkeys(row.arm for row in built)), frozenset())


def test_a_standard_error_is_the_sample_deviation_over_the_root_of_n() -> None:
    # 2, 4, 9: mean 5, squares 9 + 1 + 16 = 26, variance 13, se = sqrt(13 / 3)
    assert mean_of([2.0, 4.0, 9.0]) == Mean(3, 5.0, approx((13 / 3) ** 0.5))


def test_there_is_no_figure_without_values_and_no_error_of_one() -> None:
    assert mean_of([]) == Mean(0, None, None)
    assert mean_of([3.0]) == Mean(1, 3.0, None)


def test_a_drive_by_hand() -> None:
    table = make_table(("A", 1.0), ("A", 0.0), ("B", 1.0), ("B", 1.0), ("B", 0.0), ("A", 0.0))
    # Matched in driving order: 0, 0, 1, 1, 0; the last half is 1, 1, 0.
    matched = [(9, 0.0), (0, 0.0), (4, 1.0), (2, 0.0), (7, 1.0)]
    summary = summarise(table, matched)
    assert (summary.row_count, summary.matched.n, summary.matched.mean) == (6, 5, approx(0.4))
    assert summary.last_half == Mean(3, approx(2 / 3), approx(1 / 3))
    assert summary.arms["A"] == Mean(3, approx(1 / 3), approx(1 / 3))
    assert summary.arms["B"] == Mean(3, approx(2 / 3), approx(1 / 3))
    assert summary.uniform == approx(0.5)


def test_uniform_weighs_arms_and_not_rows() -> None:
    assert summarise(make_table(("A", 0.0), ("A", 0.0), ("A", 0.0), ("B", 1.0)), []).uniform == 0.5


def test_the_order_in_which_threads_report_does_not_matter() -> None:
    table = make_table(("A", 1.0))
    matched = [(position, float(position % 7)) for position in range(50)]
    shuffled = matched[:]
    random.Random(1).shuffle(shuffled)
    assert summarise(table, shuffled) == summarise(table, matched)


def test_the_object_has_exactly_the_promised_keys_and_is_valid_json_even_when_empty() -> None:
    printed = json.loads(json.dumps(summarise(make_table(("A", 1.0)), []).to_json(), allow_nan=False))
    assert list(printed) == ["rows", "matched", "mean", "mean_last_half", "se_last_half", "arms", "uniform"]
    assert printed["arms"] == {"A": {"n": 1, "mean": 1.0, "se": None}}
    assert (printed["matched"], printed["mean"], printed["se_last_half"]) == (0, None, None)


@pytest.mark.parametrize(
    ("mean", "se", "beginning"),
    [
        (0.71, 0.1, "Above uniform by more than 2 standard errors"),
        (0.70, 0.1, "Not above uniform"),
        (0.10, 0.1, "Not above uniform"),
        (0.90, 0.0, "No verdict"),
        (0.90, None, "No verdict"),
    ],
)
def test_the_verdict_wants_more_than_two_standard_errors(
    mean: float, se: float | None, beginning: str
) -> None:
    summary = Summary(10, Mean(10, mean, se), Mean(5, mean, se), {}, 0.5)
    assert summary.verdict().startswith(beginning)
