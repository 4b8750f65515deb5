"""Retention, the part that only reads the ledger: which days, their archive, and a base snapshot of them.

Run beside the learner, in a process of its own, since it folds days. What always holds: the archive and the
base are written, read again and compared before anybody may drop a row; whatever fails, nothing is lost and
nothing of it stays. The learner does the rest (`retire`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from offer_optimizer.core.control import Promotion, Quarantine, Rollback
from offer_optimizer.core.errors import DamagedFile, NotFound, OfferOptimizerError
from offer_optimizer.core.outcome import LoggedDecision
from offer_optimizer.formats.history_file import HISTORY_NAME
from offer_optimizer.formats.parquet import ParquetLog
from offer_optimizer.formats.parquet_files import SUFFIX, Source, count_rows
from offer_optimizer.learn.base_snapshot import all_tables, base_in_force
from offer_optimizer.learn.export import DAY_US, Written, export_log
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.learn.trainer import Model
from offer_optimizer.store.base_file import BaseFile, BaseHeader, BaseStore
from offer_optimizer.store.codec import RecordKind, Tick
from offer_optimizer.store.dropping import load_tables, prune, table_rows, tables_of
from offer_optimizer.store.files import Files
from offer_optimizer.store.fold_tables import DROPPED, FoldTables
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.outcomes import history_of, logged_decisions
from offer_optimizer.store.sqlite import open_writer

Progress = Callable[[str, int, int], None]
"""Hears of a stage, and how much of how much of it is done."""


class CannotRetire(OfferOptimizerError):
    """Days can't be moved to the archive now; the text says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was prepared: the ledger position up to which it may be dropped, and how much was archived."""

    position: int
    time_us: int
    archived_count: int
    files: tuple[Path, ...]


