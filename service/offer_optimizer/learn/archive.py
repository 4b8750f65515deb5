"""The archive as the learner sees it: files by name and size, and what may not go there yet.

Knows nothing of Parquet, which takes memory that a learner has not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from offer_optimizer.core.control import Promotion, Quarantine, Rollback
from offer_optimizer.core.errors import NotFound
from offer_optimizer.formats.history_file import HISTORY_NAME, LOG_SUFFIX
from offer_optimizer.store.base_file import BaseFile, Row
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger

DAY_US: Final = 86_400_000_000
ARCHIVE_TABLE: Final = "archive_file"
ARCHIVE_COLUMNS: Final = ("path", "row_count", "size")


def cutoff_us(ledger_time_us: int, keep_days: int) -> int:
    """Return the start of the oldest UTC day that stays: `keep_days` whole days before today's."""
    return (ledger_time_us // DAY_US - keep_days) * DAY_US


def what_asks_for(ledger: Ledger, position: int, time_us: int) -> str:
    """Return what behind a position steers learning by history before a time, for people; empty if nothing.

    A base at that position would have learned what a later quarantine leaves out, or what a rollback undoes.
    Once such a record is itself old enough, the base is made behind it.
    """
    for record in ledger.rare_records(ledger.last_position()):
        if record.position <= position:
            continue
        match record.body():
            case Quarantine(start_us=start_us) if start_us < time_us:
                return f"the quarantine at position {record.position} asks for older history: put off"
            case Rollback(close_time_us=close_time_us) if close_time_us < time_us:
                return f"the rollback at position {record.position} asks for older history: put off"
            case Promotion():
                return f"the promotion at position {record.position} asks for older history: put off"
    return ""


def archived_files(files: Files, directory: DataDirectory) -> Iterator[tuple[Path, int]]:
    """Yield the archive's files with the position of the retention that wrote each."""
    for folder in archive_folders(files, directory):
        for name in files.list(folder):
            number = name.removesuffix(LOG_SUFFIX).split(".")[0].rpartition("-")[2]
            if name.endswith(LOG_SUFFIX) and number.isdecimal():
                yield folder / name, int(number)


def remove_archived(files: Files, directory: DataDirectory, position: int) -> None:
    """Take back what a retention has archived. Raises StorageUnavailable."""
    for path, written_at in list(archived_files(files, directory)):
        if written_at == position:
            files.remove(path, "archive.remove")


def archive_folders(files: Files, directory: DataDirectory) -> list[Path]:
    """Return the archive's folders, one a placement."""
    try:
        names = files.list(directory.archive)
    except NotFound:
        return []
    return [directory.archive / name for name in names if name != HISTORY_NAME]


def archive_rows(files: Files, directory: DataDirectory, row_counts: dict[Path, int]) -> Iterator[Row]:
    """Yield what a base snapshot says of the files that were archived with it."""
    for path, row_count in sorted(row_counts.items()):
        yield str(path.relative_to(directory.archive)), row_count, files.size(path)


def what_is_missing(files: Files, directory: DataDirectory, base: BaseFile) -> str:
    """Return what of the archive is not as a base snapshot says, for people; empty if all is there."""
    for name, _, rows in base.tables():
        if name != ARCHIVE_TABLE:
            continue
        for path, _, size in rows:
            try:
                found = files.size(directory.archive / path)
            except NotFound:
                return f"archive/{path} is gone"
            if found != size:
                return f"archive/{path} has {found} bytes instead of {size}"
        return ""
    return "the base snapshot does not say what was archived"
