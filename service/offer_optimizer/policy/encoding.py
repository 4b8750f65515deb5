"""Features as numbers for the numpy policies: a row of columns that grows with what examples bring.

A category's value and each value of a tag set is a column that is 1 where it holds; a number is a column of
z-scores. Always holds: asking changes nothing; only examples add columns and move means, so nothing is known
before it was learned; a value never learned and a missing number are 0, the mean of nothing known; every
entry is within +-CLIP; the width is bounded, since past `exact` columns names share hashed ones.
"""

from __future__ import annotations

import math
import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.core.features import Features

Vector = npt.NDArray[np.float64]

CLIP: Final = 4.0
"""Farthest that a z-score goes: beyond, a number tells no more."""
_REACH: Final = 10.0
_TRUSTED: Final = 30
# Once so many values are known, one that lies farther out than so many deviations moves the mean as that.
STEP: Final = 8
"""Capacity grows in steps of so many columns, so that arrays are seldom copied."""


class Encoder:
    """Columns by name. `exact` of them have one name each; up to `hashed` more are shared by the rest.

    Column 0 is 1 always. `width` counts the columns in use, `capacity` is the length of a row.
    """

    def __init__(self, exact: int, hashed: int) -> None:
        self._exact = exact
        self._hashed = hashed
        self._flags: dict[tuple[str, str], int] = {}
        self._numbers: dict[str, int] = {}
        self._seen: dict[int, list[float]] = {}
        # Of each number's column: mean and 1 / deviation, ready to use.
        self._scale: dict[int, tuple[float, float]] = {}
        self.width = 1
        self.overflowed = False

    @property
    def capacity(self) -> int:
        """Return the length of a row: a function of `width` alone, so that a loaded model has the same."""
        return -(-self.width // STEP) * STEP

    def encode(self, features: Features) -> Vector:
        """Return the row of some features, float64, shape (capacity,)."""
        row = [0.0] * self.capacity
        row[0] = 1.0
        flags = self._flags
        for pair in features.categories:
            column = flags.get(pair)
            if column is not None:
                row[column] = 1.0
            elif self.overflowed:
                self._set_shared(row, pair)
        scale, numbers = self._scale, self._numbers
        for name, number in features.numbers:
            column = numbers.get(name)
            if column is not None:
                mean, inverse = scale[column]
                score = (number - mean) * inverse
                row[column] = CLIP if score > CLIP else max(score, -CLIP)
        for name, values in features.tags:
            for value in values:
                column = flags.get((name, value))
                if column is not None:
                    row[column] = 1.0
                elif self.overflowed:
                    self._set_shared(row, (name, value))
        return np.array(row)

    def scores(self, features: Features) -> tuple[tuple[str, float], ...]:
        """Return the numbers that are known as z-scores, in their order."""
        scale, columns = self._scale, self._numbers
        found = []
        # A loop, because each comprehension is a call of its own, and `min` and `max` are calls too.
        for name, number in features.numbers:
            column = columns.get(name)
            if column is not None:
                mean, inverse = scale[column]
                score = (number - mean) * inverse
                found.append((name, CLIP if score > CLIP else score if score > -CLIP else -CLIP))  # noqa: FURB136
        return tuple(found)

    def learn(self, features: Features) -> None:
        """Add the columns that are new, and move means and deviations."""
        for pair in features.categories:
            if pair not in self._flags:
                self._add_flag(pair)
        for name, values in features.tags:
            for value in values:
                if (name, value) not in self._flags:
                    self._add_flag((name, value))
        for name, number in features.numbers:
            column = self._numbers.get(name)
            if column is None:
                if self.width >= self._exact:
                    continue  # a shared column can't have one mean: numbers past the bound are left out
                column = self._numbers[name] = self.width
                self._seen[column] = [0.0, 0.0, 0.0]
                self.width += 1
            self._move(column, number)

    def describe(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "width": self.width,
            "overflowed": self.overflowed,
            "flags": [[name, value, column] for (name, value), column in self._flags.items()],
            "numbers": [[name, column, *self._seen[column]] for name, column in self._numbers.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a described state. Raises PolicyFault when it can't be one."""
        self.width, self.overflowed = int(state["width"]), bool(state["overflowed"])
        self._flags = {(name, value): column for name, value, column in state["flags"]}
        for name, column, count, mean, square in state["numbers"]:
            self._numbers[name] = column
            self._seen[column] = [count, mean, square]
            self._scale[column] = _scale(count, mean, square)
        used = [*self._flags.values(), *self._numbers.values()]
        moments = [moment for seen in self._seen.values() for moment in seen]
        if not 1 <= self.width <= self._exact + self._hashed or any(not 1 <= c < self.width for c in used):
            raise PolicyFault("load: a column lies outside of the model")
        if not all(map(math.isfinite, moments)):
            raise PolicyFault("load: a mean or deviation is not finite")

    def _add_flag(self, pair: tuple[str, str]) -> None:
        if self.width < self._exact:
            self._flags[pair] = self.width
            self.width += 1
        elif self._hashed and not self.overflowed:
            self.overflowed = True
            self.width = self._exact + self._hashed

    def _set_shared(self, row: list[float], pair: tuple[str, str]) -> None:
        text = f"{len(pair[0])}:{pair[0]}{pair[1]}".encode("utf-8", "surrogatepass")
        row[self._exact + zlib.crc32(text) % self._hashed] = 1.0

    def _move(self, column: int, number: float) -> None:
        """Move a number's mean and sum of squares by one value (Welford)."""
        seen = self._seen[column]
        count, mean, square = seen
        if count >= _TRUSTED:
            reach = _REACH * math.sqrt(square / count) + 1e-9 * (1.0 + abs(mean))
            number = min(max(number, mean - reach), mean + reach)
        count += 1.0
        step = number - mean
        mean += step / count
        square += step * (number - mean)
        seen[:] = [count, mean, square]
        self._scale[column] = _scale(count, mean, square)


def _scale(count: float, mean: float, square: float) -> tuple[float, float]:
    """Return mean and 1 / deviation, 0 where the number never varied."""
    deviation = math.sqrt(square / count)
    return mean, (1.0 / deviation if deviation > 1e-9 * (1.0 + abs(mean)) else 0.0)
