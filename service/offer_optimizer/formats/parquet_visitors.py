"""Which rows of a Parquet log are of some visitors. Reads their column first, and the rest where they are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from offer_optimizer.core.outcome import LoggedDecision
from offer_optimizer.formats.parquet_files import Source, open_file
from offer_optimizer.formats.parquet_rows import from_table

_VISITOR = "visitor"


def holds(path: Path, keys: frozenset[int]) -> bool:
    """Return whether a file has a row of one of some visitors. Raises DamagedFile."""
    return any(True for _ in _groups(path, keys))


def rows_of(path: Path, keys: frozenset[int]) -> Iterator[tuple[LoggedDecision, str]]:
    """Yield the rows of some visitors, each with the offer that was chosen, empty without one.

    Raises DamagedFile.
    """
    file = open_file(Source(str(path), partial(str, path)))
    for group in _groups(path, keys):
        table = file.read_row_group(group)
        table = table.filter(pc.is_in(table.column(_VISITOR), _wanted(keys)))
        chosen = table.column("chosen").to_pylist()
        yield from zip(from_table(table), (offer_id or "" for offer_id in chosen), strict=True)


def _groups(path: Path, keys: frozenset[int]) -> Iterator[int]:
    file = open_file(Source(str(path), partial(str, path)))
    for group in range(file.metadata.num_row_groups):
        visitors = file.read_row_group(group, [_VISITOR]).column(0)
        if pc.any(pc.is_in(visitors, _wanted(keys))).as_py():
            yield group


def _wanted(keys: frozenset[int]) -> pa.Array:
    return pa.array(sorted(keys), pa.int64())
