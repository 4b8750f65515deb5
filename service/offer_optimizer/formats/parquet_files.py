"""The files of a Parquet log: opening and checking them, and choosing those of one placement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from offer_optimizer.core.errors import DamagedFile, InvalidInput
from offer_optimizer.core.history import History
from offer_optimizer.formats.history_file import HISTORY_NAME, decode_history
from offer_optimizer.formats.parquet_schema import (
    ADDED,
    FORMAT_KEY,
    FORMAT_VERSION,
    PLACEMENT_KEY,
    ROW_GROUP_ROWS,
    SCHEMA,
)


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its name for people, and how to open it (a path, or a binary stream)."""

    name: str
    open: Callable[[], str | IO[bytes]]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a row group, with some of its columns, and where to read the others."""

    source: Source
    group: int
    start: int
    table: pa.Table

    def whole(self) -> pa.Table:
        """Read all columns of the same rows."""
        table = open_file(self.source).read_row_group(self.group, columns=SCHEMA.names)
        return table.slice(self.start, self.table.num_rows)


def open_file(source: Source) -> pq.ParquetFile:
    """Open a file of a log. Raises DamagedFile when it is none, or of another format."""
    try:
        file = pq.ParquetFile(source.open())
    except (pa.ArrowInvalid, OSError) as error:
        raise DamagedFile(source.name, f"is not a readable Parquet file: {error}") from None
    missing = [name for name in SCHEMA.names if name not in (*ADDED, *file.schema_arrow.names)]
    if missing:
        raise DamagedFile(source.name, f"is not a Parquet log of ours: no column {missing[0]}")
    version = (file.schema_arrow.metadata or {}).get(FORMAT_KEY, str(FORMAT_VERSION).encode()).decode()
    if version != str(FORMAT_VERSION):
        raise DamagedFile(source.name, f"format {version}, this release reads format {FORMAT_VERSION}")
    return file


def pieces(source: Source, file: pq.ParquetFile, group: int, columns: list[str] | None) -> Iterator[Piece]:
    """Yield a row group in pieces: other tools write larger groups than we do."""
    try:
        table = file.read_row_group(group, columns=columns or SCHEMA.names)
    except (pa.ArrowInvalid, OSError) as error:
        raise DamagedFile(source.name, f"row group {group} can't be read: {error}") from None
    for start in range(0, table.num_rows, ROW_GROUP_ROWS):
        yield Piece(source, group, start, table.slice(start, ROW_GROUP_ROWS))


def choose(name: str, sources: Sequence[Source], placement_id: str | None) -> tuple[str, tuple[Source, ...]]:
    """Return the placement and the files that have rows of it."""
    by_source = [(source, _placements(open_file(source))) for source in sources]
    known = sorted({placement for _, found in by_source for placement in found})
    if placement_id is None:
        if len(known) != 1:
            raise InvalidInput("placement", f"{name} holds {', '.join(known) or 'none'}: name one of them")
        placement_id = known[0]
    elif placement_id not in known:
        raise InvalidInput("placement", f"{placement_id} is not in {name}, which holds {', '.join(known)}")
    return placement_id, tuple(source for source, found in by_source if placement_id in found)


def _placements(file: pq.ParquetFile) -> set[str]:
    """Return the placements of a file: as we noted them, else (another tool wrote it) as its rows say."""
    noted = (file.schema_arrow.metadata or {}).get(PLACEMENT_KEY)
    if noted is not None:
        return {noted.decode()}
    return set(file.read(columns=["placement"]).column("placement").unique().to_pylist())


def find_history(path: Path) -> History | None:
    """Return the history beside a file or at the top of a directory, or one level above; None without."""
    folders = (path, path.parent) if path.is_dir() else (path.parent, path.parent.parent)
    for folder in folders:
        found = folder / HISTORY_NAME
        if found.is_file():
            return decode_history(found.read_bytes(), str(found))
    return None


def day_order(path: Path) -> tuple[str, str]:
    """Days in order, whatever the folder."""
    return path.name, str(path.parent)


def has_values(group: pq.RowGroupMetaData, name: str) -> bool:
    """Return whether a column of a row group has a value that is not null, as its statistics say."""
    columns = (group.column(index) for index in range(group.num_columns))
    statistics = next(column.statistics for column in columns if column.path_in_schema == name)
    return statistics is None or statistics.num_values > 0
