"""How a policy that learns on the log fares along it: sums over stretches of equal length, however long the
log.

When there are too many stretches, neighbours are put together, so memory stays fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from offer_optimizer.core.log import Floats

STRETCHES: Final = 64
"""At least half as many stretches are kept of a long log, at most this many."""
_ROWS: Final = 0


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A stretch of the log: up to which row, the policy's value there by SNIPS, and what was logged there."""

    end_row: int
    value: float | None
    logged: float


class LearningCurve:
    """Sums of rows, weighted rewards, weights and rewards by stretch."""

    def __init__(self, stretch: int = 256) -> None:
        self._stretch = stretch
        self._sums = np.zeros((STRETCHES, 4))
        self._next_row = 0

    def add(self, weight: Floats, reward: Floats) -> None:
        """Add the next rows, shape (n,)."""
        count = len(weight)
        while (self._next_row + count - 1) // self._stretch >= STRETCHES:
            self._sums = np.concatenate(
                [self._sums.reshape(-1, 2, 4).sum(axis=1), np.zeros((STRETCHES // 2, 4))]
            )
            self._stretch *= 2
        index = (self._next_row + np.arange(count)) // self._stretch
        columns = (None, weight * reward, weight, reward)
        for column, values in enumerate(columns):
            self._sums[:, column] += np.bincount(index, weights=values, minlength=STRETCHES)
        self._next_row += count

    def points(self) -> tuple[CurvePoint, ...]:
        """Return the stretches that have rows, in order; without a value where no weight fell.

        A last one that is not half full belongs to the one before: a few rows show nothing but chance.
        """
        sums = self._sums[self._sums[:, _ROWS] > 0.0]
        if len(sums) > 1 and sums[-1, _ROWS] < self._stretch / 2:
            sums = np.concatenate([sums[:-2], sums[-2:].sum(axis=0, keepdims=True)])
        found = []
        end = 0
        for rows, weighted, weight, reward in sums.tolist():
            end += int(rows)
            found.append(CurvePoint(end, weighted / weight if weight > 0.0 else None, reward / rows))
        return tuple(found)
