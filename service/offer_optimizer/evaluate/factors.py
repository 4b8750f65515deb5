"""Columns of a context as codes, so that what depends on a few of them is computed once for each combination.

Missing values are values of their own: NaN in numbers, the empty text in texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offer_optimizer.core.log import Column, Contexts, Ints

Value = float | str


@dataclass(frozen=True, eq=False)
class Combinations:
    """The distinct combinations of some columns: `values` by combination, and for every row its index."""

    values: list[tuple[Value, ...]]
    code: Ints


def combinations(columns: Sequence[Column], count: int) -> Combinations:
    """Return the distinct combinations of columns with `count` entries each; one where there is no column."""
    code = np.zeros(count, dtype=np.int64)
    first = np.zeros(min(count, 1), dtype=np.int64)
    for column in columns:
        own, size = _codes(column)
        _, first, code = np.unique(code * size + own, return_index=True, return_inverse=True)
    rows = first.tolist()
    return Combinations([tuple(_value(column, row) for column in columns) for row in rows], code)


def column_or_missing(contexts: Contexts, name: str, *, is_number: bool) -> tuple[Column, bool]:
    """Return a column and whether it is there; one of missing values where no row of the batch has it."""
    try:
        return contexts.column(name), True
    except KeyError:
        count = len(contexts)
        return (np.full(count, np.nan) if is_number else [""] * count), False


def is_numeric(column: Column) -> bool:
    """Return whether a column holds numbers."""
    return isinstance(column, np.ndarray) and column.dtype.kind == "f"


def _codes(column: Column) -> tuple[Ints, int]:
    """Return a number for every entry, equal for equal entries, and how many different ones there are."""
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        values, code = np.unique(column, return_inverse=True)
        return code, max(len(values), 1)
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(text, len(numbers)) for text in column), np.int64, len(column))
    return codes, max(len(numbers), 1)


def _value(column: Column, row: int) -> Value:
    value = column[row]
    return value if isinstance(value, str) else float(value)
