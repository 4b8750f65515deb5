"""The target policy `pmf:FILE`: probabilities that somebody else computed, looked up by row or context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import show
from offer_optimizer.core.log import Column, Floats, Log, LogRows, Vocabulary
from offer_optimizer.evaluate.factors import Value, combinations, is_numeric
from offer_optimizer.evaluate.pmf_table import ROUNDING, PmfTable, read_pmf_table
from offer_optimizer.evaluate.target import SUM_TOLERANCE, LogFacts, StillRun, TargetRows, TargetRun, aligned
from offer_optimizer.evaluate.target_fixed import unknown_offers

ROW: Final = "row"
DECISION_ID: Final = "decision_id"


@dataclass(frozen=True, slots=True)
class TablePolicy:
    """Does what a file says. The file is read when a log is begun."""

    text: str
    path: Path
    is_progressive: bool = False
    needs_facts: bool = False

    def start(self, log: Log, facts: LogFacts | None) -> TargetRun:  # noqa: ARG002  (the protocol's)
        """See TargetPolicy. Raises InvalidInput about the file."""
        return _TableRun(self.text, read_pmf_table(self.path), log.vocabulary)


class _TableRun(StillRun):
    def __init__(self, text: str, table: PmfTable, vocabulary: Vocabulary) -> None:
        self._text = text
        self._table = table
        self._vocabulary = vocabulary
        self._row = 0
        self._rows_told = _row_count(table)
        self._by_kind: dict[tuple[bool, ...], dict[tuple[Value, ...], tuple[str, ...]]] = {}

    def follow(self, rows: LogRows) -> TargetRows:
        """See TargetRun. Raises InvalidInput where a row has no entry in the table."""
        columns = [self._column(rows, name) for name in self._table.keys]
        self._row += len(rows)
        groups = combinations(columns, len(rows))
        index = self._index(tuple(is_numeric(column) for column in columns))
        width = len(self._vocabulary)
        dense = np.zeros((len(groups.values), width + 1))
        totals = np.zeros(len(groups.values))
        for number, values in enumerate(groups.values):
            found = index.get(values)
            if found is None:
                named = ", ".join(f"{n} = {v!r}" for n, v in zip(self._table.keys, values, strict=True))
                raise InvalidInput(f"policy {self._text}", f"has no entry where {named or 'all is the same'}")
            for offer, probability in self._table.pmfs[found].items():
                known = self._vocabulary.find(offer)
                dense[number, width if known is None else known] += probability
                totals[number] += probability
        # The last column holds offers that this log doesn't know: entries of -1 must not read it.
        mass: Floats = np.where(rows.offers >= 0, dense[groups.code[:, None], rows.offers], 0.0)
        outside = totals[groups.code] - mass.sum(axis=1)
        outside[outside < SUM_TOLERANCE] = 0.0
        return aligned(rows, mass, outside, tolerance=ROUNDING + SUM_TOLERANCE)

    def refusal(self) -> str:
        """See TargetRun."""
        if self._rows_told is not None and self._rows_told != self._row:
            return (
                f"the table is of {self._rows_told:,} rows, the log has {self._row:,} that can be read: "
                "their numbers are not of the same rows"
            )
        return unknown_offers(
            [
                offer
                for offer in self._table.offers()
                if any(pmf.get(offer, 0.0) > 0.0 for pmf in self._table.pmfs.values())
            ],
            self._vocabulary,
        )

    def notes(self) -> Sequence[str]:
        """See TargetRun."""
        if self._table.largest_error <= SUM_TOLERANCE:
            return ()
        return (
            (
                f"Probabilities in the table miss a sum of 1 by up to {self._table.largest_error:.2g}; "
                "they are used as they are."
            ),
        )

    def _index(self, kinds: tuple[bool, ...]) -> dict[tuple[Value, ...], tuple[str, ...]]:
        """Return the table's keys by values as the log has them: numbers where its column is numeric."""
        found = self._by_kind.get(kinds)
        if found is None:
            found = self._by_kind[kinds] = {
                tuple(self._value(text, kind) for text, kind in zip(key, kinds, strict=True)): key
                for key in self._table.pmfs
            }
        return found

    def _value(self, text: str, is_number: bool) -> Value:  # noqa: FBT001  (a column's kind)
        if not is_number:
            return text
        try:
            return float(text)
        except ValueError:
            raise InvalidInput(
                f"policy {self._text}", f"{show(text)} stands where the log's column has numbers"
            ) from None

    def _column(self, rows: LogRows, name: str) -> Column:
        if name == ROW:
            return np.arange(self._row, self._row + len(rows), dtype=np.float64)
        if name == DECISION_ID:
            if rows.decision_ids is None:
                raise InvalidInput(
                    f"policy {self._text}", "is keyed by decision_id, which the log doesn't have"
                )
            return rows.decision_ids
        try:
            return rows.contexts.column(name)
        except KeyError:
            raise InvalidInput(
                f"policy {self._text}",
                f"is keyed by {show(name)}, which is no context column of the log "
                f"(it has {', '.join(list(rows.contexts.names())[:20])})",
            ) from None


def _row_count(table: PmfTable) -> int | None:
    """Return how many rows a table is of; None where it is not keyed by row."""
    if ROW not in table.keys:
        return None
    at = table.keys.index(ROW)
    return len({key[at] for key in table.pmfs})
