"""What placements say of their windows: how long, whose clock decides, and what ends them early."""

from __future__ import annotations

import pytest

from offer_optimizer.core.catalog import Placement
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.policy.epoch import epoch_of
from tests.unit.core.small_catalog import SMALL, only_problem, replaced


def placement(lines: str) -> Placement:
    document = replaced("- id: p", "- id: p\n    " + lines.replace("; ", "\n    "))
    return parse_catalog(document).placements[0]


def test_the_time_of_arrival_decides_and_nothing_ends_a_window_unless_a_placement_says_so() -> None:
    standard = parse_catalog(SMALL).placements[0]
    assert (standard.trust_occur_time, standard.grace_s, standard.close_on) == (False, 0.0, ())


def test_trust_grace_and_terminal_kinds_arrive() -> None:
    found = placement("trust_occur_time: true; grace: 2h; close_on: [conversion, rating]")
    assert (found.trust_occur_time, found.grace_s) == (True, 7200.0)
    assert found.close_on == ("conversion", "rating")


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1.0), ("90d", 90 * 86400.0)])
def test_windows_from_one_second_to_ninety_days_are_taken(text: str, seconds: float) -> None:
    assert placement(f"window: {text}").window_s == seconds


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0.0), ("7d", 7 * 86400.0)])
def test_a_grace_up_to_seven_days_is_taken(text: str, seconds: float) -> None:
    assert placement(f"trust_occur_time: true; grace: {text}").grace_s == seconds


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("grace: 2h", 'field "grace": needs trust_occur_time: true; without it the time of arrival decides'),
        ("trust_occur_time: false; grace: 2h", 'field "grace": needs trust_occur_time: true'),
        ("trust_occur_time: true; grace: 7.01d", 'field "grace": must be from 0s to 7d (is "7.01d")'),
        ("trust_occur_time: maybe", 'field "trust_occur_time": must be true or false (is "maybe")'),
        ("close_on: conversion", 'field "close_on": must be a list'),
        ("close_on: [shown]", 'field "close_on": "shown" is no answer, so it can\'t end the window'),
        (
            "close_on: [ratings]",
            'field "close_on": there is no kind of feedback "ratings"; did you mean "rating"?',
        ),
        ("close_on: [zzz]", 'there is no kind of feedback "zzz"; declare it under kinds'),
        ("close_on: [click, click]", '"click" is listed twice'),
    ],
)
def test_a_defect_is_named_with_what_would_be_right(lines: str, said: str) -> None:
    problem = only_problem(replaced("- id: p", "- id: p\n    " + lines.replace("; ", "\n    ")))
    assert 'placement "p"' in problem
    assert said in problem


def test_what_changes_which_feedback_makes_the_reward_is_another_epoch() -> None:
    standard = placement("policy: uniform")
    epochs = [
        standard,
        placement("policy: uniform; trust_occur_time: true"),
        placement("policy: uniform; trust_occur_time: true; grace: 2h"),
        placement("policy: uniform; close_on: [conversion]"),
    ]
    assert len({epoch_of(found).id for found in epochs}) == len(epochs)


def test_a_placement_that_says_none_of_it_keeps_the_epoch_it_had() -> None:
    """Models that were learned before these could be said go on."""
    assert "joining" not in epoch_of(placement("policy: uniform")).description
