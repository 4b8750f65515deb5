"""What holds for every policy of the registry, whatever it is made of."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example, Policy
from tests.policies.worlds import (
    BASELINE,
    NASTY,
    OFFERS,
    any_actions,
    any_features,
    draw_examples,
    features,
    with_reward,
)

EXTREME_SHIFT: Final = 0.1
"""Most that one legal example may move the probability of any offer, after 1,000 of draw_examples."""


@dataclass(frozen=True)
class Case:
    """A registered policy with options."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def create(self) -> Policy:
        return registry.create(self.name, self.options, BASELINE)

    def load(self, state: bytes) -> Policy:
        return registry.load(self.name, self.options, BASELINE, state)

    def __str__(self) -> str:
        return "-".join([self.name, *map(str, self.options.values())])


CASES: Final = (
    Case("uniform"),
    Case("baseline"),
    Case("auto"),
    Case("thompson"),
    Case("linear"),
    Case("linear", {"model": "kernel"}),
    Case("linear", {"half_life": 1000.0}),
    Case("vw"),
    Case("vw", {"exploration": "epsilon"}),
    Case("vw", {"exploration": "softmax"}),
    Case("vw", {"bits": 12}),
    Case("vw", {"numbers": "squashed"}),
)
LEARNERS: Final = tuple(case for case in CASES if registry.learns(case.name))

FEATURED: Final = tuple(case for case in LEARNERS if case.name != "thompson")
"""Those that read features; Thompson sampling knows offers by their ids alone."""

every_policy = pytest.mark.parametrize("case", CASES, ids=str)
every_learner = pytest.mark.parametrize("case", LEARNERS, ids=str)
every_featured = pytest.mark.parametrize("case", FEATURED, ids=str)


@pytest.fixture
def policy(case: Case) -> Iterator[Policy]:
    policy = case.create()
    yield policy
    policy.close()


def teach(policy: Policy, count: int = 300, seed: int = 1) -> Policy:
    for example in draw_examples(count, seed):
        policy.learn(example)
    return policy


def taught_policies() -> list[tuple[Case, Policy]]:
    return [(case, teach(case.create())) for case in CASES]


def assert_is_pmf(pmf: Pmf64, count: int) -> None:
    assert pmf.dtype == np.float64
    assert pmf.shape == (count,)
    assert np.all(np.isfinite(pmf))
    assert np.all(pmf >= 0.0)
    assert abs(float(pmf.sum()) - 1.0) <= 1e-12


def test_every_entry_of_the_registry_is_a_case() -> None:
    assert {case.name for case in CASES} == set(registry.ENTRIES)


def test_a_pmf_sums_to_one_for_any_legal_question_whatever_the_order_of_offers() -> None:
    """Every policy is asked each question: drawing one takes longer than all their answers."""
    policies = taught_policies()

    @given(context=any_features(), actions=any_actions(), chance=st.randoms(use_true_random=False))
    def check(context: Features, actions: tuple[Action, ...], chance: random.Random) -> None:
        order = list(range(len(actions)))
        chance.shuffle(order)
        for case, policy in policies:
            note(f"policy: {case}")
            pmf = policy.pmf(context, actions)
            assert_is_pmf(pmf, len(actions))
            shuffled = policy.pmf(context, [actions[index] for index in order])
            # float32 inside, added up in another order.
            np.testing.assert_allclose(shuffled, pmf[order], atol=1e-6)

    check()


@every_policy
@pytest.mark.parametrize("count", [1, 2, 200])
def test_a_pmf_has_one_probability_for_each_offer(policy: Policy, count: int) -> None:
    actions = [Action(f"offer-{index}", EMPTY) for index in range(count)]
    assert_is_pmf(policy.pmf(EMPTY, actions), count)
    assert_is_pmf(teach(policy).pmf(EMPTY, actions), count)


@every_policy
def test_no_offers_are_refused_before_and_after_learning(policy: Policy) -> None:
    """On a model that has learned, Vowpal Wabbit dies of this question."""
    for _ in range(2):
        with pytest.raises(InvalidInput, match="actions"):
            policy.pmf(EMPTY, ())
        teach(policy)


