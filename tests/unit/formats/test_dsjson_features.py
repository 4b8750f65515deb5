"""JSON as features: every path has a name of its own, and the name says the path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.features import Features
from offer_optimizer.formats.dsjson_features import DEPTH, flatten, split_name
from offer_optimizer.formats.lines import LineProblem

keys = st.text(st.sampled_from("ab.\\["), min_size=1, max_size=4)
paths = st.lists(keys, min_size=1, max_size=3).map(tuple)


def nested(values: dict[tuple[str, ...], float]) -> dict[str, Any] | None:
    """Return an object with a number at every path; None where one path leads through another."""
    root: dict[str, Any] = {}
    for path, value in values.items():
        inner = root
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                return None
        if path[-1] in inner:
            return None
        inner[path[-1]] = value
    return root


@given(st.dictionaries(paths, st.floats(-9, 9), max_size=8))
def test_different_paths_have_different_names_and_names_say_their_paths(
    values: dict[tuple[str, ...], float],
) -> None:
    value = nested(values)
    if value is None:
        return
    found = {tuple(split_name(name)): number for name, number in flatten(value, "c").numbers}
    assert found == values


def test_types_become_categories_numbers_and_tags() -> None:
    value = {
        "user": {"age": 31, "city": "Bern", "is_new": True, "gone": None},
        "likes": ["b", "a", "b"],
        "scores": [0.5, 2],
        "wrapped": [{"x": 1}, {"x": 2}],
        "_synthetic": False,
        "words": {"_text": "free shipping"},
    }
    assert flatten(value, "c") == Features(
        categories=(("user.city", "Bern"),),
        numbers=(
            ("scores[0]", 0.5),
            ("scores[1]", 2.0),
            ("user.age", 31.0),
            ("user.is_new", 1.0),
            ("wrapped.x", 1.0),
            ("wrapped[1].x", 2.0),
        ),
        tags=(("likes", ("a", "b")), ("words._text", ("free", "shipping"))),
    )


def test_what_is_to_be_left_out_is_not_looked_at() -> None:
    value = {"a": {"x": 1e300, "y": 1}, "b": ["t"], "deep": {"x": 1e300}}
    assert flatten(value, "c", {"a.x", "b", "deep"}) == Features(numbers=(("a.y", 1.0),))


def test_depth_is_limited_exactly() -> None:
    value: dict[str, Any] = {"x": 1}
    for _ in range(DEPTH - 1):
        value = {"a": value}
    assert flatten(value, "c").count() == 1
    with pytest.raises(LineProblem, match=f"is deeper than {DEPTH}"):
        flatten({"a": value}, "c")


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(LineProblem, match="c: a key in 'a' is empty"):
        flatten({"a": {"": 1}}, "c")
