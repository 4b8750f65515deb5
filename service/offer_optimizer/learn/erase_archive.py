"""A visitor out of the archive: every Parquet file that holds the key is written again without.

Runs in a process of its own, since Parquet takes memory that the learner has not. What always holds: a file
has all its old rows or all its new ones; begun again after a crash it does what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, cast

import pyarrow.parquet as pq

from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.errors import DamagedFile, NotFound
from offer_optimizer.core.history import History
from offer_optimizer.core.outcome import LoggedDecision
from offer_optimizer.core.redaction import Redaction
from offer_optimizer.formats.history_file import HISTORY_NAME, decode_history, encode_history
from offer_optimizer.formats.parquet_rows import from_table
from offer_optimizer.formats.parquet_schema import PLACEMENT_KEY
from offer_optimizer.formats.parquet_visitors import holds, rows_of
from offer_optimizer.formats.parquet_write import ParquetLogWriter
from offer_optimizer.learn.archive import archive_folders, archived_files
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory


def erase_archived(files: Files, directory: DataDirectory, redaction: Redaction) -> dict[bytes, int]:
    """Redact a visitor in all files of the archive; return their decisions' ids, with ledger positions.

    Files that were redacted under the same secret before, by one who was cut short, are among them.
    Raises DamagedFile, StorageUnavailable, having left files whole.
    """
    for folder in archive_folders(files, directory):
        files.remove_leftovers(folder, "erase.leftovers")
    paths = [path for path, _ in archived_files(files, directory)]
    # Under the new keys too: what a child that was cut short has redacted.
    known = redaction.keys | set(redaction.new_keys().values())
    found = [path for path in paths if holds(path, known)]
    theirs = [path for path in found if holds(path, redaction.keys)]
    history_path = directory.archive / HISTORY_NAME
    try:
        history = decode_history(files.read(history_path), str(history_path))
    except NotFound:
        if theirs:
            raise DamagedFile(str(history_path), "is missing: its files can't be written again") from None
        return _decisions(found, known)
    for path in theirs:
        _rewrite(files, path, redaction, history.catalogs)
    _rewrite_history(files, history_path, history, redaction)
    return _decisions(found, known)


def _decisions(paths: Iterable[Path], keys: frozenset[int]) -> dict[bytes, int]:
    return {
        logged.decision.decision_id: logged.position for path in paths for logged, _ in rows_of(path, keys)
    }


def _rewrite(files: Files, path: Path, redaction: Redaction, catalogs: Mapping[int, CatalogRevision]) -> None:
    file = pq.ParquetFile(path)
    placement_id = file.schema_arrow.metadata[PLACEMENT_KEY].decode()
    with files.replacing(path, "erase.archive") as sink:
        writer = ParquetLogWriter(cast("IO[bytes]", sink), placement_id, catalogs)
        for logged in _rows(file):
            is_theirs = logged.visitor_key in redaction.keys
            writer.add(redacted(logged, redaction) if is_theirs else logged)
        writer.close()


def _rows(file: pq.ParquetFile) -> Iterator[LoggedDecision]:
    for group in range(file.metadata.num_row_groups):
        yield from from_table(file.read_row_group(group))


def redacted(logged: LoggedDecision, redaction: Redaction) -> LoggedDecision:
    """Return a row of the visitor as the ledger would have it now."""
    key = logged.visitor_key
    feedback = tuple(replace(one, item=redaction.feedback(one.item)) for one in logged.outcome.feedback)
    return replace(
        logged,
        visitor_key=None if key is None else redaction.key(key),
        decision=redaction.decision(logged.decision),
        outcome=replace(logged.outcome, feedback=feedback),
    )


def _rewrite_history(files: Files, path: Path, history: History, redaction: Redaction) -> None:
    merged = {redaction.key(old): redaction.key(now) for old, now in history.merged.items()}
    if merged != history.merged:
        files.replace(path, encode_history(replace(history, merged=merged)), "erase.history")
