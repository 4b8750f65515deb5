"""Contexts that lie in columns: nothing is made of a row until somebody asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from offer_optimizer.core.features import Features
from offer_optimizer.core.log import Column, Floats


class TableContexts:
    """Implements core.log.Contexts over columns of n entries: numbers (NaN: none) and texts (empty: none)."""

    def __init__(
        self, row_count: int, numbers: Mapping[str, Floats], texts: Mapping[str, Sequence[str]]
    ) -> None:
        self._row_count = row_count
        self._numbers = dict(sorted(numbers.items()))
        self._texts = dict(sorted(texts.items()))

    def __len__(self) -> int:
        return self._row_count

    def features(self, row: int) -> Features:
        """See Contexts."""
        return Features(
            categories=tuple((name, texts[row]) for name, texts in self._texts.items() if texts[row]),
            numbers=tuple(
                (name, number)
                for name, numbers in self._numbers.items()
                if not np.isnan(number := float(numbers[row]))
            ),
        )

    def names(self) -> Sequence[str]:
        """See Contexts."""
        return sorted([*self._numbers, *self._texts])

    def column(self, name: str) -> Column:
        """See Contexts."""
        found = self._numbers.get(name)
        return self._texts[name] if found is None else found
