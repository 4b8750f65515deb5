"""What a reward model expects of offers in the rows of a log, for estimators that use one.

Either fitted on the log itself, blind to the row's own visitor, or given by the caller as a function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.log import Floats, LogRows
from offer_optimizer.evaluate.reward_model import RewardModel

AnyInts = NDArray[np.int32] | NDArray[np.int64]


class Expectations(Protocol):
    """Expected rewards."""

    def of(self, rows: LogRows, offers: AnyInts) -> Floats:
        """Return the expected reward of offers, shape (n, m), in the rows; 0 where an offer is -1."""
        ...


class Fitted:
    """A model that was fitted on other visitors of the log."""

    def __init__(self, model: RewardModel) -> None:
        self._model = model

    def of(self, rows: LogRows, offers: AnyInts) -> Floats:
        """See Expectations."""
        found = self._model.of(rows.visitor, np.maximum(offers, 0).astype(np.int64))
        return np.where(offers >= 0, found, 0.0)


class Given:
    """A caller's function from rows to expected rewards, shape (n, k) beside `rows.offers`."""

    def __init__(self, function: Callable[[LogRows], Floats]) -> None:
        self._function = function

    def of(self, rows: LogRows, offers: AnyInts) -> Floats:
        """See Expectations. Raises InvalidInput for another shape. An offer that is not eligible has 0."""
        found = np.asarray(self._function(rows), dtype=np.float64)
        if found.shape != rows.offers.shape:
            raise InvalidInput("reward_model", f"returned shape {found.shape}, expected {rows.offers.shape}")
        if offers is rows.offers:
            return np.where(offers >= 0, found, 0.0)
        columns = [
            np.where((rows.offers == own[:, None]) & (own[:, None] >= 0), found, 0.0).sum(axis=1)
            for own in offers.T
        ]
        return np.stack(columns, axis=1)
