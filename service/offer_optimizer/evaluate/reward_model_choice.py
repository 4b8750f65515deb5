"""Reward models by name, in two passes over a log: first `add` every batch and `fit`, then ask for `values`.

What is said about a row never comes from the row's visitor, but for a model that was given from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.log import LogRows
from offer_optimizer.evaluate.clusters import Floats, Ints
from offer_optimizer.evaluate.reward_model import RewardModel, RewardSums
from offer_optimizer.evaluate.reward_model_context import RidgeSums


class RewardValues(Protocol):
    """A fitted reward model."""

    def values(self, rows: LogRows) -> Floats:
        """Return the expected reward of every eligible offer, shape (n, k); 0 where there is none."""
        ...


class RewardLearner(Protocol):
    """A reward model that is being fitted."""

    def add(self, rows: LogRows) -> None:
        """Learn rows."""
        ...

    def fit(self) -> RewardValues:
        """Return the model of all that was added."""
        ...


class MeanValues:
    """The mean reward of each offer, see evaluate.reward_model."""

    def __init__(self, model: RewardModel) -> None:
        self._model = model

    def values(self, rows: LogRows) -> Floats:
        """See RewardValues."""
        # The last column is of offers without a decision: the mean of all.
        if len(rows) and rows.offers.strides[0] == 0 and rows.offers.min() >= 0:
            # The same offers in every row: a row of the table for each.
            columns = np.minimum(rows.offers[0], self._model.values.shape[1] - 1)
            return self._model.of_all(rows.visitor, columns)
        known = np.minimum(rows.offers, self._model.values.shape[1] - 1)
        said = self._model.of(rows.visitor, np.maximum(known, 0).astype(np.int64))
        return np.where(rows.offers >= 0, said, 0.0)


class MeanLearner:
    """Learns the mean reward of each offer."""

    def __init__(self) -> None:
        nobody = np.empty(0, np.int64)
        self._sums = RewardSums.of(nobody, nobody, np.empty(0), 0)

    def add(self, rows: LogRows) -> None:
        """See RewardLearner."""
        if len(rows):
            width = int(rows.chosen.max()) + 1
            self._sums += RewardSums.of(rows.visitor, rows.chosen, rows.reward, width, rows.weight)

    def fit(self) -> MeanValues:
        """See RewardLearner."""
        nobody = np.empty(0, np.int64)
        unseen = RewardSums.of(nobody, nobody, np.empty(0), self._sums.counts.shape[1] + 1)
        return MeanValues((self._sums + unseen).fit())


class RidgeLearner:
    """Learns a ridge regression on the context, see evaluate.reward_model_context."""

    def __init__(self) -> None:
        self._sums = RidgeSums.empty()

    def add(self, rows: LogRows) -> None:
        """See RewardLearner."""
        self._sums += RidgeSums.of(rows)

    def fit(self) -> RewardValues:
        """See RewardLearner."""
        return self._sums.fit()


class GivenRewards:
    """Expected rewards from outside: a table by offer, or by offer and a numeric column of the context.

    Right only if they were not made from the log that they are used on: nothing is cross-fitted here.
    """

    def __init__(self, table: Floats, column: str = "", cells: Sequence[float] = ()) -> None:
        """Take a table of shape (offers,), or (offers, cells) for the values `cells` of `column`."""
        if table.ndim != (2 if column else 1) or (column and table.shape[1] != len(cells)):
            raise InvalidInput("table", f"has shape {table.shape}: needs (offers,), or (offers, cells)")
        if not np.isfinite(table).all():
            raise InvalidInput("table", "holds a value that is not finite")
        self._table = table.astype(np.float64).reshape(len(table), -1)
        self._column = column
        self._cells = list(cells)

    def values(self, rows: LogRows) -> Floats:
        """See RewardValues. Raises InvalidInput for an offer or a cell that the table doesn't have."""
        if len(rows) and int(rows.offers.max()) >= len(self._table):
            raise InvalidInput("table", f"has {len(self._table)} offers, the log has more")
        said: Floats = self._table[np.maximum(rows.offers, 0), self._cell(rows)[:, None]]
        return np.where(rows.offers >= 0, said, 0.0)

    def _cell(self, rows: LogRows) -> Ints:
        if not self._column:
            return np.zeros(len(rows), dtype=np.int64)
        found = np.asarray(rows.contexts.column(self._column), dtype=np.float64)
        matches = found[:, None] == np.asarray(self._cells)[None, :]
        if not matches.any(axis=1).all():
            raise InvalidInput("table", f"has no cell for some value of the column {self._column!r}")
        cell: Ints = matches.argmax(axis=1)
        return cell


REWARD_MODELS: Final[Mapping[str, Callable[[], RewardLearner]]] = MappingProxyType(
    {"mean": MeanLearner, "ridge": RidgeLearner}
)
"""Every reward model that is fitted on the log itself, by name."""


def reward_learner_of(name: str) -> RewardLearner:
    """Return an empty reward model by its name. Raises InvalidInput."""
    made = REWARD_MODELS.get(name)
    if made is None:
        raise InvalidInput("reward_model", f"{name!r} is none of {', '.join(REWARD_MODELS)}")
    return made()


def modelled_columns(values: Floats, rows: LogRows, target: Floats) -> tuple[Floats, Floats]:
    """Return `Batch.predicted` and `Batch.expected`, both of shape (n,).

    `values` and the target policy's pmf `target` have shape (n, k), in the order of `rows.offers`.
    """
    is_chosen = rows.offers == rows.chosen[:, None]
    return np.where(is_chosen, values, 0.0).sum(axis=1), (target * values).sum(axis=1)
