"""New offers of which a reward is expected, at `linear` and `auto`: where they start, how they go on."""

from __future__ import annotations

import hashlib
import random
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offer_optimizer.core.features import EMPTY
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example, Policy
from offer_optimizer.policy.encoding import Vector
from offer_optimizer.policy.linear import LinearPolicy
from tests.policies.test_likeness import DEVICES, DRESSED, EARNS, PLAIN, dressed, taught, teach
from tests.policies.worlds import features

ASKED = [features(device=device) for device in DEVICES]
FLOOR, MOST = 0.02, 3000
BOTH_KINDS = pytest.mark.parametrize("offers", [PLAIN, DRESSED], ids=["plain", "dressed"])
BOTH_NAMES = pytest.mark.parametrize("name", ["linear", "auto"])


@cache
def taught_state(name: str, offers: tuple[Action, ...]) -> bytes:
    return taught(name, offers).save()


def known(name: str, offers: tuple[Action, ...]) -> Policy:
    """Return a policy of its own that knows the offers."""
    return registry.load(name, {}, (), taught_state(name, offers))


def newcomer(expected: float | None, offers: tuple[Action, ...], like: str = "") -> Action:
    """Return one with attributes that known offers have, where they have any."""
    attributes = dressed("new", "kind-0", 1.5).attributes if offers is DRESSED else EMPTY
    return Action("new", attributes, like, expected)


def means(policy: Policy, action: Action) -> list[float]:
    """Return what each member expects of an action on each device."""
    assert isinstance(policy, LinearPolicy)
    found = []
    plan = policy._offers.plan((action,))
    for row in (policy._encoder.encode(asked) for asked in ASKED):
        for member in policy._members:
            read = member.read(row, policy._rows.waves(row))
            made = plan.coefficients @ member.blocks.means(read, plan.blocks, policy._count)
            found.append(float(made[0]) + (0.0 if plan.given is None else float(plan.given[0])))
    return found


def deviations(policy: Policy, actions: tuple[Action, ...]) -> Vector:
    assert isinstance(policy, LinearPolicy)
    row = policy._encoder.encode(ASKED[0])
    return policy._deviations(policy._members[1], row, policy._offers.plan(actions))


def shown(policy: Policy, offers: tuple[Action, ...], earns: tuple[float, ...], times: int) -> list[float]:
    """Let it serve with a floor and learn until the last offer was shown so often; return its shares."""
    chance = random.Random(7)
    shares: list[float] = []
    while times and len(shares) < MOST:
        seen = chance.choice(ASKED)
        pmf = (1.0 - FLOOR) * policy.pmf(seen, offers) + FLOOR / len(offers)
        at = chance.choices(range(len(offers)), weights=pmf.tolist())[0]
        policy.learn(Example(seen, offers, at, float(pmf[at]), float(chance.random() < earns[at])))
        shares.append(float(pmf[-1]))
        times -= at == len(offers) - 1
    return shares


@BOTH_KINDS
@pytest.mark.parametrize("expected", [0.0, 0.35, 1.0])
def test_its_first_expectation_is_the_given_one_in_any_context_before_its_first_example_and_at_it(
    offers: tuple[Action, ...], expected: float
) -> None:
    """An example that earns just what was expected moves no mean, of whichever member."""
    policy = known("linear", offers)
    assert isinstance(policy, LinearPolicy)
    action = newcomer(expected, offers)
    assert means(policy, action) == pytest.approx([expected] * 8, abs=1e-12)
    policy.learn(Example(ASKED[0], (action,), 0, 1.0, expected))
    assert policy._offers.plan((action,)).given is None
    assert means(policy, action) == pytest.approx([expected] * 8, abs=1e-12)
    assert policy.expected == pytest.approx(expected, abs=1e-12)


@BOTH_NAMES
@BOTH_KINDS
def test_one_expected_to_earn_most_has_a_share_at_once_and_one_expected_to_earn_little_has_none(
    name: str, offers: tuple[Action, ...]
) -> None:
    policy = known(name, offers)
    shares = {
        expected: policy.pmf(ASKED[1], (*offers, newcomer(expected, offers)))[-1] for expected in (0.9, 0.05)
    }
    assert shares[0.9] > 0.8
    assert shares[0.05] < 0.05


def test_it_is_as_unsure_as_one_of_which_nothing_is_known() -> None:
    policy = known("linear", PLAIN)
    pair = deviations(policy, (newcomer(0.9, PLAIN), newcomer(None, PLAIN)))
    assert pair[0] == pair[1]


