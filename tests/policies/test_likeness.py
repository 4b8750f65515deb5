"""New offers that are like one that is known, at `linear` and `auto`: where they start, how they go on."""

from __future__ import annotations

import random

import numpy as np
import pytest

from offer_optimizer.core import limits
from offer_optimizer.core.features import EMPTY, Features, build_features
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example, Policy
from offer_optimizer.policy.linear import LinearPolicy
from offer_optimizer.policy.offer_blocks import KIN_SHARE
from tests.policies.worlds import features

EARNS = (0.6, 0.2, 0.1, 0.3)
DEVICES = ("phone", "desktop")
PLAIN = tuple(Action(f"known-{number}", EMPTY) for number in range(len(EARNS)))


def dressed(name: str, kind: str, size: float, like: str = "") -> Action:
    attributes = build_features(
        {"kind": kind}, {"size": size}, {}, where="offer", limit=limits.OFFER_FEATURES
    )
    return Action(name, attributes, like)


DRESSED = tuple(dressed(each.id, f"kind-{number % 2}", float(number)) for number, each in enumerate(PLAIN))


def context(chance: random.Random) -> Features:
    return features(device=chance.choice(DEVICES))


def teach(policy: Policy, offers: tuple[Action, ...], earns: tuple[float, ...], count: int) -> None:
    """Teach it offers drawn evenly, with rewards by chance; on phones they earn half."""
    chance = random.Random(count)
    for _ in range(count):
        at, seen = chance.randrange(len(offers)), context(chance)
        mean = earns[at] * (0.5 if seen == features(device="phone") else 1.0)
        policy.learn(Example(seen, offers, at, 1.0 / len(offers), float(chance.random() < mean)))


def taught(name: str = "linear", offers: tuple[Action, ...] = PLAIN) -> Policy:
    policy = registry.create(name, {}, ())
    teach(policy, offers, EARNS, 800)
    return policy


def newcomer(like: str, offers: tuple[Action, ...]) -> Action:
    """Return one that is dressed as no known offer is, where they have attributes at all."""
    return dressed("new", "kind-9", 7.0, like) if offers is DRESSED else Action("new", EMPTY, like)


@pytest.mark.parametrize("name", ["linear", "auto"])
@pytest.mark.parametrize("offers", [PLAIN, DRESSED], ids=["plain", "dressed"])
def test_one_like_the_best_of_all_has_a_share_at_once_and_one_like_a_poor_one_has_none(
    name: str, offers: tuple[Action, ...]
) -> None:
    policy = taught(name, offers)
    shares = {
        like: policy.pmf(features(device="desktop"), (*offers, newcomer(like, offers)))[-1]
        for like in ("known-0", "known-2", "")
    }
    assert shares["known-0"] > 0.4
    assert shares["known-2"] < 0.05
    assert shares[""] < 0.05


@pytest.mark.parametrize("offers", [PLAIN, DRESSED], ids=["plain", "dressed"])
def test_its_first_example_moves_it_from_just_where_it_started(offers: tuple[Action, ...]) -> None:
    """Means of all members are the same before and after, where its first reward is what was expected.

    But for the numbers of attributes, which are scored over one offer more.
    """
    policy = taught("linear", offers)
    assert isinstance(policy, LinearPolicy)
    actions = (newcomer("known-0", offers),)
    row = policy._encoder.encode(features(device="phone"))
    for at, member in enumerate(policy._members[:3]):
        again = registry.load("linear", {}, (), policy.save())
        assert isinstance(again, LinearPolicy)
        plan = policy._offers.plan(actions)
        read = member.read(row, None)
        expected = float((plan.coefficients @ member.blocks.means(read, plan.blocks, policy._count))[0])
        again.learn(Example(features(device="phone"), actions, 0, 1.0, expected))
        after, same = again._offers.plan(actions), again._members[at]
        found = float((after.coefficients @ same.blocks.means(read, after.blocks, again._count))[0])
        assert found == pytest.approx(expected, abs=0.005)


def test_it_is_as_unsure_as_its_origin_and_a_small_share_of_an_offer_unknown() -> None:
    policy = taught()
    assert isinstance(policy, LinearPolicy)
    member = policy._members[1]
    row = policy._encoder.encode(features(device="phone"))
    pair = policy._deviations(member, row, policy._offers.plan((PLAIN[0], newcomer("known-0", PLAIN))))
    assert pair[1] ** 2 == pytest.approx(pair[0] ** 2 + KIN_SHARE * member.blocks.prior * float(row @ row))


