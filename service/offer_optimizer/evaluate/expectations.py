"""What a reward model expects in the rows of one batch, asked once for all policies and estimators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.log import Floats, LogRows
from offer_optimizer.evaluate.reward_model_choice import RewardValues
from offer_optimizer.evaluate.target import TargetRows, position_of


class Expectations:
    """Expected rewards of the eligible offers of some rows, shape (n, k) beside `rows.offers`."""

    def __init__(self, rows: LogRows, model: RewardValues) -> None:
        self._rows = rows
        self._values = model.values(rows)
        self.predicted = _at(rows, self._values, rows.chosen)
        """Of the chosen offer, shape (n,)."""

    def under(self, followed: TargetRows) -> Floats:
        """Return the mean under a target policy, shape (n,); what is not eligible adds nothing."""
        if followed.offers is self._rows.offers:
            mean: Floats = np.einsum("ij,ij->i", followed.mass, self._values)
            return mean
        total = np.zeros(len(self._rows))
        for offers, mass in zip(followed.offers.T, followed.mass.T, strict=True):
            total += mass * _at(self._rows, self._values, offers)
        return total


class GivenFunction:
    """A caller's function from rows to expected rewards, shape (n, k). Implements RewardValues."""

    def __init__(self, function: Callable[[LogRows], Floats]) -> None:
        self._function = function

    def values(self, rows: LogRows) -> Floats:
        """See RewardValues. Raises InvalidInput for another shape."""
        found = np.asarray(self._function(rows), dtype=np.float64)
        if found.shape != rows.offers.shape:
            raise InvalidInput("reward_model", f"returned shape {found.shape}, expected {rows.offers.shape}")
        return np.where(rows.offers >= 0, found, 0.0)


def _at(rows: LogRows, values: Floats, offers: NDArray[np.integer[Any]]) -> Floats:
    """Return the value of one offer in each row, shape (n,); 0 where it is not eligible."""
    column, every = position_of(rows, offers), np.arange(len(rows))
    is_there = rows.offers[every, column] == offers
    found: Floats = np.where(is_there & (offers >= 0), values[every, column], 0.0)
    return found
