"""Simulated logs with a known truth: rules, ramp and floor, visitors of two kinds who come several times.

Rules make the eligible offers differ by context. Visitors of the second kind come more often, in other
contexts, and earn more, and every visitor has a mood of their own: rows of one are far from independent.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.decide.mix import mix
from offer_optimizer.evaluate.rows import DecisionRows

OFFERS = 5
BASELINE = 4
ELIGIBLE = np.array(
    [
        [1, 1, 1, 1, 1],
        [1, 1, 0, 0, 1],
        [0, 1, 1, 0, 1],
        [1, 0, 1, 1, 1],
        [0, 0, 1, 1, 1],
        [1, 0, 0, 0, 1],
    ],
    dtype=np.bool_,
)
"""Which offers the rules allow, by context."""
CONTEXTS = len(ELIGIBLE)
CONTEXT_OF_KIND = np.array([[0.3, 0.3, 0.1, 0.1, 0.1, 0.1], [0.05, 0.1, 0.2, 0.3, 0.25, 0.1]])
MEAN_VISITS = np.array([4.0, 9.0])
MOOD = 0.2
WORTH = np.array([[0.0] * CONTEXTS, [0.05] * CONTEXTS])
"""What visitors of a kind earn more, by context."""


@dataclass(frozen=True)
class World:
    """What is true, and how the log is made. `mean_reward` has shape (contexts, offers)."""

    mean_reward: NDArray[np.float64]
    model: NDArray[np.float64]
    ramp: float
    floor: float

    @classmethod
    def make(cls, chance: np.random.Generator, ramp: float = 0.5, floor: float = 0.3) -> World:
        """Draw a world."""
        model = chance.dirichlet(np.full(OFFERS, 0.7), CONTEXTS) + 1e-6
        model = np.where(ELIGIBLE, model, 0.0)
        model /= model.sum(axis=1, keepdims=True)
        return cls(chance.uniform(0.22, 0.7, (CONTEXTS, OFFERS)), model, ramp, floor)

    @cached_property
    def served(self) -> NDArray[np.float32]:
        """The served pmf by context, made by the service's own `mix`, 0 where not eligible."""
        pmf = np.zeros((CONTEXTS, OFFERS), dtype=np.float32)
        for context, allowed in enumerate(ELIGIBLE):
            eligible = np.flatnonzero(allowed)
            position = int(np.flatnonzero(eligible == BASELINE)[0])
            model = self.model[context, eligible]
            pmf[context, eligible] = mix(model, position, len(eligible), self.ramp, self.floor)
        return pmf

    def value(self, pmf: NDArray[np.float64], where: NDArray[np.bool_] | None = None) -> float:
        """Return a policy's true reward a decision, in the contexts `where`; `pmf` is by context."""
        frequency = 0.5 * MEAN_VISITS[:, None] * CONTEXT_OF_KIND
        if where is not None:
            frequency = frequency * where
        earned = (pmf * self.mean_reward).sum(axis=1)[None, :] + WORTH
        return float((frequency * earned).sum() / frequency.sum())

    def log(self, chance: np.random.Generator, visitor_count: int) -> tuple[DecisionRows, NDArray[np.int64]]:
        """Return a log of visitors in the order of time, and the context of every row."""
        kind = chance.integers(0, 2, visitor_count)
        visits = 1 + chance.poisson(MEAN_VISITS[kind] - 1.0)
        visitor = np.repeat(np.arange(visitor_count), visits)
        chance.shuffle(visitor)
        mood = chance.choice([-MOOD, MOOD], visitor_count)
        cumulative = CONTEXT_OF_KIND.cumsum(axis=1)[kind[visitor]]
        context = (chance.random((len(visitor), 1)) > cumulative).sum(axis=1)
        chosen, propensity = draw_many(self.served[context], chance.random(len(visitor)))
        mean = self.mean_reward[context, chosen] + mood[visitor] + WORTH[kind[visitor], context]
        rows = DecisionRows(
            # Ids that mean nothing, so that folds and buckets are not in their order.
            visitor=visitor * 7_919 + 13,
            reward=(chance.random(len(visitor)) < mean).astype(np.float64),
            chosen=chosen,
            propensity=propensity,
            offers=np.where(ELIGIBLE, np.arange(OFFERS), -1).astype(np.int32)[context],
            pmf=self.served[context],
            floor=np.full(len(visitor), self.floor),
            baseline=np.full(len(visitor), BASELINE),
            model_pmf=self.model.astype(np.float32)[context],
        )
        return rows, context


def draw_many(
    pmf: NDArray[np.float32], u: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return chosen index and propensity of every row: core.draw.pick for many, pmf (n, k), u (n,)."""
    cumulative = np.cumsum(pmf, axis=1, dtype=np.float64)
    total = cumulative[:, -1]
    chosen = (cumulative <= (u * total)[:, None]).sum(axis=1)
    return chosen, pmf[np.arange(len(u)), chosen].astype(np.float64) / total


def in_order(rows: DecisionRows, looks: int) -> list[DecisionRows]:
    """Return a log cut into parts of equal length."""
    numbers = np.arange(len(rows))
    edges = np.linspace(0, len(rows), looks + 1).astype(np.int64)
    return [
        rows.where((numbers >= low) & (numbers < high)) for low, high in itertools.pairwise(edges.tolist())
    ]
