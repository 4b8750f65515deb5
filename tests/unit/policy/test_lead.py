"""Who is ahead: slow to change its mind, never in a step, and back again where the evidence turns."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.policy.lead import ENOUGH, SHARE_STEP, Lead

errors = st.floats(-1.0, 1.0)
rounds = st.lists(st.tuples(errors, errors, st.floats(1.0, 16.0)), max_size=60)


def taught(lead: Lead, count: int, first: float, second: float, seed: int = 1) -> Lead:
    """Teach errors of two predictions that miss the truth by so much, of rewards that are 0 or 1."""
    chance = random.Random(seed)
    for _ in range(count):
        reward = float(chance.random() < 0.3)
        side = chance.choice([-1.0, 1.0])
        lead.learn(reward - 0.3 + side * first, reward - 0.3 + side * second, 1.0)
    return lead


def test_the_first_answers_until_the_second_is_better_and_answers_again_once_it_is_worse() -> None:
    lead = Lead()
    assert (lead.share, lead.is_second, lead.score) == (0.0, False, 0.0)
    assert taught(lead, 600, 0.25, 0.05).share == 1.0
    assert taught(lead, 2500, 0.05, 0.25).share == 0.0


def test_equals_hardly_ever_change_places() -> None:
    changes, lead = 0, Lead()
    for seed in range(200):
        before = lead.is_second
        changes += taught(lead, 50, 0.1, 0.1, seed).is_second is not before
    assert changes <= 10


def test_the_second_needs_more_than_luck() -> None:
    lead = Lead()
    lead.learn(1.0, 0.0, 1.0)
    assert lead.score == pytest.approx(1.0)
    assert not lead.is_second
    while lead.score <= ENOUGH:
        lead.learn(0.5, 0.0, 1.0)
    assert lead.is_second
    assert lead.share == SHARE_STEP


@given(rounds=rounds, extreme=st.tuples(errors, errors, st.floats(1.0, 16.0)))
def test_one_example_says_at_most_one_standard_error_and_moves_the_share_one_step(
    rounds: list[tuple[float, float, float]], extreme: tuple[float, float, float]
) -> None:
    lead = Lead()
    for each in rounds:
        lead.learn(*each)
    score, share = lead.score, lead.share
    lead.learn(*extreme)
    assert abs(lead.score) <= math.hypot(1.0, score) + 1e-9
    assert abs(lead.share - share) <= SHARE_STEP
    assert 0.0 <= lead.share <= 1.0


@given(rounds=rounds, later=rounds)
def test_what_is_restored_goes_on_as_if_never_stopped(
    rounds: list[tuple[float, float, float]], later: list[tuple[float, float, float]]
) -> None:
    whole, restored = Lead(), Lead()
    for each in rounds:
        whole.learn(*each)
    restored.restore(whole.describe())
    for each in later:
        whole.learn(*each)
        restored.learn(*each)
    assert restored.describe() == whole.describe()


@pytest.mark.parametrize(
    "change", [{"share": 1.1}, {"share": math.nan}, {"sum": math.inf}, {"squares": -1.0}], ids=str
)
def test_evidence_out_of_range_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(PolicyFault, match="out of range"):
        Lead().restore({**Lead().describe(), **change})
