"""What every row of a table has to say of its decision: action, reward, propensity, and whose and when.

Rows in which one of them can't be read are counted as bad lines, by line number, column and limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offer_optimizer.core import limits
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import show
from offer_optimizer.core.log import Flags, Floats, Ints
from offer_optimizer.formats.lines import BadLines
from offer_optimizer.formats.table import Block, as_numbers

_MILLISECONDS_FROM: Final = 1e11
"""A time that is a number is in seconds since the epoch below this, which is the year 5138, else in ms."""


EVERYTHING: Final = ("*",)


@dataclass(frozen=True, slots=True)
class CsvColumns:
    """Which column is what. `context` is names, or EVERYTHING: all that nothing else here names.

    `propensity` is a number in (0, 1] as text (`0.5`, `1/3`) or a column. `leave_out` are columns that `*`
    doesn't take: what became of a visitor afterwards is no context. `as_text` are columns that are texts even
    where all their values are numbers.
    """

    action: str
    reward: str
    propensity: str
    context: tuple[str, ...]
    visitor: str = ""
    time: str = ""
    leave_out: tuple[str, ...] = ()
    as_text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Propensity:
    """One number for all rows, or a column."""

    value: float = 0.0
    column: str = ""


@dataclass(frozen=True, eq=False)
class BatchValues:
    """The columns of a block, n entries each, and `rows`: the indices of those that can be used."""

    rows: Ints
    action: pa.StringArray
    visitor: pa.StringArray | None
    reward: Floats
    propensity: Floats
    time_us: Ints

    def take(self, texts: pa.StringArray, rows: Ints) -> list[str]:
        """Return some entries of a text column."""
        found: list[str] = texts.take(pa.array(rows)).to_pylist()
        return found


def parse_propensity(text: str, header: Sequence[str]) -> Propensity:
    """Return what a propensity means: a column of that name, else a number in (0, 1].

    Raises InvalidInput.
    """
    if text in header:
        return Propensity(column=text)
    try:
        value = float(Fraction(text.replace(" ", "")))
    except (ValueError, ZeroDivisionError, OverflowError):
        problem = f"{text[:60]!r} is neither a column nor a number such as 0.5 or 1/3"
        raise InvalidInput("propensity", problem) from None
    if not 0.0 < value <= 1.0:
        raise InvalidInput("propensity", f"{value:g} is outside (0, 1]")
    return Propensity(value=value)


def read_values(
    block: Block, columns: CsvColumns, propensity: Propensity, offers: Sequence[str], bad: BadLines
) -> BatchValues:
    """Read a block; lines that can't be used go to `bad`, blank ones are passed over."""
    trimmed = {
        name: pc.utf8_trim_whitespace(block.columns[name])
        for name in (columns.action, columns.visitor, columns.time)
        if name
    }
    check = _Check(block, bad)
    action = trimmed[columns.action]
    check.that(columns.action, _flags(pc.not_equal(action, "")), "is empty")
    is_known = _flags(pc.is_in(action, pa.array(offers)))
    check.that(columns.action, is_known, f"is not one of the {len(offers)} offers")
    reward = check.number(columns.reward)
    in_range = np.abs(reward) <= limits.NUMBER_MAGNITUDE
    check.that(columns.reward, in_range, f"is not a number up to {limits.NUMBER_MAGNITUDE:g} in magnitude")
    if propensity.column:
        chance = check.number(propensity.column)
        check.that(propensity.column, (chance > 0.0) & (chance <= 1.0), "is no number in (0, 1]")
    else:
        chance = np.full(block.row_count, propensity.value)
    time_us = np.zeros(block.row_count, dtype=np.int64)
    if columns.time:
        time_us = _times_us(trimmed[columns.time])
        check.that(columns.time, time_us >= 0, "is not a time")
    check.note()
    return BatchValues(
        rows=np.flatnonzero(check.is_good),
        action=action,
        visitor=trimmed.get(columns.visitor) if columns.visitor else None,
        reward=reward + 0.0,
        propensity=chance,
        time_us=time_us,
    )


class _Check:
    """Sorts out rows; the first thing that is wrong in one is what is said of it."""

    def __init__(self, block: Block, bad: BadLines) -> None:
        self._block = block
        self._bad = bad
        self._wrong: list[tuple[int, str, str]] = []
        self.is_good: Flags = np.ones(block.row_count, dtype=np.bool_)
        self._blank = np.ones(block.row_count, dtype=np.bool_)
        for texts in block.columns.values():
            self._blank &= _flags(pc.equal(texts, ""))
        self.is_good &= ~self._blank

    def that(self, name: str, holds: Flags, problem: str) -> None:
        """Sort out the rows in which a column is not as it has to be."""
        wrong = np.flatnonzero(self.is_good & ~holds)
        self._wrong += [(row, name, problem) for row in wrong.tolist()]
        self.is_good[wrong] = False

    def note(self) -> None:
        """Count what was sorted out, by line: those kept to be shown are the first, whatever is wrong."""
        for row, name, problem in sorted(self._wrong):
            value = self._block.columns[name][row].as_py()
            self._bad.note(self._block.line_of(row), f"column {show(name)}: {show(value)} {problem}")

    def number(self, name: str) -> Floats:
        """Return a column as numbers; NaN where it holds none."""
        texts = self._block.columns[name]
        numbers = as_numbers(texts)
        if numbers is not None:
            found: Floats = numbers.fill_null(np.nan).to_numpy(zero_copy_only=False)
            return found
        return np.array([_number(text) for text in texts.to_pylist()])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _flags(found: pa.BooleanArray) -> Flags:
    flags: Flags = found.to_numpy(zero_copy_only=False)
    return flags


def _times_us(texts: pa.StringArray) -> Ints:
    """Return times in microseconds, negative where there is none: ISO 8601 (else UTC) or a number."""
    numbers = as_numbers(texts)
    if numbers is not None and numbers.null_count == 0:
        seconds = numbers.to_numpy(zero_copy_only=False)
        seconds = np.where(np.abs(seconds) >= _MILLISECONDS_FROM, seconds / 1000.0, seconds)
        return np.where((seconds >= 0.0) & (seconds < 2e11), np.round(seconds * 1e6), -1.0).astype(np.int64)
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            found: Ints = pc.cast(pc.cast(texts, kind), pa.int64()).to_numpy(zero_copy_only=False)
            return found
        except pa.ArrowInvalid:
            continue
    return np.array([_time_us(text) for text in texts.to_pylist()], dtype=np.int64)


def _time_us(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return -1
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e6)
