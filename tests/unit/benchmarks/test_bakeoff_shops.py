"""The simulated shops of the bake-off: the truth is what they pay, and the same seed pays the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.bakeoff.race import reached, run
from benchmarks.bakeoff.rounds import Rounds
from benchmarks.bakeoff.shops import SHOPS, Shop
from benchmarks.bakeoff.world import build
from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.features import Features
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.uniform import UniformPolicy

TINY = Shop(
    "tiny",
    "for tests",
    rounds=3000,
    offers=6,
    live=4,
    turnover=1000,
    fields=(3, 2),
    attributes=(2,),
    taste=0.8,
    season=0.5,
    shifts=(0.5,),
    delay=40,
    batch=10,
)


class Knowing(UniformPolicy):
    """Is told the truth, and shows the best live offer; counts rounds by being asked once in each."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._column = {action.id: at for at, action in enumerate(rounds.actions)}
        self.asked = 0

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        means = self._rounds.rewards[self.asked, [self._column[action.id] for action in actions]]
        self.asked += 1
        pmf = np.zeros(len(actions))
        pmf[means.argmax()] = 1.0
        return pmf


class Listening(UniformPolicy):
    """Notes at which round each lesson came, and of what."""

    def __init__(self) -> None:
        self.asked = 0
        self.contexts: list[Features] = []
        self.lessons: list[tuple[int, Example]] = []

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        self.asked += 1
        self.contexts.append(context)
        return super().pmf(context, actions)

    def learn(self, example: Example) -> None:
        self.lessons.append((self.asked, example))


def test_the_best_possible_and_the_even_reward_are_what_a_knowing_and_an_even_policy_earn() -> None:
    rounds = build(TINY, 1)
    best = rounds.best_possible()
    assert run(rounds, lambda: Knowing(rounds), 1, floor=0.0).reward == pytest.approx(best)
    assert run(rounds, UniformPolicy, 1, floor=0.0).reward == pytest.approx(rounds.uniform())
    assert best is not None
    assert rounds.uniform() < rounds.best_fixed() < best


def test_rewards_are_drawn_from_the_chances_that_the_truth_names() -> None:
    """Four standard errors around the mean chance of the choices; false alarms: 6e-5."""
    rounds, policy = build(TINY, 2), Listening()
    run(rounds, lambda: policy, 2)
    column = {action.id: at for at, action in enumerate(rounds.actions)}
    chances = [
        rounds.rewards[at, column[lesson.actions[lesson.chosen].id]]
        for at, (_, lesson) in enumerate(policy.lessons)
    ]
    rewards = [lesson.reward for _, lesson in policy.lessons]
    error = np.sqrt(sum(chance * (1.0 - chance) for chance in chances)) / len(chances)
    assert np.mean(rewards) == pytest.approx(np.mean(chances), abs=4.0 * error)


def test_a_reward_is_learned_late_and_in_batches_and_in_order() -> None:
    rounds, policy = build(TINY, 1), Listening()
    run(rounds, lambda: policy, 1)
    for decided, (at, lesson) in enumerate(policy.lessons):
        assert lesson.context is rounds.contexts[decided]
        # What is taught after the last round counts for nothing.
        assert at - decided > TINY.delay or at == TINY.rounds
        assert at % TINY.batch == 0
    assert len(policy.lessons) >= TINY.rounds - TINY.delay - TINY.batch


def test_only_live_offers_are_asked_about_and_only_they_have_chances() -> None:
    rounds, policy = build(TINY, 1), Listening()
    run(rounds, lambda: policy, 1)
    for at, (_, lesson) in enumerate(policy.lessons):
        first = at // 1000
        assert [action.id for action in lesson.actions] == [f"offer-{k:03}" for k in range(first, first + 4)]
        live = ~np.isnan(rounds.rewards[at])
        assert list(np.flatnonzero(live)) == list(range(first, first + 4))


def test_the_same_seed_gives_the_same_pass_and_another_seed_another_world() -> None:
    rounds, again, other = build(TINY, 1), build(TINY, 1), build(TINY, 2)
    assert rounds.contexts == again.contexts
    assert rounds.contexts != other.contexts
    results = [
        run(world, lambda: registry.create("linear", {}, ()), 1, limit=300)
        for world in (rounds, again, other)
    ]
    same = [replace(result, pmf_us=0.0, learn_us=0.0) for result in results]
    assert same[0] == same[1]
    assert same[0].curve != same[2].curve


def test_the_goal_is_reached_where_a_part_of_the_rounds_earned_nine_tenths_of_the_best() -> None:
    """2,000 rounds, a hundred at a time; all is earned from round 1,000 on: 90 of a hundred by 1,090."""
    earned = np.repeat([0.0, 1.0], 1000)
    assert reached(earned, np.ones(2000)) == 1090
    assert reached(np.zeros(2000), np.ones(2000)) is None
    assert reached(earned, None) is None


@pytest.mark.parametrize("shop", SHOPS, ids=lambda shop: shop.name)
def test_every_shop_is_within_what_the_bake_off_is_for(shop: Shop) -> None:
    assert 5 <= shop.offers <= 500
    assert (shop.live or shop.offers) <= 200
    assert 8 <= shop.columns() <= 500
    assert shop.rounds // 20 >= 100
