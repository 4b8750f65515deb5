"""The text that VW sees."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from offer_optimizer.core.features import EMPTY, Features, build_features
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.vw_text import action_line, context_line, labelled
from tests.policies.worlds import NASTY, any_features

TOKEN = re.compile(
    r"(c[A-Za-z0-9_.~%-]*=[A-Za-z0-9_.~%-]*|t[A-Za-z0-9_.~%-]*=[A-Za-z0-9_.~%-]*|n[A-Za-z0-9_.~%-]*:-?\d+\.\d+)"
)


def test_a_context_is_one_line_with_a_letter_for_each_type() -> None:
    context = build_features(
        {"channel": "email"}, {"visits": 3}, {"tag": ["b", "a"]}, where="context", limit=10
    )
    assert context_line(context) == "shared |c cchannel=email nvisits:1.8184465 ttag=a ttag=b"


def test_an_empty_context_still_has_a_bar() -> None:
    assert context_line(EMPTY) == "shared |c"


def test_an_offer_is_its_identity_and_its_attributes() -> None:
    assert action_line(Action("c-10", Features((("kind", "coupon"),)))) == "|o i=c-10 |a ckind=coupon"


def test_an_offer_without_attributes_is_not_empty() -> None:
    assert action_line(Action("c-10", EMPTY)) == "|o i=c-10"


def test_a_label_stands_before_the_offer() -> None:
    assert labelled(action_line(Action("a", EMPTY)), -1, 0.25) == "0:-1.000000000:0.250000000 |o i=a"


@pytest.mark.parametrize("text", NASTY)
def test_nothing_in_a_name_or_value_is_syntax(text: str) -> None:
    line = context_line(Features(((text, text),), ((text, 1.0),), ((text, (text,)),)))
    head, *tokens = line.split(" ")
    assert head == "shared"
    assert tokens[0] == "|c"
    assert len(tokens) == 4
    assert all(TOKEN.fullmatch(token) for token in tokens[1:])


@given(any_features())
def test_every_token_is_well_formed(features: Features) -> None:
    tokens = context_line(features).split(" ")[2:]
    assert len(tokens) == features.count()
    assert all(TOKEN.fullmatch(token) for token in tokens)


@given(any_features(), any_features())
def test_different_names_and_values_give_different_text(one: Features, other: Features) -> None:
    def named(features: Features) -> object:
        return (
            features.categories,
            [name for name, _ in features.numbers],
            [(name, values) for name, values in features.tags if values],
        )

    def text(features: Features) -> str:
        return context_line(
            Features(features.categories, tuple((n, 0.0) for n, _ in features.numbers), features.tags)
        )

    assert (text(one) == text(other)) is (named(one) == named(other))


def test_an_equals_sign_does_not_move_the_border_of_name_and_value() -> None:
    lines = {context_line(Features((pair,))) for pair in (("a", "b=c"), ("a=b", "c"), ("a%3Db", "c"))}
    assert len(lines) == 3


def test_numbers_are_squashed_in_order_and_bounded() -> None:
    def read(number: float) -> float:
        return float(context_line(Features((), (("x", number),))).split(":")[1])

    values = [read(number) for number in (-1e9, -1.0, 0.0, 0.001, 1.0, 100.0, 1e9)]
    assert values == sorted(values)
    assert values[-1] == -values[0] < 22.0
    assert read(0.01) == pytest.approx(0.01, rel=1e-4)
