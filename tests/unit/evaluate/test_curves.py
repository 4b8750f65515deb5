"""Weights and learning curves keep their sums, however the rows come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.evaluate.learning_curve import STRETCHES, LearningCurve
from offer_optimizer.evaluate.svg import Line, Mark, bar_chart, interval_chart, line_chart
from offer_optimizer.evaluate.weights import EDGES, WeightHistogram


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_a_curve_keeps_all_sums_in_fixed_memory(batches: list[int]) -> None:
    curve = LearningCurve(stretch=4)
    count = sum(batches)
    rows = np.arange(count, dtype=np.float64)
    weight, reward = np.mod(rows, 3.0), np.mod(rows, 2.0)
    start = 0
    for size in batches:
        curve.add(weight[start : start + size], reward[start : start + size])
        start += size
    points = curve.points()
    assert 1 <= len(points) <= STRETCHES
    assert points[-1].end_row == count
    lengths = np.diff([0, *(point.end_row for point in points)])
    assert np.dot(lengths, [point.logged for point in points]) == pytest.approx(reward.sum())


def test_a_few_rows_at_the_end_are_no_stretch_of_their_own() -> None:
    curve = LearningCurve(stretch=4)
    curve.add(np.ones(9), np.ones(9))
    assert [point.end_row for point in curve.points()] == [4, 9]


def test_a_curve_without_weight_has_no_value() -> None:
    curve = LearningCurve()
    curve.add(np.zeros(3), np.ones(3))
    assert curve.points()[0].value is None


@given(st.lists(st.floats(0.0, 1e6), max_size=30), st.integers(0, 30))
def test_weights_are_all_counted_and_parts_add_up(weights: list[float], cut: int) -> None:
    weight = np.array(weights)
    whole = WeightHistogram.of(weight)
    parts = WeightHistogram.of(weight[:cut]) + WeightHistogram.of(weight[cut:])
    assert (whole.counts == parts.counts).all()
    assert whole.counts.sum() == len(weights)
    assert whole.counts[0] == (weight == 0.0).sum()


def test_each_bin_has_a_label() -> None:
    labels = WeightHistogram.empty().labels()
    assert len(labels) == len(EDGES) + 1
    assert labels[:2] == ["0", "≤ 1/64"]
    assert labels[WeightHistogram.of(np.array([3.0])).counts.argmax()] == "≤ 4"


def test_charts_escape_their_labels() -> None:
    charts = [
        interval_chart([Mark("<b>", 0.5, 0.4, 0.6, 0), Mark("none", None, None, None, 1)], "<axis>"),
        bar_chart(["<1"], [3], "<axis>", 0),
        line_chart([Line("<b>", [(1, 0.5), (2, 0.5)], 0)], "<x>", "<y>"),
    ]
    for chart in charts:
        assert "<b>" not in chart
        assert "<axis>" not in chart
        assert chart.startswith("<svg")
    assert interval_chart([Mark("none", None, None, None, 0)], "") == line_chart([], "", "") == ""