def test_with_attributes_it_is_as_unsure_as_what_was_learned_of_them_leaves_it() -> None:
    policy = registry.create("linear", {}, ())
    # Too few for known offers to tell of newcomers, which makes these surer.
    teach(policy, DRESSED, EARNS, 200)
    pair = deviations(policy, (newcomer(0.9, DRESSED), newcomer(None, DRESSED)))
    assert pair[0] == pytest.approx(pair[1], rel=1e-12)


def test_what_is_given_goes_before_what_it_is_like() -> None:
    policy = known("linear", PLAIN)
    for like in ("known-0", "known-2"):
        both, alone = newcomer(0.3, PLAIN, like), newcomer(0.3, PLAIN)
        assert means(policy, both) == means(policy, alone)
        np.testing.assert_array_equal(deviations(policy, (both,)), deviations(policy, (alone,)))
        states = []
        for action in (both, alone):
            again = registry.load("linear", {}, (), policy.save())
            again.learn(Example(ASKED[0], (action,), 0, 1.0, 1.0))
            states.append(again.save())
        assert states[0] == states[1]


@BOTH_NAMES
@pytest.mark.parametrize(("expected", "earns"), [(0.95, 0.05), (0.05, 0.95)], ids=["too high", "too low"])
def test_a_wrong_expectation_is_overcome_by_a_dozen_rewards(name: str, expected: float, earns: float) -> None:
    policy = known(name, PLAIN)
    offers = (*PLAIN, newcomer(expected, PLAIN))
    shares = shown(policy, offers, (*EARNS, earns), 12)
    assert shares[0] > 0.8 if earns < expected else shares[0] < 0.05
    last = float(np.mean([policy.pmf(asked, offers)[-1] for asked in ASKED]))
    assert last < 0.1 if earns < expected else last > 0.8


def test_a_right_expectation_spares_the_best_newcomer_its_wait() -> None:
    taken = {
        expected: len(shown(known("linear", PLAIN), (*PLAIN, newcomer(expected, PLAIN)), (*EARNS, 0.8), 12))
        for expected in (0.8, None)
    }
    assert taken[0.8] < 30
    assert taken[None] > 100


@BOTH_NAMES
@BOTH_KINDS
def test_once_it_was_learned_of_what_was_expected_says_nothing_any_more(
    name: str, offers: tuple[Action, ...]
) -> None:
    policy = known(name, offers)
    policy.learn(Example(ASKED[0], (newcomer(0.9, offers),), 0, 1.0, 0.0))
    found = [policy.pmf(ASKED[0], (*offers, newcomer(given, offers))) for given in (0.9, 0.1, None)]
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


@BOTH_NAMES
@BOTH_KINDS
def test_a_policy_goes_on_from_a_state_as_if_it_had_not_stopped(
    name: str, offers: tuple[Action, ...]
) -> None:
    policy = known(name, offers)
    actions = (*offers, newcomer(0.7, offers))
    again = registry.load(name, {}, (), policy.save())
    asked = registry.load_asked(name, {}, (), policy.save())
    for each in (again, asked):
        np.testing.assert_array_equal(each.pmf(ASKED[0], actions), policy.pmf(ASKED[0], actions))
    for each in (policy, again):
        teach(each, actions, (*EARNS, 0.5), 300)
    assert again.save() == policy.save()


@pytest.mark.parametrize("name", ["vw", "thompson", "uniform", "baseline"])
def test_policies_that_do_not_heed_it_answer_and_learn_the_same_without(name: str) -> None:
    policies = [registry.create(name, {}, ("known-0",)) for _ in range(2)]
    found = []
    for policy, expected in zip(policies, (0.9, None), strict=True):
        actions = (*PLAIN, newcomer(expected, PLAIN))
        teach(policy, actions, (*EARNS, 0.5), 50)
        found.append((policy.save(), policy.pmf(ASKED[0], actions).tolist()))
    assert found[0] == found[1]


@settings(max_examples=40)
@given(st.text(max_size=5), st.sampled_from(["", "a", "b"]), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_actions_differ_by_what_is_expected_and_keep_their_key_where_nothing_is(
    name: str, like: str, first: float, second: float
) -> None:
    plain = Action(name, EMPTY, like)
    content = repr((name, (), (), ())) + (f" like {like}" if like else "")
    # As saved models know it.
    assert plain.key == hashlib.blake2b(content.encode(), digest_size=16).digest()
    one, other = (Action(name, EMPTY, like, expected) for expected in (first, second))
    assert one != plain
    assert (one == other) is (repr(first) == repr(second))
