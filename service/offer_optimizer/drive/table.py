"""A randomised test as rows: which arm each visitor was assigned, what came of it, what was known before.

Always holds: every reward is finite, every row has an arm, every feature is one that the service takes; what
is not so is refused with its line before anything is sent. Knows nothing of files or of the service.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from offer_optimizer.core import limits
from offer_optimizer.drive.errors import DriveRefused

NO_CELL = ""
"""What an absent cell reads as; an empty cell is an omitted feature."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns mean what."""

    action: str
    reward: str
    context: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One visitor of the test. `number` counts rows from 1 in the order of the file."""

    number: int
    arm: str
    reward: float
    categories: dict[str, str]
    numbers: dict[str, float]


@dataclass(frozen=True, slots=True)
class Table:
    """The whole test. `arms` are in order of first appearance; `numeric` names the columns of numbers."""

    rows: tuple[Row, ...]
    arms: tuple[str, ...]
    numeric: frozenset[str]

    def reward_range(self) -> tuple[float, float]:
        """Return the least and the largest reward."""
        rewards = [row.reward for row in self.rows]
        return min(rewards), max(rewards)


@dataclass(frozen=True, slots=True)
class _Line:
    """One row as text, with its line in the file for messages."""

    line: int
    cells: dict[str, str]


def read_table(lines: Iterable[str], columns: Columns) -> Table:
    """Read comma-separated lines with a header. Raises DriveRefused naming column, line and limit.

    A context column is numeric when every non-empty cell of it is a finite number, else a category.
    """
    check_columns(columns)
    raw = list(_read_lines(lines, columns))
    if not raw:
        raise DriveRefused("the file has a header and no rows")
    numeric = frozenset(name for name in columns.context if _is_numeric(line.cells[name] for line in raw))
    rows = tuple(_row(number, line, columns, numeric) for number, line in enumerate(raw, start=1))
    arms = tuple(dict.fromkeys(row.arm for row in rows))
    if len(arms) > limits.CANDIDATES:
        raise DriveRefused(f"{columns.action}: {len(arms)} arms, at most {limits.CANDIDATES}")
    return Table(rows, arms, numeric)


def check_columns(columns: Columns) -> None:
    """Raise DriveRefused where the columns contradict each other."""
    for name, count in Counter(columns.context).items():
        if count > 1:
            raise DriveRefused(f"--context: {name!r} is named {count} times")
    if len(columns.context) > limits.CONTEXT_FEATURES:
        raise DriveRefused(f"--context: {len(columns.context)} columns, at most {limits.CONTEXT_FEATURES}")
    for name in (columns.action, columns.reward):
        if name in columns.context:
            raise DriveRefused(f"--context: {name!r} is not known before deciding, so it can't be context")
    if columns.action == columns.reward:
        raise DriveRefused(f"--action and --reward are both {columns.action!r}")


def parse_number(text: str) -> float | None:
    """Return the finite number that a cell holds, or None. Python's `1_000` is not one."""
    if "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _read_lines(lines: Iterable[str], columns: Columns) -> Iterator[_Line]:
    reader = csv.reader(lines)
    try:
        header = next(reader, None)
        if header is None:
            raise DriveRefused("the file is empty: a header line is needed")
        positions = _positions(header, (columns.action, columns.reward, *columns.context))
        for cells in reader:
            if not cells:
                continue  # a blank line, as at the end of many files
            if len(cells) != len(header):
                text = f"line {reader.line_num}: {len(cells)} cells, the header has {len(header)}"
                raise DriveRefused(text)
            yield _Line(reader.line_num, {name: cells[at].strip() for name, at in positions.items()})
    except csv.Error as error:
        raise DriveRefused(f"line {reader.line_num}: {error}") from error


def _positions(header: Sequence[str], wanted: Sequence[str]) -> dict[str, int]:
    missing = [name for name in wanted if name not in header]
    if missing:
        names = ", ".join(map(repr, missing))
        raise DriveRefused(f"no column {names}; the file has {', '.join(map(repr, header))}")
    doubled = [name for name in wanted if header.count(name) > 1]
    if doubled:
        raise DriveRefused(f"column {doubled[0]!r} appears {header.count(doubled[0])} times in the header")
    return {name: header.index(name) for name in wanted}


def _is_numeric(cells: Iterable[str]) -> bool:
    filled = [cell for cell in cells if cell != NO_CELL]
    return bool(filled) and all(parse_number(cell) is not None for cell in filled)


def _row(number: int, line: _Line, columns: Columns, numeric: frozenset[str]) -> Row:
    arm = line.cells[columns.action]
    if arm == NO_CELL:
        raise DriveRefused(f"line {line.line}, column {columns.action!r}: no arm")
    categories, numbers = {}, {}
    for name in columns.context:
        cell = line.cells[name]
        if cell == NO_CELL:
            continue
        if name in numeric:
            numbers[name] = _bounded(line, name)
        else:
            size = len(cell.encode())
            if size > limits.NAME_BYTES:
                text = f"line {line.line}, column {name!r}: {size} bytes, at most {limits.NAME_BYTES}"
                raise DriveRefused(text)
            categories[name] = cell
    return Row(number, arm, _bounded(line, columns.reward), categories, numbers)


def _bounded(line: _Line, name: str) -> float:
    cell = line.cells[name]
    number = parse_number(cell)
    if number is None:
        raise DriveRefused(f"line {line.line}, column {name!r}: {cell!r} is not a finite number")
    if abs(number) > limits.NUMBER_MAGNITUDE:
        text = f"line {line.line}, column {name!r}: {cell} is over {limits.NUMBER_MAGNITUDE:g} in magnitude"
        raise DriveRefused(text)
    return number
