"""What passes come to: normalised regret with intervals over seeds, ranks, and when 90 % was reached. Pure.

Normalised regret (NR) is 0 for the best that is possible and 1 for choosing evenly. The best of a table is
what the best of three learners earned that see every label; of a shop it follows from the truth.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from benchmarks.bakeoff.passes import Facts, Figures
from benchmarks.bakeoff.tables import TABLES

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds; `half_width` of its 95 % interval (Student's t), None for a single seed."""

    value: float
    half_width: float | None


def regret(name: str, facts: Facts, reward: float) -> float | None:
    """Return the normalised regret of a reward a round, None where the best is unknown."""
    best = TABLES.get(name, facts.best)
    # A table pays 1 for the one right label, so an even choice earns 1 / K.
    even = 1.0 / facts.offers if name in TABLES else facts.uniform
    return None if best is None else (best - reward) / (best - even)


def mean(values: Sequence[float]) -> Mean:
    """Return mean and interval of independent values, one a seed."""
    if len(values) < 2:
        return Mean(values[0], None)
    reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, len(values) - 1))
    return Mean(statistics.fmean(values), reach * statistics.stdev(values) / math.sqrt(len(values)))


def regrets(figures: Figures, who: str, names: Sequence[str]) -> list[float]:
    """Return the mean regret over the problems whose best is known, for each seed."""
    by_problem = []
    for name in names:
        pairs = zip(figures.facts[name], figures.passes[who][name], strict=True)
        found = [regret(name, facts, result.reward) for facts, result in pairs]
        if None not in found:
            by_problem.append([value for value in found if value is not None])
    return [statistics.fmean(values) for values in zip(*by_problem, strict=True)]


def mean_rank(figures: Figures, who: str, names: Sequence[str]) -> float:
    """Return the mean rank by reward over problems and seeds: 1 is best, equals share their ranks."""
    ranks = []
    for name in names:
        for at in range(len(figures.facts[name])):
            rewards = [passes[name][at].reward for passes in figures.passes.values()]
            own = figures.passes[who][name][at].reward
            better, equal = sum(r > own for r in rewards), sum(r == own for r in rewards)
            ranks.append(better + (equal + 1) / 2)
    return statistics.fmean(ranks)


def reached(figures: Figures, who: str, name: str) -> float:
    """Return the median over seeds of the round by which 90 % of the best was reached, infinite for never."""
    return statistics.median(
        math.inf if result.reached is None else result.reached for result in figures.passes[who][name]
    )
