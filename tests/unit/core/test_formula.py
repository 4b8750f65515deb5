"""Reward formulas: what they read, what they refuse, what they make."""

from __future__ import annotations

import math
import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Reward
from offer_optimizer.core.cel import Reference
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.feedback import BUILT_IN_KINDS
from offer_optimizer.core.formula import BY_KIND, FeedbackSummary, FormulaFault, RewardFormula, clip

KINDS = (*BUILT_IN_KINDS, "rating")
SILENCE = FeedbackSummary([], KINDS)


RATINGS = FeedbackSummary(
    [
        ("rating", 2.0, 7.5),
        ("click", 1.0, 8.0),
        ("rating", 5.0, 9.0),
        ("rating", -1.0, 10.0),
        ("rating", 3.0, 11.0),
    ],
    KINDS,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("count", 4.0),
        ("sum", 9.0),
        ("first", 2.0),
        ("last", 3.0),
        ("min", -1.0),
        ("max", 5.0),
        ("mean", 2.25),
        ("median", 2.5),
        ("delay_s", 7.5),
    ],
)
def test_a_formula_reads_each_aggregation_of_a_kind(name: str, expected: float) -> None:
    """What other services call earliest, last, average, median, sum, min and max, and how soon."""
    assert RATINGS.by_kind(name)["rating"] == expected
    assert RewardFormula(f"{name}.rating").evaluate(RATINGS, {}) == expected
    assert RATINGS.by_kind("count")["click"] == 1.0


def test_no_aggregation_of_a_formula_goes_untested() -> None:
    assert set(BY_KIND) == {"count", "sum", "first", "last", "min", "max", "mean", "median", "delay_s"}


def test_every_declared_kind_without_feedback_reads_zero_everywhere() -> None:
    for name in BY_KIND:
        assert SILENCE.by_kind(name) == dict.fromkeys(KINDS, 0.0)


def test_a_summary_leaves_out_kinds_that_are_not_declared() -> None:
    gone = FeedbackSummary([("gone", 1.0, 1.0)], KINDS)
    assert all(gone.by_kind(name) == SILENCE.by_kind(name) for name in BY_KIND)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=9))
def test_aggregations_agree_whatever_the_values(values: list[float]) -> None:
    summary = FeedbackSummary([("rating", value, 0.0) for value in values], KINDS)
    low, high = summary.by_kind("min")["rating"], summary.by_kind("max")["rating"]
    for name in ("first", "last", "mean", "median"):
        # The mean is rounded: by less than one part in 2^52.
        assert low - 1e-6 <= summary.by_kind(name)["rating"] <= high + 1e-6
    shuffled = FeedbackSummary([("rating", value, 0.0) for value in values[::-1]], KINDS)
    assert summary.by_kind("sum") == shuffled.by_kind("sum")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count.rating", 2.0),
        ("sum['rating'] / count.rating", 3.5),
        ("last.rating - first.rating", 3.0),
        ("count.rating > 0.0 ? 1.0 / (1.0 + delay_s.rating) : 0.0", 0.5),
        ("10.0 * count.click - offer.cost", -2.5),
        ("has(offer.margin) ? offer.margin : -1.0", -1.0),
    ],
)
def test_a_formula_reads_feedback_and_the_numbers_of_the_offer(text: str, expected: float) -> None:
    summary = FeedbackSummary([("rating", 2.0, 1.0), ("rating", 5.0, 3.0)], KINDS)
    assert RewardFormula(text).evaluate(summary, {"cost": 2.5}) == expected


