"""Lines of a file, plain or gzipped, of bounded length and counted from 1, with what was wrong in them.

What always holds: no line over LINE_BYTES is ever held in memory whole; a file is read from its start as
often as wanted. Knows no format.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from offer_optimizer.core.errors import DamagedFile, NotFound
from offer_optimizer.core.log import BadLine

LINE_BYTES: Final = 2 * 1024 * 1024
"""A line: 200 offers of 50 features in JSON are about half of it."""
KEPT: Final = 20
"""Bad lines that are kept to be shown; all are counted."""
_REPORT_EVERY: Final = 1000

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are read."""


class LineProblem(Exception):
    """A line can't be read; the text says what is wrong in it, and where."""


class BadLines:
    """Counts lines that could not be read, and keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[BadLine] = []

    def note(self, number: int, problem: str) -> None:
        """Count a line."""
        self.count += 1
        if len(self.kept) < KEPT:
            self.kept.append(BadLine(number, problem))


def is_gzipped(path: Path) -> bool:
    """Return whether a file begins as gzip files do, whatever its name. Raises NotFound."""
    with open_raw(path) as file:
        return file.read(2) == b"\x1f\x8b"


def open_raw(path: Path) -> IO[bytes]:
    """Open a file as it is. Raises NotFound where there is none that can be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror or error}") from error


def read_lines(path: Path, bad: BadLines, progress: Progress | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the content of every line that is not blank; lines too long go to `bad`.

    Raises NotFound, and DamagedFile where the compressed data ends early or is none.
    """
    size, compressed = path.stat().st_size if path.exists() else 0, is_gzipped(path)
    with open_raw(path) as raw:
        file = gzip.GzipFile(fileobj=raw) if compressed else raw
        number = 0
        try:
            while line := file.readline(LINE_BYTES + 1):
                number += 1
                if len(line) > LINE_BYTES:
                    _skip_rest(file, line)
                    bad.note(number, f"is longer than {LINE_BYTES:,} bytes")
                elif line.strip():
                    yield number, line
                if progress is not None and number % _REPORT_EVERY == 0:
                    progress(raw.tell(), size)
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedFile(str(path), f"line {number + 1}: {error}") from error
    if progress is not None:
        progress(size, size)


def _skip_rest(file: IO[bytes] | gzip.GzipFile, line: bytes) -> None:
    """Read to the end of a line of which the beginning was read."""
    while line and not line.endswith(b"\n"):
        line = file.readline(LINE_BYTES)