def cutoff_us(ledger_time_us: int, keep_days: int) -> int:
    """Return the start of the oldest UTC day that stays: `keep_days` whole days before today's."""
    return (ledger_time_us // DAY_US - keep_days) * DAY_US


def find_position(ledger: Ledger, time_us: int, after: int) -> int:
    """Return the position of the last TICK behind `after` whose time is at or before one; `after` if none."""
    low, high = after, ledger.last_position()
    # Ticks grow with their positions: what is left is always (low, high].
    while low < high:
        middle = (low + high) // 2
        tick = _next_tick(ledger, middle, high)
        if tick is not None and tick[1] <= time_us:
            low = tick[0]
        else:
            high = middle
    return low


def _next_tick(ledger: Ledger, after: int, up_to: int) -> tuple[int, int] | None:
    row = ledger.connection.execute(
        "SELECT position FROM record WHERE position > ? AND position <= ? AND kind = ? "
        "ORDER BY position LIMIT 1",
        (after, up_to, int(RecordKind.TICK)),
    ).fetchone()
    if row is None:
        return None
    tick = ledger.record_at(row[0]).body()
    return (row[0], tick.time_us) if isinstance(tick, Tick) else None


def prepare(files: Files, directory: DataDirectory, keep_days: int, progress: Progress) -> Prepared | None:
    """Archive what is older than `keep_days` whole days of ledger time, and make the base snapshot behind it.

    Returns None where there is nothing to do, or where what was prepared waits for the learner. Raises
    CannotRetire, DamagedFile, StorageUnavailable, having left no trace.
    """
    lock = files.hold(directory.retention_lock_path, b"", "retention.lock")
    if lock is None:
        raise CannotRetire("another process is moving days to the archive")
    try:
        return _prepare(files, directory, keep_days, progress)
    finally:
        files.close(lock)


def _prepare(files: Files, directory: DataDirectory, keep_days: int, progress: Progress) -> Prepared | None:
    ledger = Ledger.open_for_reading(directory.ledger_path)
    with closing(ledger.connection):
        bases = BaseStore(files, directory.bases)
        base = base_in_force(ledger, bases)
        after = base.header.ledger_position if base else 0
        _clear(files, directory, bases, after)
        if bases.positions()[-1:] > [after]:
            return None
        live = FoldTables(ledger.connection)
        position = find_position(ledger, cutoff_us(live.state("time_us"), keep_days), after)
        if position == after:
            return None
        reason = what_asks_for(ledger, position, cutoff_us(live.state("time_us"), keep_days))
        if reason:
            raise CannotRetire(reason)
        run = _Preparation(files, directory, ledger, base, position, progress)
        try:
            return run.run(bases)
        except (OfferOptimizerError, sqlite3.Error):
            remove_archived(files, directory, position)
            raise


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


class _Preparation:
    """One run: everything up to `position`."""

    def __init__(
        self,
        files: Files,
        directory: DataDirectory,
        ledger: Ledger,
        base: BaseFile | None,
        position: int,
        progress: Progress,
    ) -> None:
        self._files = files
        self._directory = directory
        self._ledger = ledger
        self._base = base
        self._position = position
        self._progress = progress

    def run(self, bases: BaseStore) -> Prepared:
        """Do all of it."""
        rebuilt = Rebuilt(
            self._ledger, self._position, lambda done, of: self._progress("fold", done, of), self._base
        )
        with closing(rebuilt.connection):
            differing = rebuilt.differing_rows(FoldTables(self._ledger.connection))
            if differing:
                raise CannotRetire(f"the ledger does not derive what live learning noted: {differing[0]}")
            written = self._archive(rebuilt)
            archived_count = sum(part.row_count for part in written.values())
            header = BaseHeader(
                ledger_position=self._position,
                ledger_time_us=rebuilt.fold.time_us,
                from_position=self._base.header.ledger_position if self._base else 0,
                dropped_position=rebuilt.tables.state(DROPPED),
                archived_count=archived_count,
            )
            self._progress("models", 0, 1)
            models = list(_models(rebuilt))
            kept = prune(rebuilt.connection)
            bases.write(header, kept, all_tables(rebuilt.connection, iter(models)))
            self._check_base(bases, rebuilt.connection)
        return Prepared(self._position, header.ledger_time_us, archived_count, tuple(written))

    def _archive(self, rebuilt: Rebuilt) -> dict[Path, Written]:
        """Write what has closed since the base, and read it again."""
        rows = rebuilt.connection.execute("SELECT position FROM closed ORDER BY position")
        fresh = (position for (position,) in rows if position not in rebuilt.closed_before)
        decisions = _only(fresh, self._decisions())
        folder = self._directory.archive
        written = export_log(
            self._files, folder, history_of(self._ledger), decisions, _name_end(self._position)
        )
        for done, (path, part) in enumerate(written.items()):
            self._progress("check the archive", done, len(written))
            found = Written()
            for logged in ParquetLog.open(path).rows():
                found.add(logged)
            if found.totals() != part.totals():
                raise DamagedFile(str(path), "does not hold what was written to it: the disk is at fault")
        return written

    def _decisions(self) -> Iterator[LoggedDecision]:
        def hear(done: int, of: int) -> None:
            self._progress("archive", done, of)

        return logged_decisions(self._ledger, 0, self._position, hear)

    def _check_base(self, bases: BaseStore, derived: sqlite3.Connection) -> None:
        """Load what was written, and compare every row."""
        base = bases.open(self._position)
        base.sha256()
        again = open_writer(None)
        with closing(again):
            for name, columns in tables_of(derived).items():
                again.execute(f"CREATE TABLE {name}({', '.join(columns)})")
            load_tables(again, base)
            for ours, theirs in zip(table_rows(derived), table_rows(again), strict=True):
                pairs = zip(ours.rows, theirs.rows, strict=True)
                if ours.columns != theirs.columns or any(row != other for row, other in pairs):
                    bases.remove(self._position)
                    raise DamagedFile(str(base.path), f"does not hold what was derived: {ours.name}")


def _models(rebuilt: Rebuilt) -> Iterator[Model]:
    """Yield the models that have learned something and that this release can derive."""
    epochs = rebuilt.connection.execute("SELECT DISTINCT policy_epoch FROM closed ORDER BY policy_epoch")
    for (policy_epoch,) in epochs.fetchall():
        if rebuilt.fold.revisions.epoch(policy_epoch) and rebuilt.is_of_this_release(policy_epoch):
            model = rebuilt.model(policy_epoch)
            if model.learned_count:
                yield model
            else:
                model.policy.close()


def _only(positions: Iterator[int], rows: Iterator[LoggedDecision]) -> Iterator[LoggedDecision]:
    """Yield the rows at some positions; both ascend."""
    wanted = next(positions, None)
    for row in rows:
        while wanted is not None and wanted < row.position:
            wanted = next(positions, None)
        if wanted == row.position:
            yield row


def _name_end(position: int) -> str:
    return f"-{position}"


def archived_files(files: Files, directory: DataDirectory) -> Iterator[tuple[Path, int]]:
    """Yield the archive's files with the position of the retention that wrote each."""
    for folder in _folders(files, directory):
        for name in files.list(folder):
            number = name.removesuffix(SUFFIX).split(".")[0].rpartition("-")[2]
            if name.endswith(SUFFIX) and number.isdecimal():
                yield folder / name, int(number)


def remove_archived(files: Files, directory: DataDirectory, position: int) -> None:
    """Take back what a retention has archived. Raises StorageUnavailable."""
    for path, written_at in list(archived_files(files, directory)):
        if written_at == position:
            files.remove(path, "archive.remove")


def archived_count(files: Files, directory: DataDirectory, position: int) -> int:
    """Return how many decisions the files of a retention hold, as their ends say. Raises DamagedFile."""
    paths = [path for path, written_at in archived_files(files, directory) if written_at == position]
    return sum(count_rows(Source(str(path), partial(str, path))) for path in paths)


def _folders(files: Files, directory: DataDirectory) -> list[Path]:
    """Return the archive's folders, one a placement."""
    try:
        names = files.list(directory.archive)
    except NotFound:
        return []
    return [directory.archive / name for name in names if name != HISTORY_NAME]


def _clear(files: Files, directory: DataDirectory, bases: BaseStore, after: int) -> None:
    """Remove what an earlier run that died has left: no base stands for it, and nothing was dropped."""
    whole = {position for position in bases.positions() if _is_whole(bases, position)}
    for position in set(bases.positions()) - whole:
        if position > after:
            bases.remove(position)
    for _, position in list(archived_files(files, directory)):
        if position > after and position not in whole:
            remove_archived(files, directory, position)
    for folder in (directory.bases, directory.archive, *_folders(files, directory)):
        try:
            files.remove_leftovers(folder, "retention.leftovers")
        except NotFound:
            continue


def _is_whole(bases: BaseStore, position: int) -> bool:
    try:
        bases.open(position).sha256()
    except DamagedFile:
        return False
    return True
