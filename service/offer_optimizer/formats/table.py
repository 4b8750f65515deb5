"""A table of text with a header line, read column by column in blocks; plain or gzipped, UTF-8.

What always holds: every value arrives as the text that it is, so that what a column is gets decided by one
rule and not by its first block; lines with too many or too few values are counted with their numbers. A line
break within quotes counts as part of its line. Knows nothing of decisions.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from offer_optimizer.core.errors import DamagedFile, InvalidInput
from offer_optimizer.formats.lines import LINE_BYTES, BadLines, Progress, is_gzipped, open_raw

MISSING: Final = ("", "NA", "NaN", "nan", "null")
"""How a missing number may be written."""
BLOCK_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows: a text column for every name, and the line that each row stands on."""

    columns: dict[str, pa.StringArray]
    line_of: Callable[[int], int]
    row_count: int


class _Lines:
    """Knows the line of every row, given the lines that were no rows."""

    def __init__(self, bad: BadLines) -> None:
        self._bad = bad
        self._invalid = array("q")

    def skip(self, row: Any) -> str:  # noqa: ANN401  (pyarrow's own type is private)
        """Note a line that is no row."""
        self._invalid.append(row.number)
        self._bad.note(row.number, f"has {row.actual_columns} values, the header has {row.expected_columns}")
        return "skip"

    def of(self, index: int) -> int:
        """Return the line of a row, by its index in the file: the header is line 1."""
        line = index + 2
        while (found := index + 2 + bisect_right(self._invalid, line)) != line:
            line = found
        return line


def read_header(path: Path, delimiter: str = ",") -> list[str]:
    """Return the names of the columns. Raises NotFound, DamagedFile, InvalidInput for what is no table."""
    try:
        with open_raw(path) as raw:
            file: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if is_gzipped(path) else raw
            line = file.readline(LINE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFile(str(path), f"line 1: {error}") from error
    if len(line) > LINE_BYTES:
        raise InvalidInput(str(path), f"line 1 is longer than {LINE_BYTES:,} bytes")
    try:
        rows = list(csv.reader([line.decode("utf-8-sig")], delimiter=delimiter))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(str(path), f"line 1 is no header of a table: {error}") from None
    if not rows or not rows[0]:
        raise InvalidInput(str(path), "is empty: the first line names the columns")
    return rows[0]


def check_columns(path: Path, header: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise InvalidInput unless every wanted column is in the header, once."""
    for name in wanted:
        if header.count(name) != 1:
            problem = f"{header.count(name)} columns have" if name in header else "no column has"
            listed = ", ".join(header[:50])
            raise InvalidInput(str(path), f"{problem} the name {name[:60]!r}; the header names {listed}")


def read_blocks(
    path: Path, names: Sequence[str], delimiter: str, bad: BadLines, progress: Progress | None = None
) -> Iterator[Block]:
    """Yield the rows of the named columns. Raises NotFound, DamagedFile."""
    size = path.stat().st_size
    lines = _Lines(bad)
    first = 0
    with open_raw(path) as raw:
        stream = pa.PythonFile(raw, mode="r")
        if is_gzipped(path):
            stream = pa.CompressedInputStream(stream, "gzip")
        try:
            for batch in _open(stream, names, delimiter, lines):
                yield Block(
                    {name: batch.column(at) for at, name in enumerate(names)},
                    lambda row, first=first: lines.of(first + row),  # type: ignore[misc]
                    batch.num_rows,
                )
                first += batch.num_rows
                if progress is not None:
                    progress(raw.tell(), size)
        except (pa.ArrowInvalid, OSError) as error:
            raise DamagedFile(str(path), f"behind line {lines.of(first)}: {error}") from error


def _open(stream: Any, names: Sequence[str], delimiter: str, lines: _Lines) -> Any:  # noqa: ANN401  (untyped)
    return pa_csv.open_csv(
        stream,
        # One thread: only then do rows that are none come with their line.
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(
            delimiter=delimiter,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=lines.skip,
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, include_columns=list(names), null_values=[]
        ),
    )


def as_numbers(texts: pa.StringArray) -> pa.DoubleArray | None:
    """Return texts as numbers, null where one is missing; None unless all others are finite numbers."""
    trimmed = pc.utf8_trim_whitespace(texts)
    given = pc.if_else(pc.is_in(trimmed, pa.array(MISSING)), None, trimmed)
    try:
        numbers = pc.cast(given, pa.float64())
    except pa.ArrowInvalid:
        return None
    return numbers if pc.all(pc.is_finite(numbers), min_count=0).as_py() else None
