"""JSON for vw --dsjson: numbers as VW reads our text, and every feature under the name it has there."""

from __future__ import annotations

import math
import random

import pytest
import vowpalwabbit
from hypothesis import given
from hypothesis import strategies as st
from vowpalwabbit.pyvw import pylibvw

from offer_optimizer.core.features import Features
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.vw_json import (
    action_namespaces,
    context_namespaces,
    label_value,
    number_as_read,
)
from offer_optimizer.policy.vw_native import action_line, context_line, feature_count
from offer_optimizer.policy.vw_text import feature_number
from tests.conftest import Size

CONTEXT = Features(
    categories=(("ch:annel", "e mail"), ("empty", "")),
    numbers=(("visits", 2.5),),
    tags=(("likes", ("a", "ö")),),
)


def test_numbers_are_to_the_bit_what_vw_reads_out_of_our_text(size: Size) -> None:
    workspace = vowpalwabbit.Workspace(arg_list=["--cb_explore_adf", "--quiet", "--no_stdin"])
    label_type = workspace.get_label_type().value
    chance = random.Random(1)
    for _ in range(size.pick(test=3000, ci=20_000, proof=200_000)):
        number = math.copysign(10.0 ** chance.uniform(-7, 9), chance.random() - 0.5)
        digits = feature_number(number)
        parsed = pylibvw.example(workspace, label_type, f"shared |c x:{digits}")
        # VW drops a feature that is zero.
        read = parsed.feature_weight(ord("c"), 0) if parsed.num_features_in(ord("c")) else 0.0
        assert number_as_read(digits) == read, digits


@given(st.floats(-1.0, 1.0))
def test_labels_stay_what_they_are_but_for_the_last_bits_of_float32(number: float) -> None:
    assert abs(label_value(number) - number) <= 1e-6 * abs(number) + 5e-10


def test_features_have_the_names_that_our_text_has() -> None:
    assert context_namespaces(CONTEXT) == {
        "c": {
            "cch%3Aannel=": "e%20mail",
            "cempty=": "",
            "nvisits": number_as_read(feature_number(2.5)),
            "tlikes=a": True,
            "tlikes=%C3%B6": True,
        }
    }
    assert action_namespaces(Action("a|b", Features((("kind", "x"),)))) == {
        "o": {"i=": "a%7Cb"},
        "a": {"ckind=": "x"},
    }
    assert action_namespaces(Action("a", Features())) == {"o": {"i=": "a"}}


@pytest.mark.parametrize(
    ("features", "line"),
    [
        (Features((("user.city", "New York"),)), "|user cityNew_York"),
        (Features((("city", "Bern\n|x:1"),)), "| cityBern%0A_x_1"),
        (Features((), (("a.b.x", 0.1),)), "|b x:0.1"),
        (Features((), (("s.scores[2]", 1e-9),)), "|scores 2:0.000000001"),
        (Features((), (), (("user.likes", ("a", "b")),)), "|likes a b"),
        (Features(), "|"),
    ],
    ids=["category", "default", "number", "list", "tags", "nothing"],
)
def test_native_lines_have_the_namespaces_that_vw_makes_of_json(features: Features, line: str) -> None:
    assert action_line(Action("any", features)) == line
    assert context_line(features) == f"shared {line}"


def test_features_are_counted_as_vw_counts_them() -> None:
    shared, offer = Features((("u.x", "1"),), (("u.zero", 0.0),)), Features((("a.f", "1"),))
    assert feature_count(shared, (Action("1", offer), Action("2", Features()))) == 2 + 1 + 1 + 1
