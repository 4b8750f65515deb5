"""What holds for the numpy policies beyond the conformance suite: bounds, damage, pauses, drift."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest

from offer_optimizer.core.errors import InvalidInput, PolicyFault
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.policy import members, registry
from offer_optimizer.policy.contract import Action, Example, Policy, remarks
from tests.policies.worlds import OFFERS, draw_examples, features

NUMPY_POLICIES: Final = ("linear", "thompson", "auto")


def taught(name: str, count: int = 200) -> Policy:
    policy = registry.create(name, {}, ())
    for example in draw_examples(count, seed=1):
        policy.learn(example)
    return policy


@pytest.mark.parametrize("name", NUMPY_POLICIES)
def test_a_damaged_state_is_refused_wherever_it_is_cut(name: str) -> None:
    state = taught(name, 20).save()
    for length in [0, 1, 10, 40, 60, 100, len(state) // 2, len(state) - 1]:
        with pytest.raises(PolicyFault):
            registry.load(name, {}, (), state[:length])
    with pytest.raises(PolicyFault):
        registry.load(name, {}, (), state + b"\0")
    with pytest.raises(PolicyFault, match="expected"):
        registry.load(name, {"half_life": 50.0}, (), state)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_number_that_is_not_finite_is_neither_saved_nor_loaded() -> None:
    policy = taught("linear", 20)
    state = policy.save()
    poisoned = state[:-8] + np.array([math.nan]).tobytes()
    with pytest.raises(PolicyFault, match="not finite"):
        registry.load("linear", {}, (), poisoned)
    policy._members[1].blocks.weights[0, 0] = math.inf  # type: ignore[attr-defined]
    with pytest.raises(PolicyFault, match="not finite"):
        policy.save()
    with pytest.raises(PolicyFault):
        policy.pmf(EMPTY, OFFERS)


@pytest.mark.parametrize("name", NUMPY_POLICIES)
def test_an_example_out_of_range_is_not_learned(name: str) -> None:
    policy = taught(name, 5)
    before = policy.save()
    for wrong in ({"reward": math.nan}, {"propensity": 0.0}, {"weight": 0.5}, {"chosen": 9}):
        legal = {"chosen": 0, "propensity": 0.5, "reward": 1.0, "weight": 1.0}
        with pytest.raises(InvalidInput, match=f"example.{next(iter(wrong))}"):
            policy.learn(Example(EMPTY, OFFERS[:2], **{**legal, **wrong}))  # type: ignore[arg-type]
    assert policy.save() == before
    policy.close()
    with pytest.raises(PolicyFault, match="closed"):
        policy.pmf(EMPTY, OFFERS)


@pytest.mark.parametrize("name", NUMPY_POLICIES)
def test_a_weight_counts_as_often_as_it_says_up_to_the_cap(name: str) -> None:
    """Three ordinary examples and one of weight 3 say nearly the same, which a weight of 1 does not."""

    def mass(weights: list[float]) -> float:
        policy = taught(name, 60)
        for weight in weights:
            policy.learn(Example(features(device="tv"), OFFERS, 3, 0.25, 1.0, weight))
        return float(policy.pmf(features(device="tv"), OFFERS)[3])

    assert mass([9.0]) > mass([3.0]) > mass([1.0])
    assert mass([16.0]) == mass([1e9])


def test_a_model_too_wide_falls_back_to_cheaper_members_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "DENSE_NUMBERS", 8 * 140 * 140)
    policy = registry.create("linear", {}, ())
    assert remarks(policy) == ()
    for example in draw_examples(100, seed=2):
        policy.learn(example)
    small = remarks(policy)
    for step in range(180):
        context = features(page=f"page-{step}")
        policy.learn(Example(context, (Action(f"offer-{step % 12}", EMPTY),), 0, 1.0, 1.0))
    assert small == ()
    assert [text.split(":")[0] for text in remarks(policy)] == ["kernel", "linear", "recent"]
    again = registry.load("linear", {}, (), policy.save())
    assert remarks(again) == remarks(policy)
    for each in (policy, again):
        each.learn(draw_examples(1, seed=3)[0])
    assert again.save() == policy.save()


def test_the_state_stays_bounded_whatever_comes() -> None:
    """Thousands of values of a category and as many inline candidates: three regressions, and names."""
    policy = registry.create("linear", {}, ())
    for step in range(1500):
        context = features(session=f"session-{step}", page=f"page-{step % 700}")
        offers = tuple(Action(f"inline-{step * 2 + n}", features(kind=f"kind-{step}")) for n in range(2))
        policy.learn(Example(context, offers, step % 2, 0.5, float(step % 3 == 0)))
    assert len(policy.save()) < 18e6
    assert len(remarks(policy)) >= 3


def test_an_offer_that_was_paused_finds_what_it_had() -> None:
    policy = registry.create("linear", {}, ())
    best, other, third = (Action(name, EMPTY) for name in ("best", "other", "third"))
    chance = random.Random(1)
    for _ in range(300):
        chosen = chance.randrange(2)
        policy.learn(Example(EMPTY, (best, other), chosen, 0.5, float(chosen == 0)))
    for _ in range(300):
        chosen = chance.randrange(2)
        policy.learn(Example(EMPTY, (other, third), chosen, 0.5, 0.5))
    pmf = policy.pmf(EMPTY, (best, other, third))
    assert pmf[0] > 0.9


def serve(policy: Policy, earns: list[float], count: int, chance: random.Random) -> float:
    """Return the share of the last third that went to the best offer, served with a floor of 0.02."""
    offers = OFFER_SETS[len(earns)]
    best, hits = earns.index(max(earns)), 0
    for step in range(count):
        pmf = 0.98 * policy.pmf(EMPTY, offers) + 0.02 / len(offers)
        chosen = chance.choices(range(len(offers)), pmf.tolist())[0]
        reward = float(chance.random() < earns[chosen])
        policy.learn(Example(EMPTY, offers, chosen, float(pmf[chosen]), reward))
        hits += chosen == best and step >= count - count // 3
    return hits / (count // 3)


OFFER_SETS: Final = {3: tuple(Action(f"offer-{n}", Features()) for n in range(3))}


@pytest.mark.parametrize(
    ("name", "model"),
    [("linear", {"model": "bias"}), ("linear", {}), ("thompson", {}), ("auto", {})],
    ids=str,
)
def test_with_a_half_life_the_policy_follows_a_change_of_the_best_offer(
    name: str, model: dict[str, str], figure: Callable[[str], None]
) -> None:
    """The best of three offers becomes the worst: the share of the best in decisions 300 to 450 after it."""
    share = {}
    for half_life in (200.0, None):
        policy = registry.create(name, {**model, "half_life": half_life}, ())
        chance = random.Random(4)
        serve(policy, [0.5, 0.3, 0.1], 1500, chance)
        share[half_life] = serve(policy, [0.1, 0.3, 0.5], 450, chance)
    figure(f"{name} {model}: the new best has {share[200.0]:.2f}, without a half-life {share[None]:.2f}")
    assert share[200.0] > 0.6
    # What averages has a member that forgets anyway.
    follows = name == "auto" or (name, model) == ("linear", {})
    assert (share[None] > 0.6) is follows