@pytest.mark.parametrize("kind", ["kind-0", "kind-9"])
def test_its_first_example_does_not_leave_it_less_sure(kind: str) -> None:
    """Nor one that brings an attribute that nobody had."""
    policy = taught("linear", DRESSED)
    assert isinstance(policy, LinearPolicy)
    row = policy._encoder.encode(features(device="phone"))
    actions = (dressed("new", kind, 0.0, "known-0"),)
    before, after = list[float](), list[float]()
    for found in (before, after):
        plan = policy._offers.plan(actions)
        for member in policy._members[:3]:
            read = member.read(row, None)
            found.append(float(policy._deviations(member, read, plan)[0]))
        policy.learn(Example(features(device="phone"), actions, 0, 1.0, 0.0))
    assert [max(pair) / pair[0] for pair in zip(before, after, strict=True)] == pytest.approx(
        [1.0] * 3, abs=0.03
    )


def test_it_learns_on_its_own_and_leaves_its_origin_alone() -> None:
    policy = taught()
    new = newcomer("known-0", PLAIN)
    others = PLAIN[1:]
    asked = features(device="desktop")
    before = policy.pmf(asked, PLAIN)
    teach(policy, (new, *others), (0.05, *EARNS[1:]), 400)
    assert policy.pmf(asked, (*PLAIN, new))[-1] < 0.05
    assert policy.pmf(asked, PLAIN)[0] == pytest.approx(before[0], abs=0.05)


@pytest.mark.parametrize("name", ["linear", "auto"])
@pytest.mark.parametrize("offers", [PLAIN, DRESSED], ids=["plain", "dressed"])
def test_a_policy_goes_on_from_a_state_as_if_it_had_not_stopped(
    name: str, offers: tuple[Action, ...]
) -> None:
    """Also what it answers, whatever plans of actions are kept, when the origin's attributes change."""
    policy = taught(name, offers)
    actions = (*offers, newcomer("known-0", offers))
    asked = features(device="phone")
    policy.pmf(asked, actions)
    again = policy
    for changed in (dressed("known-0", "kind-1", 3.0), dressed("known-0", "kind-1", 2.0)):
        policy.learn(Example(asked, (changed,), 0, 1.0, 1.0))
        again = registry.load(name, {}, (), policy.save())
        np.testing.assert_array_equal(again.pmf(asked, actions), policy.pmf(asked, actions))
    for each in (policy, again):
        teach(each, actions, (*EARNS, 0.5), 300)
    assert again.save() == policy.save()


def test_one_like_an_offer_that_lost_its_attributes_is_like_what_that_one_is_now() -> None:
    """Its own block alone learned what it earns since; a plan that was kept of before is made again."""
    policy = registry.create("linear", {}, ())
    assert isinstance(policy, LinearPolicy)
    first, other = dressed("known-0", "kind-0", 1.0), dressed("known-1", "kind-0", 2.0)
    teach(policy, (first, other), (0.9, 0.9), 400)
    asked, new = features(device="desktop"), Action("new", EMPTY, "known-0")
    actions = (Action("known-0", EMPTY), new)
    before = policy.pmf(asked, actions)
    teach(policy, (actions[0], other), (0.1, 0.9), 2000)
    again = registry.load("linear", {}, (), policy.save())
    assert isinstance(again, LinearPolicy)
    for each in (policy, again):
        plan = each._offers.plan(actions)
        row = each._encoder.encode(asked)
        for member in each._members[:3]:
            read = member.read(row, None)
            means = plan.coefficients @ member.blocks.means(read, plan.blocks, each._count)
            assert means[1] == means[0]
    assert policy.pmf(asked, actions).tolist() == again.pmf(asked, actions).tolist() != before.tolist()
    policy.learn(Example(asked, (first,), 0, 1.0, 0.5))
    (back,) = [policy._offers.plan((each,)).coefficients.tolist() for each in (new,)]
    assert sum(number != 0.0 for number in back[0]) == 3, "it has its attributes again"


@pytest.mark.parametrize("name", ["linear", "auto", "vw", "thompson"])
def test_one_like_an_offer_that_nobody_has_met_starts_as_any_other(name: str) -> None:
    policy = taught(name)
    asked = features(device="phone")
    with_like, without = (policy.pmf(asked, (*PLAIN, Action("new", EMPTY, like))) for like in ("nobody", ""))
    np.testing.assert_array_equal(with_like, without)


def test_actions_differ_by_what_they_are_like_and_keep_their_key_where_they_are_like_none() -> None:
    assert Action("new", EMPTY, "a") != Action("new", EMPTY, "b")
    assert Action("new", EMPTY, "a") != Action("new", EMPTY)
    # As saved models know it.
    assert Action("new", EMPTY).key.hex() == "c9ce4e1e4b3db13587dc65db6b1b63b6"
