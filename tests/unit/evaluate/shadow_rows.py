"""Decisions that a shadow is judged on, each following from its number."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from offer_optimizer.core.decision import SlotChoice
from offer_optimizer.core.features import EMPTY
from offer_optimizer.evaluate.shadow_judge import ShadowJudge
from offer_optimizer.learn.shadow_training import Judged
from offer_optimizer.policy.contract import Action
from tests.unit.learn.worlds import decision_of

ACTIONS = tuple(Action(name, EMPTY) for name in ("a", "b", "c"))
LOGGED = np.array([0.5, 0.25, 0.25], np.float32)


@cache
def judged(number: int, seed: int = 0, visitors: int = 1000, *, floor: float = 0.0) -> Judged:
    """Return a decision whose shadow, choice, reward and visitor follow from its number."""
    chance = np.random.default_rng((seed, number))
    pmf = chance.dirichlet(np.ones(3))
    chosen = int(chance.choice(3, p=LOGGED.astype(np.float64)))
    made = replace(
        decision_of(number, 0, epoch=bytes(16)),
        slots=(SlotChoice(LOGGED, chosen, float(LOGGED[chosen])),),
        floor=floor,
    )
    visitor = int(chance.integers(visitors)) if number % 11 else None
    return Judged(made, ACTIONS, visitor, pmf, float(chance.random() < 0.3 + 0.2 * chosen), 1.0 + number % 2)


def fed(count: int, visitors: int = 1000) -> ShadowJudge:
    judge = ShadowJudge()
    for number in range(count):
        judge.add(judged(number, visitors=visitors))
    return judge
