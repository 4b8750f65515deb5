"""Contexts that were read as features, seen as columns where somebody asks for one.

A column is numbers where every row that has the name has a number (NaN elsewhere), else texts (empty where a
row has none): a category is its value, a tag set its values with commas between, a number its shortest
digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offer_optimizer.core.features import Features
from offer_optimizer.core.log import Column

_Values = list[tuple[int, str | float]]


class FeatureContexts:
    """Implements core.log.Contexts over a sequence of Features."""

    def __init__(self, rows: Sequence[Features]) -> None:
        self._rows = rows
        self._values: dict[str, _Values] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def features(self, row: int) -> Features:
        """See Contexts."""
        return self._rows[row]

    def names(self) -> Sequence[str]:
        """See Contexts."""
        return sorted(self._by_name())

    def column(self, name: str) -> Column:
        """See Contexts."""
        values = self._by_name()[name]
        if all(isinstance(value, float) for _, value in values):
            numbers = np.full(len(self._rows), np.nan)
            for row, value in values:
                numbers[row] = value
            return numbers
        texts = [""] * len(self._rows)
        for row, value in values:
            texts[row] = value if isinstance(value, str) else f"{value!r}"
        return texts

    def _by_name(self) -> dict[str, _Values]:
        if self._values is None:
            found: dict[str, _Values] = {}
            for row, features in enumerate(self._rows):
                for name, value in features.categories:
                    found.setdefault(name, []).append((row, value))
                for name, number in features.numbers:
                    found.setdefault(name, []).append((row, number))
                for name, values in features.tags:
                    found.setdefault(name, []).append((row, ",".join(values)))
            self._values = found
        return self._values
