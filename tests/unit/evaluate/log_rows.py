"""Small logs in columns, made up for tests of what reads any log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.core.features import Features
from offer_optimizer.core.log import Column, LogRows
from tests.unit.evaluate.bandit_worlds import draw_many


@dataclass(frozen=True)
class Columns:
    """Contexts by column."""

    count: int
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return self.count

    def features(self, row: int) -> Features:
        raise NotImplementedError

    def names(self) -> Sequence[str]:
        return sorted(self.columns)

    def column(self, name: str) -> Column:
        return self.columns[name]

    def where(self, rows: NDArray[np.int64]) -> Columns:
        """Return some rows."""
        cut: dict[str, Column] = {}
        for name, column in self.columns.items():
            is_text = isinstance(column, list)
            cut[name] = [column[row] for row in rows] if is_text else np.asarray(column)[rows]
        return Columns(len(rows), cut)


def drawn_rows(
    pmf: NDArray[np.float64],
    chance: np.random.Generator,
    columns: Mapping[str, Column] | None = None,
    visitors: int = 300,
) -> LogRows:
    """Return rows whose choices were drawn from `pmf`, shape (n, k), of offers 0 to k - 1; rewards are 0."""
    count, offers = pmf.shape
    stored = pmf.astype(np.float32)
    chosen, propensity = draw_many(stored, np.asarray(chance.random(count)))
    return LogRows(
        visitor=np.asarray(chance.integers(0, visitors, count)),
        time_us=np.zeros(count, np.int64),
        reward=np.zeros(count),
        chosen=chosen,
        propensity=propensity,
        offers=np.where(stored > 0.0, np.arange(offers), -1).astype(np.int32),
        contexts=Columns(count, columns or {}),
        pmf=stored,
    )


def some_rows(rows: LogRows, which: NDArray[np.int64]) -> LogRows:
    """Return the rows with these numbers."""
    assert isinstance(rows.contexts, Columns)
    assert rows.pmf is not None
    return replace(
        rows,
        visitor=rows.visitor[which],
        time_us=rows.time_us[which],
        reward=rows.reward[which],
        chosen=rows.chosen[which],
        propensity=rows.propensity[which],
        offers=rows.offers[which],
        contexts=rows.contexts.where(which),
        pmf=rows.pmf[which],
        weight=None if rows.weight is None else rows.weight[which],
    )


CITIES = ["Lyon", "Ghent", ""]


BEST_VALUE = 2 / 3 * 0.8 + 1 / 3 * 0.5
"""What showing everybody their best offer earns in a shop's log."""


def worth(age: NDArray[np.float64], city: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean reward of three offers, shape (n, 3): each is for somebody else."""
    return np.stack([0.2 + 0.6 * (age > 40), 0.2 + 0.6 * (city == 0), np.full(len(age), 0.5)], axis=1)


def shop_log(seed: int = 1, count: int = 4000, visitors: int = 300) -> tuple[LogRows, NDArray[np.float64]]:
    """Return a uniform log with contexts, and the mean reward of every offer, shape (n, 3).

    Half of the visitors earn more, whatever they are shown.
    """
    chance = np.random.default_rng(seed)
    age, city = chance.uniform(20.0, 60.0, count), chance.integers(0, 3, count)
    columns: dict[str, Column] = {
        "age": np.where(age < 21.0, np.nan, age),
        "city": [CITIES[number] for number in city],
    }
    rows = drawn_rows(np.full((count, 3), 1 / 3), chance, columns, visitors)
    mean = worth(age, city)
    mood = np.where(rows.visitor % 2 == 0, 0.1, -0.1)
    reward = (chance.random(count) < mean[np.arange(count), rows.chosen] + mood).astype(np.float64)
    return replace(rows, reward=reward), mean
