"""Contexts and offer attributes of a Parquet batch: columns at once, Features only where asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.features import Features
from offer_optimizer.core.log import Column, Ints

MAPS = ("context_categories", "context_numbers", "context_tags")


class _Entries:
    """The entries of a column of maps: which row each belongs to, its name as a code, its value."""

    def __init__(self, column: pa.MapArray) -> None:
        offsets = column.offsets.to_numpy()
        first, last = int(offsets[0]), int(offsets[-1])
        self.rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        names = column.keys.slice(first, last - first).dictionary_encode()
        self.codes: NDArray[np.int32] = names.indices.to_numpy(zero_copy_only=False)
        self.names: dict[str, int] = {name: code for code, name in enumerate(names.dictionary.to_pylist())}
        self.values = column.items.slice(first, last - first)

    def of(self, name: str) -> tuple[Ints, pa.Array]:
        """Return the rows that have a name, and its values there."""
        found = np.flatnonzero(self.codes == self.names[name])
        return self.rows[found], self.values.take(pa.array(found))


class ParquetContexts:
    """Implements core.log.Contexts. Columns are the categories and numbers; tags are in `features` alone."""

    def __init__(self, table: pa.Table) -> None:
        self._count = int(table.num_rows)
        self._maps = [table.column(name).combine_chunks() for name in MAPS]

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _categories(self) -> _Entries:
        return _Entries(self._maps[0])

    @cached_property
    def _numbers(self) -> _Entries:
        return _Entries(self._maps[1])

    @cached_property
    def _plain(self) -> list[list[tuple[tuple[str, object], ...]]]:
        return [[tuple(map(tuple, row)) for row in column.to_pylist()] for column in self._maps]

    def features(self, row: int) -> Features:
        """See Contexts."""
        categories, numbers, tags = (column[row] for column in self._plain)
        return Features(categories, numbers, tuple((name, tuple(values)) for name, values in tags))  # type: ignore[arg-type]

    def names(self) -> Sequence[str]:
        """See Contexts."""
        return sorted({*self._categories.names, *self._numbers.names})

    def column(self, name: str) -> Column:
        """See Contexts."""
        if name in self._numbers.names:
            rows, values = self._numbers.of(name)
            numbers = np.full(self._count, np.nan)
            numbers[rows] = values.to_numpy(zero_copy_only=False)
            return numbers
        if name not in self._categories.names:
            raise KeyError(name)
        rows, values = self._categories.of(name)
        texts = [""] * self._count
        for row, value in zip(rows.tolist(), values.to_pylist(), strict=True):
            texts[row] = value
        return texts


class ParquetAttributes(Sequence[tuple[Features, ...]]):
    """Attributes of the eligible by row, from the catalog of the row's revision or from the request."""

    def __init__(
        self,
        table: pa.Table,
        offers: NDArray[np.int32],
        ids: Sequence[str],
        catalogs: Mapping[int, CatalogRevision],
    ) -> None:
        self._revisions = table.column("catalog_revision").to_numpy()
        self._inline = table.column("inline")
        self._offers = offers
        self._ids = ids
        self._catalogs = catalogs
        self._known: dict[tuple[int, bytes], tuple[Features, ...]] = {}

    def __len__(self) -> int:
        return len(self._offers)

    @overload
    def __getitem__(self, index: int) -> tuple[Features, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[Features, ...]]: ...
    def __getitem__(self, index: int | slice) -> tuple[Features, ...] | Sequence[tuple[Features, ...]]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = self._offers[index]
        inline = self._inline[index].as_py()
        if inline:
            given = {entry["offer"]: _features(entry) for entry in inline}
            return tuple(given[self._ids[number]] for number in row[row >= 0])
        key = (int(self._revisions[index]), row.tobytes())
        found = self._known.get(key)
        if found is None:
            catalog = self._catalogs[key[0]].catalog
            by_id = (catalog.offer_index[self._ids[number]] for number in row[row >= 0])
            found = self._known[key] = tuple(catalog.offers[offer].attributes for offer in by_id)
        return found


def _features(entry: Mapping[str, Sequence[tuple[str, object]]]) -> Features:
    return Features(
        categories=tuple((name, str(value)) for name, value in entry["categories"]),
        numbers=tuple((name, float(value)) for name, value in entry["numbers"]),  # type: ignore[arg-type]
        tags=tuple((name, tuple(values)) for name, values in entry["tags"]),  # type: ignore[arg-type]
    )
