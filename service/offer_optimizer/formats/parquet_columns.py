"""Columns of a Parquet batch as numpy arrays, and rows that are made only when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.core.log import Flags, Floats, Ints, Vocabulary
from offer_optimizer.core.outcome import LoggedDecision, Outcome
from offer_optimizer.formats.parquet_files import Piece
from offer_optimizer.formats.parquet_rows import from_table

Number = TypeVar("Number", np.int32, np.float32)


class DecisionIds(Sequence[str]):
    """Decision ids as text, each made when it is asked for."""

    def __init__(self, table: pa.Table) -> None:
        self._ids = table.column("decision_id").combine_chunks().storage

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        return format_decision_id(self._ids[index].as_py())


class Records:
    """The full records of a batch, read when the first is asked for."""

    def __init__(self, piece: Piece, keep: Flags) -> None:
        self._piece = piece
        self._keep = keep

    @cached_property
    def found(self) -> list[LoggedDecision]:
        """The records, in order."""
        return from_table(self._piece.whole().filter(pa.array(self._keep)))

    def __len__(self) -> int:
        return int(self._keep.sum())


class Outcomes(Sequence[Outcome]):
    """What came of the decisions of a batch."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Outcome]: ...
    def __getitem__(self, index: int | slice) -> Outcome | Sequence[Outcome]:
        found = self._records.found[index]
        return [logged.outcome for logged in found] if isinstance(found, list) else found.outcome


class Decisions(Sequence[Decision]):
    """The decisions of a batch."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Decision: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Decision]: ...
    def __getitem__(self, index: int | slice) -> Decision | Sequence[Decision]:
        found = self._records.found[index]
        return [logged.decision for logged in found] if isinstance(found, list) else found.decision


def equals(table: pa.Table, name: str, wanted: str) -> Flags:
    """Return where a column of texts has a value, shape (n,)."""
    flags: Flags = pc.equal(table.column(name), wanted).fill_null(fill_value=False).to_numpy()
    return flags


def is_null(table: pa.Table, name: str) -> Flags:
    """Return where a column has no value, shape (n,)."""
    flags: Flags = table.column(name).is_null().to_numpy()
    return flags


def floats(table: pa.Table, name: str) -> Floats:
    """Return a column of numbers, NaN where it has no value, shape (n,)."""
    numbers: Floats = table.column(name).to_numpy().astype(np.float64, copy=False)
    return numbers


def offer_numbers(column: pa.ChunkedArray, vocabulary: Vocabulary) -> NDArray[np.int32]:
    """Return lists of offers as numbers of the vocabulary, shape (n, k), -1 behind the last."""
    numbers, lengths = [], []
    for chunk in column.chunks:
        lengths.append(chunk.value_lengths().to_numpy(zero_copy_only=False))
        flat = chunk.flatten().dictionary_encode()
        codes = flat.indices.to_numpy(zero_copy_only=False)
        ids = flat.dictionary.to_pylist()
        known = np.full(len(ids), -1, dtype=np.int32)
        for code in np.unique(codes).tolist():
            known[code] = vocabulary.number(ids[code])
        numbers.append(known[codes])
    return _dense(np.concatenate(numbers), np.concatenate(lengths), -1)


def dense_pmf(column: pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    """Return distributions, shape (n, width), with 0 behind the last."""
    lists = column.combine_chunks()
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    return _dense(lists.flatten().to_numpy(zero_copy_only=False), lengths, 0, width)


def _dense(flat: NDArray[Number], lengths: Ints, fill: int, width: int | None = None) -> NDArray[Number]:
    """Return ragged rows as an array, shape (n, width or longest), filled up behind."""
    columns = int(lengths.max(initial=1)) if width is None else width
    dense = np.full((len(lengths), columns), fill, dtype=flat.dtype)
    dense[np.arange(columns) < lengths[:, None]] = flat
    return dense