@every_featured
def test_new_offers_tied_for_the_best_are_equally_likely(policy: Policy) -> None:
    """Coupons pay, so two new ones are better than a message, and nothing tells them apart."""
    for example in draw_examples(300, seed=7):
        reward = float(("kind", "coupon") in OFFERS[example.chosen].attributes.categories)
        policy.learn(Example(example.context, OFFERS, example.chosen, example.propensity, reward))
    new = [Action(f"new-{index}", features(kind="coupon")) for index in range(2)]
    pmf = policy.pmf(features(device="mobile"), [OFFERS[0], *new])
    assert pmf[1] > 0.4
    assert pmf[1] == pytest.approx(pmf[2], rel=1e-6)


@every_policy
def test_asking_leaves_no_trace(case: Case) -> None:
    asked, silent = teach(case.create()), teach(case.create())
    first = asked.pmf(features(device="mobile"), OFFERS)
    for seed in range(50):
        asked.pmf(features(device=f"device-{seed}"), OFFERS[seed % 4 :])
    assert np.array_equal(asked.pmf(features(device="mobile"), OFFERS), first)
    assert asked.save() == silent.save()
    assert teach(asked, seed=2).save() == teach(silent, seed=2).save()


@every_policy
def test_a_rebuild_gives_the_same_bytes_and_answers(case: Case) -> None:
    one, other = teach(case.create()), teach(case.create())
    assert one.save() == other.save()
    for example in draw_examples(50, seed=3):
        assert np.array_equal(one.pmf(example.context, OFFERS), other.pmf(example.context, OFFERS))


@every_policy
def test_a_policy_that_was_saved_and_loaded_continues_as_if_never_stopped(case: Case) -> None:
    examples = draw_examples(400, seed=4)
    uninterrupted, stopped = case.create(), case.create()
    for index, example in enumerate(examples):
        uninterrupted.learn(example)
        if index in (0, 1, 150, 399):
            stopped = case.load(stopped.save())
        stopped.learn(example)
    assert stopped.save() == uninterrupted.save()
    assert case.load(stopped.save()).save() == uninterrupted.save()
    context = examples[0].context
    assert np.array_equal(stopped.pmf(context, OFFERS), uninterrupted.pmf(context, OFFERS))


@every_policy
def test_a_new_policy_survives_save_and_load(case: Case) -> None:
    state = case.create().save()
    assert case.load(state).save() == state


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads take turns as often as they can, and not every 5 ms."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval_s)


@pytest.mark.usefixtures("hasty_threads")
@every_policy
def test_threads_get_the_answers_that_one_caller_gets(policy: Policy) -> None:
    teach(policy)
    questions = []
    for seed in range(200):
        chance = random.Random(seed)
        actions = (*chance.sample(OFFERS, chance.randint(1, 4)), Action(f"new-{seed}", EMPTY))
        questions.append((features(device=chance.choice(["mobile", "desktop", "tv"])), actions))
    alone = [policy.pmf(*question) for question in questions]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            together = list(pool.map(lambda question: policy.pmf(*question), questions))
            assert all(map(np.array_equal, together, alone))


@every_policy
def test_hostile_features_do_nothing_but_be_features(case: Case) -> None:
    """No crash, no extra offer, no label: what follows is as if they had never been asked about."""
    policy, untouched = teach(case.create()), teach(case.create())
    for text in NASTY:
        context = Features(((text, text),), ((text, 1e9),), ((text, (text,)),))
        actions = (Action(text, context), *OFFERS)
        assert_is_pmf(policy.pmf(context, actions), len(actions))
    assert policy.save() == untouched.save()


