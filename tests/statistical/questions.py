"""Target policies to ask about simulated logs, with the truth of each; and how often intervals may miss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import binom

from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.clusters import Flags
from offer_optimizer.evaluate.estimators import Estimate
from offer_optimizer.evaluate.reward_model import RewardModel
from offer_optimizer.evaluate.rows import DecisionRows, always, following, full_ramp_pmf, uniform_pmf
from tests.conftest import Size
from tests.unit.evaluate.bandit_worlds import ELIGIBLE, OFFERS, World

VISITORS = 500
X = 0
UNIFORM = ELIGIBLE / ELIGIBLE.sum(axis=1, keepdims=True)
ALWAYS_X = np.eye(OFFERS)[[X] * len(ELIGIBLE)]
X_ELIGIBLE = ELIGIBLE[:, X]

Question = Callable[[DecisionRows, RewardModel], tuple[Batch, Flags | None]]


def ask_uniform(rows: DecisionRows, model: RewardModel) -> tuple[Batch, Flags | None]:
    return following(rows, uniform_pmf(rows), model), None


def ask_always_x(rows: DecisionRows, model: RewardModel) -> tuple[Batch, Flags | None]:
    return always(rows, X, model), (rows.offers == X).any(axis=1)


def ask_full_ramp(rows: DecisionRows, model: RewardModel) -> tuple[Batch, Flags | None]:
    return following(rows, full_ramp_pmf(rows), model), None


def truths(world: World) -> dict[Question, float]:
    full = (1.0 - world.floor) * world.model + world.floor * UNIFORM
    return {
        ask_uniform: world.value(UNIFORM),
        ask_always_x: world.value(ALWAYS_X, X_ELIGIBLE),
        ask_full_ramp: world.value(full),
    }


def covers(estimate: Estimate, truth: float, widened: float = 0.0) -> bool:
    assert estimate.value is not None, estimate.refused_reason
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low - widened <= truth <= estimate.high + widened


def width_of(estimate: Estimate) -> float:
    assert estimate.width is not None
    return estimate.width


def bounds_of(worlds: int) -> tuple[int, int]:
    """Return how often a right 95 % interval covers: 925 to 975 of 1,000, else 1e-4 false alarms a side."""
    if worlds == 1000:
        return 925, 975
    return int(binom.ppf(1e-4, worlds, 0.95)), int(binom.isf(1e-4, worlds, 0.95))


def least_of(worlds: int) -> int:
    """Return how often a guaranteed 95 % interval covers at least: 930 of 1,000, else 1e-4 false alarms."""
    return 930 if worlds == 1000 else int(binom.ppf(1e-4, worlds, 0.95))


def worlds_of(size: Size) -> int:
    return size.pick(test=40, ci=300, proof=1000)
