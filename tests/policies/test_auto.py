"""What holds for the auto policy beyond the conformance suite: who answers, when that changes, rebuilds."""

from __future__ import annotations

import random
from typing import Final

import numpy as np
import pytest

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.core.features import EMPTY
from offer_optimizer.policy import members, registry
from offer_optimizer.policy.contract import Action, Example, Policy, remarks
from tests.policies.worlds import OFFERS, draw_examples, features

STALL: Final = tuple(Action(f"offer-{n}", EMPTY) for n in range(200))
"""More offers than examples try often, without attributes: what all have in common has to be learned."""


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let linear outgrow its covariances at a dozen offers and forty columns."""
    monkeypatch.setattr(members, "DENSE_NUMBERS", 16 * 40 * 40)


small = pytest.mark.usefixtures("_small")


def wide(step: int) -> Example:
    """Return an example that brings a new offer or column every other step."""
    offers = (Action(f"offer-{step % 30}", EMPTY), Action("other", EMPTY))
    return Example(features(page=f"page-{step // 2 % 60}"), offers, step % 2, 0.5, float(step % 3 == 0))


def stall(count: int) -> list[Example]:
    """Return examples logged by uniform where the device decides what any offer earns: 0.2, 0.4 or 0.6."""
    chance = random.Random(1)
    examples = []
    for _ in range(count):
        device, chosen = chance.randrange(3), chance.randrange(len(STALL))
        reward = float(chance.random() < 0.2 + 0.2 * device)
        context = features(device=f"device-{device}", channel=f"channel-{chance.randrange(3)}")
        examples.append(Example(context, STALL, chosen, 1 / len(STALL), reward))
    return examples


def grown(policy: Policy, count: int) -> Policy:
    for step in range(count):
        policy.learn(wide(step))
    return policy


def test_linear_answers_first_and_keeps_answering_where_it_predicts_better() -> None:
    policy, linear = registry.create("auto", {}, ()), registry.create("linear", {}, ())
    for example in draw_examples(1000, seed=1):
        policy.learn(example)
        linear.learn(example)
    asked = features(device="mobile")
    assert remarks(policy)[0].startswith(
        "auto: linear answers: linear predicted the last rewards better, by "
    )
    assert np.array_equal(policy.pmf(asked, OFFERS), linear.pmf(asked, OFFERS))


def test_where_vw_predicts_better_the_choice_goes_over_to_it_in_small_steps() -> None:
    policy, vw = registry.create("auto", {}, ()), registry.create("vw", {}, ())
    alone = [features(device="device-1"), *[features(device=f"device-{n}") for n in range(3)]]
    said, shares = [], []
    for example in stall(400):
        policy.learn(example)
        vw.learn(example)
        said.append(remarks(policy)[0].split(":")[1].split(" since ")[0])
        shares.append(policy._lead.share)  # type: ignore[attr-defined]
        mixed = policy.pmf(alone[0], STALL)
        assert abs(float(mixed.sum()) - 1.0) <= 1e-12
    assert said[0] == " linear answers"
    assert said[-1] == " vw answers"
    assert np.abs(np.diff(shares)).max() <= 1 / 32
    assert shares[-1] == 1.0
    for asked in alone:
        assert np.array_equal(policy.pmf(asked, STALL), vw.pmf(asked, STALL))


@small
def test_past_the_sizes_of_linear_vw_answers_for_ever_and_linear_is_let_go() -> None:
    policy = registry.create("auto", {}, ())
    said, sizes = [remarks(policy)[0]], []
    for step in range(300):
        policy.learn(wide(step))
        sizes.append(len(policy.save()) if step % 50 == 49 else 0)
        if remarks(policy)[0] != said[-1] and "outgrown" not in said[-1]:
            said.append(remarks(policy)[0])
    assert said[0].startswith("auto: linear answers")
    assert "too many for linear" in said[-1]
    assert said[-1].startswith("auto: vw answers since example ")
    assert sizes[-1] < max(sizes) / 4


@pytest.mark.parametrize("world", ["wide", "stall"])
@small
def test_a_rebuild_goes_over_at_the_same_example_and_gives_the_same_bytes(world: str) -> None:
    examples = stall(250) if world == "stall" else [wide(step) for step in range(250)]
    whole = registry.create("auto", {}, ())
    stopped = registry.create("auto", {}, ())
    for step, example in enumerate(examples):
        whole.learn(example)
        if step % 20 == 0:
            stopped = registry.load("auto", {}, (), stopped.save())
        stopped.learn(example)
        assert remarks(stopped) == remarks(whole)
    assert stopped.save() == whole.save()


@small
def test_with_a_half_life_linear_stays_whatever_its_size() -> None:
    policy = grown(registry.create("auto", {"half_life": 500.0}, ()), 300)
    assert remarks(policy)[0] == "auto: linear answers: it has a half-life"
    assert len(remarks(policy)) > 1


@small
def test_a_state_cut_short_is_refused_in_every_stage() -> None:
    for count in (5, 120, 300):
        state = grown(registry.create("auto", {}, ()), count).save()
        for length in (10, 100, len(state) - 1):
            with pytest.raises(PolicyFault):
                registry.load("auto", {}, (), state[:length])


@small
@pytest.mark.parametrize("count", [5, 300])
def test_a_closed_policy_answers_nothing_more(count: int) -> None:
    policy = grown(registry.create("auto", {}, ()), count)
    policy.close()
    for call in (lambda: policy.pmf(EMPTY, OFFERS), lambda: policy.learn(wide(1)), policy.save):
        with pytest.raises(PolicyFault, match="closed"):
            call()