def test_hostile_examples_leave_a_policy_that_still_answers() -> None:
    """Every policy learns each example."""
    policies = taught_policies()

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(
        context=any_features(),
        actions=any_actions(),
        propensity=st.floats(1e-300, 1.0),
        reward=st.floats(0.0, 1.0),
        weight=st.floats(1.0, 1e300),
        data=st.data(),
    )
    def check(
        context: Features,
        actions: tuple[Action, ...],
        propensity: float,
        reward: float,
        weight: float,
        data: st.DataObject,
    ) -> None:
        chosen = data.draw(st.integers(0, len(actions) - 1))
        for case, policy in policies:
            note(f"policy: {case}")
            policy.learn(Example(context, actions, chosen, propensity, reward, weight))
            assert_is_pmf(policy.pmf(context, actions), len(actions))

    check()
    for case, policy in policies:
        restored = case.load(policy.save())
        assert_is_pmf(restored.pmf(EMPTY, OFFERS), len(OFFERS))


@every_policy
@pytest.mark.parametrize("reward", [5e-324, 1e-300, 1e-113, 1e-46, 1e-38, 1e-10])
def test_the_least_rewards_do_not_poison(case: Case, reward: float) -> None:
    """Written with an exponent, a cost of 1e-113 was NaN to Vowpal Wabbit, for ever."""
    policy = teach(case.create())
    policy.learn(Example(EMPTY, OFFERS, 0, 0.5, reward))
    assert_is_pmf(policy.pmf(EMPTY, OFFERS), len(OFFERS))
    assert_is_pmf(case.load(policy.save()).pmf(EMPTY, OFFERS), len(OFFERS))


@every_policy
def test_only_policies_that_say_so_learn(case: Case) -> None:
    taught, fresh = teach(case.create()), case.create()
    assert (taught.save() != fresh.save()) is registry.learns(case.name)


@every_learner
@pytest.mark.parametrize("best", range(len(OFFERS)))
def test_learning_moves_the_pmf_to_the_offer_that_pays(policy: Policy, best: int) -> None:
    context = draw_examples(1, seed=5)[0].context
    before = policy.pmf(context, OFFERS)
    for example in with_reward(draw_examples(400, seed=5), best):
        policy.learn(example)
    after = policy.pmf(context, OFFERS)
    assert after[best] > before[best]
    assert after[best] > 0.5


@every_featured
def test_the_context_matters(policy: Policy) -> None:
    """Without a cross of context and offers both contexts would get the same answer."""
    teach(policy, 2000)
    mobile, desktop = (
        policy.pmf(features(channel="ads", device=name), OFFERS) for name in ("mobile", "desktop")
    )
    assert int(np.argmax(mobile)) == 0
    assert int(np.argmax(desktop)) == 2


@every_featured
def test_a_new_offer_starts_from_what_its_attributes_earned(policy: Policy) -> None:
    for example in draw_examples(1000, seed=6):
        reward = float(dict(example.actions[example.chosen].attributes.categories)["kind"] == "coupon")
        policy.learn(Example(example.context, OFFERS, example.chosen, example.propensity, reward))
    context = draw_examples(1, seed=6)[0].context
    pmf = policy.pmf(
        context, (Action("new-1", features(kind="coupon")), Action("new-2", features(kind="nothing")))
    )
    assert pmf[0] > pmf[1]


@every_learner
def test_one_legal_extreme_moves_little(case: Case) -> None:
    """A propensity of 1e-6 with the full reward, for any offer: at most EXTREME_SHIFT anywhere.

    True of this world, where offers earn 0.1 or 0.6. Between offers that earn nearly the same any reward may
    turn the best one over; that a tiny propensity adds nothing to it is tested with the clip.
    """
    context = features(channel="ads", device="mobile")
    for seed in range(3):
        state = teach(case.create(), 1000, seed).save()
        for chosen in range(len(OFFERS)):
            policy = case.load(state)
            before = policy.pmf(context, OFFERS)
            policy.learn(Example(context, OFFERS, chosen, 1e-6, 1.0))
            assert np.abs(policy.pmf(context, OFFERS) - before).max() <= EXTREME_SHIFT


@every_policy
def test_closing_twice_is_harmless(policy: Policy) -> None:
    policy.close()
    policy.close()
