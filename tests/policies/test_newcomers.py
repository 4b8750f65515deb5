"""Offers that come, pause and go, at the linear policy."""

from __future__ import annotations

import random

import pytest

from offer_optimizer.core import limits
from offer_optimizer.core.features import build_features
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example, Policy
from offer_optimizer.policy.linear import LinearPolicy
from offer_optimizer.policy.offer_blocks import OfferBlocks
from tests.policies.worlds import features

EARNS = {"coupon": 0.6, "content": 0.2, "service": 0.3}
THEMES = ("summer", "garden", "tech")


def offer(name: str, kind: str, theme: str = "summer", size: float = 1.0) -> Action:
    attributes = build_features(
        {"kind": kind, "theme": theme}, {"size": size}, {}, where="offer", limit=limits.OFFER_FEATURES
    )
    return Action(name, attributes)


KNOWN = tuple(
    offer(f"{kind}-{theme}", kind, theme, float(number))
    for number, (kind, theme) in enumerate((kind, theme) for kind in EARNS for theme in THEMES)
)
DEVICES = ("phone", "desktop")


def taught(count: int = 1024, offers: tuple[Action, ...] = KNOWN, policy: Policy | None = None) -> Policy:
    """Return a policy that learned by chance of offers that earn what their kind does."""
    policy = policy or registry.create("linear", {}, ())
    chance = random.Random(1)
    for _ in range(count):
        chosen = chance.randrange(len(offers))
        reward = float(chance.random() < EARNS[dict(offers[chosen].attributes.categories)["kind"]])
        context = features(device=chance.choice(DEVICES))
        policy.learn(Example(context, offers, chosen, 1.0 / len(offers), reward))
    return policy


@pytest.mark.parametrize("name", ["linear", "auto"])
def test_of_newcomers_alone_the_one_of_the_best_kind_is_shown_at_once(name: str) -> None:
    policy = taught(policy=registry.create(name, {}, ()))
    pmf = policy.pmf(features(device="phone"), tuple(offer(f"new {kind}", kind) for kind in EARNS))
    assert pmf[0] > 0.9


def test_a_policy_with_newcomers_goes_on_from_a_state_as_if_it_had_not_stopped() -> None:
    policy = taught(600)
    again = registry.load("linear", {}, (), policy.save())
    news = (*KNOWN[:3], offer("new-1", "coupon", "tech"), offer("new-2", "content", "new theme"))
    context = features(device="phone")
    assert again.pmf(context, news).tolist() == policy.pmf(context, news).tolist()
    for each in (policy, again):
        taught(600, news, each)
    assert again.save() == policy.save()


def test_a_paused_or_retired_offer_keeps_its_history_whatever_comes_meanwhile() -> None:
    """It earned more than any kind; then others of its attributes come, which earn what the kind does."""
    policy = taught()
    odd = offer("odd", "content", "garden")
    asked = (odd, *KNOWN[:3])
    for number in range(200):
        policy.learn(Example(features(device=DEVICES[number % 2]), (odd,), 0, 1.0, 1.0))
    before = policy.pmf(features(device="phone"), asked)[0]
    others = tuple(offer(f"later-{number}", "content", "garden") for number in range(12))
    taught(800, others, policy)
    again = registry.load("linear", {}, (), policy.save())
    after = again.pmf(features(device="phone"), asked)[0]
    unknown = (offer("not odd", "content", "garden"), *KNOWN[:3])
    assert before > 0.95
    assert after > 0.95
    assert again.pmf(features(device="phone"), unknown)[0] < 0.5


def test_an_offer_that_gains_attributes_keeps_what_it_earned() -> None:
    policy = taught(600)
    for number in range(150):
        bare = (Action("plain", features()),)
        policy.learn(Example(features(device=DEVICES[number % 2]), bare, 0, 1.0, 1.0))
    assert isinstance(policy, LinearPolicy)
    dressed = offer("plain", "content")
    policy.learn(Example(features(device="phone"), (dressed,), 0, 1.0, 1.0))
    assert not policy._offers.is_newborn
    assert policy.pmf(features(device="phone"), (dressed, *KNOWN[3:6]))[0] > 0.9


def test_numeric_attributes_leave_plans_alone_while_no_offer_comes_or_changes() -> None:
    blocks = OfferBlocks()
    for each in KNOWN:
        blocks.learn(each)
    plan = blocks.plan(KNOWN)
    blocks.learn(KNOWN[2])
    assert blocks.plan(KNOWN) is plan
    blocks.learn(offer(KNOWN[2].id, "coupon", "tech", 9.0))
    assert blocks.plan(KNOWN) is not plan


def test_the_first_example_of_a_newcomer_moves_it_from_where_it_started() -> None:
    """One that earns what was expected changes next to nothing: its own block makes up what attributes lack.

    Only that the numbers of attributes are now scored over one offer more.
    """
    policy = taught()
    assert isinstance(policy, LinearPolicy)
    news = (offer("new", "coupon", "tech"),)
    context = features(device="phone")
    row = policy._encoder.encode(context)
    for member in policy._members[:2]:
        plan = policy._offers.plan(news)
        assert plan.new is not None
        told = policy._start_means(member, member.read(row, None), plan, plan.new)
        expected = (plan.new.made @ told)[0]
        again = registry.load("linear", {}, (), policy.save())
        assert isinstance(again, LinearPolicy)
        again.learn(Example(context, news, 0, 1.0, float(expected)))
        born = again._members[policy._members.index(member)]
        plan = again._offers.plan(news)
        assert plan.new is None
        read = born.read(again._encoder.encode(context), None)
        found = (plan.coefficients @ born.blocks.means(read, plan.blocks, again._count))[0]
        assert found == pytest.approx(expected, abs=0.02)
        assert 0.4 < expected < 0.8