def test_the_standard_formula_of_a_placement_compiles_and_rewards_a_click() -> None:
    formula = RewardFormula(Reward().formula)
    assert formula.evaluate(SILENCE, {}) == 0.0
    assert formula.evaluate(FeedbackSummary([("click", 1.0, 1.0)], KINDS), {}) == 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("count.click + 1", "write `count.click + 1.0`"),
        ("count.click > 0 ? 1 : 0", "write `count.click > 0.0 ? 1.0 : 0.0`"),
        ("1", "write `1.0`"),
        ("count.click > 0.0", "write `count.click > 0.0 ? 1.0 : 0.0`"),
        ("'a'", "must make a number (double), not string"),
        ("dyn(1.0)", "must make a number (double), not dyn"),
        ("", "at character 1"),
        ("1.0 +\n + nope", "at line 2 of the text"),
        ("clicks", "undeclared reference to 'clicks'"),
        ("1.0 + 'a'", "at character 5: `+` can't take (double, string)"),
        ("max(1.0, 2.0)", "undeclared reference to 'max'"),
        ("\ud800", "not valid text"),
        ("(" * 500 + "1.0" + ")" * 500, "recursion"),
    ],
)
def test_a_formula_that_cannot_be_served_is_refused_with_position_and_mend(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        RewardFormula(text)
    assert caught.value.field == "reward.formula"
    assert said in caught.value.problem


def test_integers_inside_texts_and_names_are_not_mended() -> None:
    with pytest.raises(InvalidInput, match=r"write `count\['a 1'\] \+ sum\.k2 \+ 3\.0`"):
        RewardFormula("count['a 1'] + sum.k2 + 3")


def test_a_formula_of_the_longest_length_compiles_and_one_byte_more_does_not() -> None:
    longest = "1.0" + " " * (limits.FORMULA_BYTES - 3)
    assert RewardFormula(longest).evaluate(SILENCE, {}) == 1.0
    with pytest.raises(
        InvalidInput, match=f"{limits.FORMULA_BYTES + 1} bytes, at most {limits.FORMULA_BYTES}"
    ):
        RewardFormula(longest + " ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("offer.cost", "there is no 'cost'"),
        ("count.nope", "there is no 'nope'"),
        ("1.0 / count.click", "inf"),
        ("double('nan')", "nan"),
        ("double('x')", "double"),
    ],
)
def test_a_result_that_is_no_finite_number_is_a_fault(text: str, said: str) -> None:
    with pytest.raises(FormulaFault, match=said):
        RewardFormula(text).evaluate(SILENCE, {})


def test_a_formula_that_loops_without_end_is_a_fault_and_not_a_stall() -> None:
    numbers = "[" + ",".join(["1.0"] * 50) + "]"
    text = "true"
    for depth in range(5):
        text = f"{numbers}.all(x{depth}, {text})"
    with pytest.raises(FormulaFault, match="budget"):
        RewardFormula(f"{text} ? 1.0 : 0.0").evaluate(SILENCE, {})


def test_references_are_names_by_either_spelling_without_texts_comments_and_methods() -> None:
    text = "count.click + count[\"form\"] + count['x']"
    text += " + double(count.size()) + ('count.no' == '' ? 1.0 : offer.cost) // sum.nothing"
    expected = [("count", "click"), ("count", "form"), ("count", "x"), ("offer", "cost")]
    assert RewardFormula(text).references() == tuple(Reference(*pair) for pair in expected)


def test_a_pickled_formula_works_again() -> None:
    formula = pickle.loads(pickle.dumps(RewardFormula("count.click")))  # noqa: S301  (our own)
    assert formula.text == "count.click"
    assert formula.evaluate(SILENCE, {}) == 0.0


def test_threads_may_share_a_formula() -> None:
    formula = RewardFormula("sum.rating - offer.cost")
    wrong: list[float] = []

    def work(value: float) -> None:
        summary = FeedbackSummary([("rating", value, 1.0)], KINDS)
        wrong.extend(r for _ in range(500) if (r := formula.evaluate(summary, {"cost": 1.0})) != value - 1.0)

    threads = [threading.Thread(target=work, args=(float(value),)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 0.0), st.floats(0.0, 1e9))
def test_clip_stays_in_range_and_says_whether_it_bit(value: float, low: float, high: float) -> None:
    bounded, bit = clip(value, low, high)
    assert low <= bounded <= high
    assert bit == (not low <= value <= high)


@given(st.text(max_size=60) | st.text("count.lik>0?1:()[]'\"+-*/ \n", max_size=60))
def test_any_text_compiles_or_is_refused_and_evaluates_finite_or_faults(text: str) -> None:
    try:
        value = RewardFormula(text).evaluate(SILENCE, {"cost": 1.0})
    except InvalidInput:
        return
    assert math.isfinite(value)
