"""What holds for the auto policy beyond the conformance suite: when it goes over, and a rebuild with it."""

from __future__ import annotations

import pytest

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.core.features import EMPTY
from offer_optimizer.policy import members, registry
from offer_optimizer.policy.contract import Action, Example, Policy, remarks
from tests.policies.worlds import OFFERS, features


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let linear outgrow its covariances at a dozen offers and forty columns."""
    monkeypatch.setattr(members, "DENSE_NUMBERS", 16 * 40 * 40)


def wide(step: int) -> Example:
    """Return an example that brings a new offer or column every other step."""
    offers = (Action(f"offer-{step % 30}", EMPTY), Action("other", EMPTY))
    return Example(features(page=f"page-{step // 2 % 60}"), offers, step % 2, 0.5, float(step % 3 == 0))


def grown(policy: Policy, count: int) -> Policy:
    for step in range(count):
        policy.learn(wide(step))
    return policy


def test_linear_answers_until_it_is_outgrown_then_vw_does_and_both_are_said() -> None:
    policy = registry.create("auto", {}, ())
    said = [remarks(policy)[0]]
    for step in range(300):
        policy.learn(wide(step))
        if remarks(policy)[0] != said[-1]:
            said.append(remarks(policy)[0])
    assert [text.split(":")[1].split(" at ")[0].split(" since ")[0] for text in said] == [
        " linear answers",
        " linear answers until vw does",
        " vw answers",
    ]
    assert "too many for linear" in said[-1]


def test_a_rebuild_goes_over_at_the_same_example_and_gives_the_same_bytes() -> None:
    whole = registry.create("auto", {}, ())
    stopped = registry.create("auto", {}, ())
    for step in range(300):
        whole.learn(wide(step))
        if step % 20 == 0:
            stopped = registry.load("auto", {}, (), stopped.save())
        stopped.learn(wide(step))
        assert remarks(stopped) == remarks(whole)
    assert stopped.save() == whole.save()


def test_with_a_half_life_linear_stays_whatever_its_size() -> None:
    policy = grown(registry.create("auto", {"half_life": 500.0}, ()), 300)
    assert remarks(policy)[0] == "auto: linear answers"
    assert len(remarks(policy)) > 1


def test_a_state_cut_short_is_refused_in_every_stage() -> None:
    for count in (5, 120, 300):
        state = grown(registry.create("auto", {}, ()), count).save()
        for length in (10, 100, len(state) - 1):
            with pytest.raises(PolicyFault):
                registry.load("auto", {}, (), state[:length])


def test_a_closed_policy_answers_nothing_more() -> None:
    policy = grown(registry.create("auto", {}, ()), 300)
    policy.close()
    with pytest.raises(PolicyFault, match="closed"):
        policy.pmf(EMPTY, OFFERS)
