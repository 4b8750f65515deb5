"""Probabilities of offers in a CSV or Parquet file, for the target policy `pmf:FILE`.

Three forms, told apart by their columns; docs/evaluation.md shows each:
- long: `offer`, `probability` and key columns; one line an offer and key;
- one line a key: key columns, and for every offer a column `p:OFFER`;
- one line an offer: `offer` (or `item_id`, `action`) first, then for every key a column `NAME=VALUE` or
  `NAME_VALUE`.
Key columns are `row` (counted from 0 in the order of the log), `decision_id`, or columns of the context. No
key: the same probabilities in every row. The whole table is kept in memory.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import show

OFFER_NAMES: Final = ("offer", "item_id", "action")
PROBABILITY: Final = "probability"
OFFER_PREFIX: Final = "p:"
ROUNDING: Final = 0.01
"""By how much the probabilities of a key may miss 1: tables are often rounded. They are used as they are."""
_CELLS: Final = 50_000_000
"""Numbers that a table may hold."""

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PmfTable:
    """Probabilities by key and offer id; `keys` names what a key is made of."""

    keys: tuple[str, ...]
    pmfs: Mapping[Key, Mapping[str, float]]
    largest_error: float

    def offers(self) -> list[str]:
        """Return the ids of all offers that have a probability somewhere."""
        return list(dict.fromkeys(offer for pmf in self.pmfs.values() for offer in pmf))


def read_pmf_table(path: Path) -> PmfTable:
    """Return the table in a file. Raises InvalidInput naming file, line and column."""
    where = f"policy pmf:{path}"
    try:
        header, lines = _parquet(path) if path.suffix == ".parquet" else _csv(path)
        table = _parse(where, header, lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(where, f"can't be read: {error}") from None
    if not table:
        raise InvalidInput(where, "has no probability in it")
    keys = _key_names(where, header)
    largest = 0.0
    for key, pmf in table.items():
        off = abs(sum(pmf.values()) - 1.0)
        largest = max(largest, off)
        if off > ROUNDING:
            named = ", ".join(f"{name}={value}" for name, value in zip(keys, key, strict=True)) or "all rows"
            raise InvalidInput(where, f"probabilities for {named} sum to {sum(pmf.values()):.6g}, not to 1")
    return PmfTable(keys, table, largest)


def _csv(path: Path) -> tuple[list[str], Iterable[Sequence[str]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.reader(file))
    return (lines[0], lines[1:]) if lines else ([], [])


def _parquet(path: Path) -> tuple[list[str], Iterable[Sequence[str]]]:
    import pyarrow.parquet as pq  # noqa: PLC0415  (a second that nobody else has to wait)

    table = pq.read_table(path)
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    return list(table.column_names), zip(*columns, strict=True)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _parse(where: str, header: list[str], lines: Iterable[Sequence[str]]) -> dict[Key, dict[str, float]]:
    if len(set(header)) < len(header):
        raise InvalidInput(where, "has two columns of one name")
    form = _triples_of(where, header)
    table: dict[Key, dict[str, float]] = {}
    count = 0
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        if len(line) != len(header):
            raise InvalidInput(where, f"line {number} has {len(line)} columns, the header {len(header)}")
        for key, offer, text in form(line):
            pmf = table.setdefault(key, {})
            if offer in pmf:
                raise InvalidInput(where, f"line {number}: offer {show(offer)} has a probability already")
            pmf[offer] = _probability(where, number, text)
            count += 1
        if count > _CELLS:
            raise InvalidInput(where, f"has more than {_CELLS:,} probabilities")
    return table


class _Form:
    """Takes a line apart into (key, offer, probability as text). Raises InvalidInput for no known form."""

    def __init__(self, where: str, header: list[str]) -> None:
        self._header = header
        self._offer = _offer_column(header)
        self._is_wide = any(name.startswith(OFFER_PREFIX) for name in header)
        if not self._is_wide and self._offer is None:
            raise InvalidInput(
                where, f"needs a column named offer, or columns named {OFFER_PREFIX}OFFER (has {header})"
            )
        self._is_long = self._offer is not None and PROBABILITY in header
        names = _key_names(where, header)
        self._key_columns = [header.index(name) for name in names if name in header]

    def __call__(self, line: Sequence[str]) -> Iterator[tuple[Key, str, str]]:
        key = tuple(line[column] for column in self._key_columns)
        if self._is_wide:
            for name, text in zip(self._header, line, strict=True):
                if name.startswith(OFFER_PREFIX):
                    yield key, name.removeprefix(OFFER_PREFIX), text
        elif self._offer is not None and self._is_long:
            yield key, line[self._offer], line[self._header.index(PROBABILITY)]
        elif self._offer is not None:
            for name, text in zip(self._header[1:], line[1:], strict=True):
                yield (_split(name)[1],), line[0], text


def _triples_of(where: str, header: list[str]) -> _Form:
    return _Form(where, header)


def _key_names(where: str, header: list[str]) -> tuple[str, ...]:
    """Return what a key is made of, by the form that the header shows."""
    if any(name.startswith(OFFER_PREFIX) for name in header):
        return tuple(name for name in header if not name.startswith(OFFER_PREFIX))
    if PROBABILITY in header:
        offer = _offer_column(header)
        own = {PROBABILITY, None if offer is None else header[offer]}
        return tuple(name for name in header if name not in own)
    names = {_split(name)[0] for name in header[1:]}
    if len(names) != 1 or "" in names:
        raise InvalidInput(
            where, f"columns behind the first must all be NAME=VALUE of one NAME (has {header})"
        )
    return (names.pop(),)


def _offer_column(header: list[str]) -> int | None:
    return next((header.index(name) for name in OFFER_NAMES if name in header), None)


def _split(name: str) -> tuple[str, str]:
    """Return NAME and VALUE of a column `NAME=VALUE` or `NAME_VALUE`."""
    before, sign, after = name.partition("=") if "=" in name else name.rpartition("_")
    return (before, after) if sign else ("", name)


def _probability(where: str, number: int, text: str) -> float:
    try:
        probability = float(text)
    except ValueError:
        probability = -1.0
    if not 0.0 <= probability <= 1.0 + 1e-9:
        raise InvalidInput(where, f"line {number}: {show(text)} is not a probability")
    return probability
