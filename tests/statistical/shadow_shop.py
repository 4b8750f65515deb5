"""A shop with a known truth: two contexts, three offers, an incumbent and shadows with given pmfs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.core.decision import SlotChoice
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.decide.mix import mix
from offer_optimizer.evaluate.shadow_judge import ShadowJudge
from offer_optimizer.learn.shadow_training import Judged
from offer_optimizer.policy.contract import Action, Example, Policy
from tests.unit.learn.worlds import decision_of

Floats = NDArray[np.float64]

ACTIONS: Final = tuple(Action(name, EMPTY) for name in ("msg", "save5", "nothing"))
MEANS: Final = np.array([[0.30, 0.10, 0.20], [0.10, 0.30, 0.20]])
"""Chance of a reward of 1 by context and offer, for a visitor in the middle."""
INCUMBENT: Final = np.array([[0.6, 0.2, 0.2], [0.4, 0.3, 0.3]])
BETTER: Final = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05]])
WORSE: Final = np.array([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]])
# Another policy with the incumbent's value: mass goes to and fro between contexts.
EQUAL: Final = np.array([[0.4, 0.4, 0.2], [0.2, 0.5, 0.3]])
SPREAD: Final = 0.1
"""A visitor's own chance lies so far above or below, whatever is shown: visitors come back."""
FLOOR: Final = 0.02


def served(pmf: Floats) -> Floats:
    """Return what is served of a model's pmf, by context."""
    rows = [mix(row, None, 3, 1.0, FLOOR).astype(np.float64) for row in pmf]
    return np.array([row / row.sum() for row in rows])


def value(pmf: Floats) -> float:
    """Return what a model earns a decision when it serves; contexts are equally frequent."""
    return float((served(pmf) * MEANS).sum(axis=1).mean())


@dataclass
class Traffic:
    """Decisions of the incumbent, handed to a judge as they close."""

    seed: int
    visitor_count: int
    is_flat: bool = False
    """Whether all offers are worth the same."""

    def __post_init__(self) -> None:
        self._chance = np.random.default_rng(self.seed)
        self._own = self._chance.uniform(-SPREAD, SPREAD, self.visitor_count)
        self._logged = served(INCUMBENT)
        self._cumulative = self._logged.cumsum(axis=1)
        self._made = decision_of(0, 0, epoch=bytes(16))

    def feed(self, judge: ShadowJudge, shadow: Floats, count: int) -> None:
        """Let so many decisions be made, rewarded and judged."""
        for _ in range(count):
            context, judged = self._next()
            judge.add(replace(judged, pmf=shadow[context]))

    def teach(self, judge: ShadowJudge, policy: Policy, count: int) -> None:
        """Do the same with a shadow that learns each decision behind its judgement."""
        for _ in range(count):
            _, judged = self._next()
            context, slot = judged.decision.context, judged.decision.slots[0]
            judge.add(replace(judged, pmf=policy.pmf(context, ACTIONS)))
            policy.learn(Example(context, ACTIONS, slot.chosen, slot.propensity, judged.reward))

    def _next(self) -> tuple[int, Judged]:
        """Return a context and its decision, whose pmf is still to be asked for."""
        context = int(self._chance.random() < 0.5)
        chosen = min(int(np.searchsorted(self._cumulative[context], self._chance.random())), 2)
        visitor = int(self._chance.integers(self.visitor_count))
        mean = 0.2 if self.is_flat else MEANS[context, chosen]
        reward = float(self._chance.random() < mean + self._own[visitor])
        pmf = self._logged[context].astype(np.float32)
        features = Features(categories=(("device", "mobile" if context else "desktop"),))
        slot = SlotChoice(pmf, chosen, float(pmf[chosen]))
        decision = replace(self._made, slots=(slot,), baseline=None, context=features)
        return context, Judged(decision, ACTIONS, visitor, self._logged[context], reward, 1.0)
