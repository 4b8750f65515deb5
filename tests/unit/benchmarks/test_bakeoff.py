"""The bake-off's race: what a policy is told, and what the figures are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.bakeoff.race import FLOOR, run
from benchmarks.bakeoff.rounds import Rounds
from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.uniform import UniformPolicy

ACTIONS = tuple(Action(f"offer-{n}", EMPTY) for n in range(4))


class Stubborn(UniformPolicy):
    """Wants one offer always, and remembers its lessons."""

    def __init__(self) -> None:
        self.lessons: list[Example] = []

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        return np.array([1.0, 0.0, 0.0, 0.0])

    def learn(self, example: Example) -> None:
        self.lessons.append(example)


def test_a_policy_learns_its_own_choice_with_the_probability_that_was_served() -> None:
    policy = Stubborn()
    rewards = np.zeros((2000, 4))
    rewards[:, 0] = 1.0
    result = run(Rounds("made up", [EMPTY] * 2000, ACTIONS, rewards), lambda: policy, seed=1)
    assert {round(e.propensity, 5) for e in policy.lessons} == {1.0 - FLOOR * 3 / 4, FLOOR / 4}
    assert all(e.reward == float(e.chosen == 0) for e in policy.lessons)
    assert result.rounds == len(policy.lessons) == 2000
    # 0.985 expected; five standard errors are 0.0136.
    assert result.reward == pytest.approx(0.985, abs=0.0136)


def test_replay_keeps_the_rounds_that_agree_with_the_log_and_no_others() -> None:
    """Four standard errors around what the wanted offer earns, floor included: 0.3 of the first, else 0.1."""
    chance = np.random.default_rng(2)
    logged = chance.integers(4, size=20_000)
    rewards = (chance.random(20_000) < np.where(logged == 0, 0.3, 0.1)).astype(float)
    policy = Stubborn()
    result = run(Rounds("made up", [EMPTY] * 20_000, ACTIONS, rewards, logged), lambda: policy, seed=1)
    assert result.rounds == pytest.approx(5000, abs=4 * 61)
    assert result.reward == pytest.approx(0.985 * 0.3 + 0.015 * 0.1, abs=4 * 0.0065)
