"""A copy of a data directory that a server can be started on, made beside a running service.

It has everything that was answered before it began. The order makes it so: segments are pinned by hard links
(their names may go meanwhile, their bytes stay), then the ledger is copied at one moment, then the pinned
segments, which have whatever the ledger has not; those that it has whole and forgot stay behind, or they
would be drained twice. Snapshots come before the ledger, so none is ahead of it;
the catalog comes last, so no revision that a record names is missing. Counters, locks and the clock of the
boot are left out: they are made again.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offer_optimizer.core.errors import CannotStart, NotFound, StorageUnavailable
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DIRECTORY_MODE, DataDirectory
from offer_optimizer.store.sqlite import open_reader

PINS: Final = "backup-pins"
"""Folder of the hard links; what a killed backup left is removed by the next."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup took."""

    files: int
    bytes: int


def back_up(
    files: Files, source: DataDirectory, target: Path, progress: Progress = lambda _part: None
) -> Backup:
    """Copy a data directory to `target`, which is made; `progress` hears of each part.

    Retention and erasure wait meanwhile.

    Raises:
        CannotStart: `source` is no data directory, `target` is not empty or lies in it, or another backup,
            a retention or an erasure is running.
        StorageUnavailable: A disk did not take or give something; `target` is not complete then.

    """
    _check(source, target)
    lock = files.hold(source.retention_lock_path, b"", "retention.lock")
    if lock is None:
        raise CannotStart(
            f"{source.path}: a retention, an erasure or another backup is running; try again later"
        )
    try:
        target.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
        with _pinned(source) as pins:
            copied = list(_copy_all(source, DataDirectory(target), pins, progress))
        for folder in {path.parent for path in copied} | {target}:
            _sync(folder)
        # The mark of a data directory comes last: what is not complete is not taken for one.
        copied.append(_copy(source.format_path, target / source.format_path.name))
        _sync(target)
        return Backup(len(copied), sum(path.stat().st_size for path in copied))
    except (OSError, sqlite3.Error) as error:
        raise StorageUnavailable(f"backup of {source.path} to {target}: {error}") from error
    finally:
        files.close(lock)


def _check(source: DataDirectory, target: Path) -> None:
    if not source.format_path.is_file():
        raise CannotStart(f"{source.path} is not a data directory")
    if target.resolve().is_relative_to(source.path.resolve()):
        raise CannotStart(f"{target} lies in the data directory itself: choose another place")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CannotStart(f"{target} exists and is not an empty directory: choose another place")


@contextmanager
def _pinned(source: DataDirectory) -> Iterator[Path]:
    pins = source.path / PINS
    shutil.rmtree(pins, ignore_errors=True)
    pins.mkdir(DIRECTORY_MODE)
    try:
        for path in _listed(source.segments):
            with suppress(FileNotFoundError):
                os.link(path, pins / path.name)
        yield pins
    finally:
        shutil.rmtree(pins, ignore_errors=True)


def _copy_all(source: DataDirectory, target: DataDirectory, pins: Path, progress: Progress) -> Iterator[Path]:
    """Copy part by part; yield each file that was made."""
    progress("models")
    for folder in (source.snapshots, source.bases, source.archive, source.audit):
        yield from _copy_tree(folder, target.path / folder.name)
    progress("ledger")
    forgotten: set[str] = set()
    if source.ledger_path.exists():
        forgotten = _copy_with_offsets(source, target, pins)
        yield target.ledger_path
    progress("segments")
    target.segments.mkdir(DIRECTORY_MODE, exist_ok=True)
    for path in _listed(pins):
        if path.name not in forgotten:
            yield _copy(path, target.segments / path.name)
    for path in _listed(source.segments):
        if not (pins / path.name).exists():
            with suppress(FileNotFoundError):
                yield _copy(path, target.segments / path.name)
    progress("catalog")
    yield from _copy_tree(source.catalog, target.catalog)
    for path in (source.secret_path, source.salts_path):
        yield _copy(path, target.path / path.name)


def _copy_with_offsets(source: DataDirectory, target: DataDirectory, pins: Path) -> set[str]:
    """Copy the ledger; return the pinned segments that it has whole and whose offsets it may have forgotten.

    A segment is deleted once its rows are committed, and forgotten after that: one that was gone before the
    copy is in it. Of one that goes meanwhile and has no offset in the copy that can't be told, so the ledger
    is copied again; each time there are fewer of them.
    """
    pinned = _names(pins)
    while True:
        before = _names(source.segments)
        _copy_ledger(source.ledger_path, target.ledger_path)
        with closing(open_reader(target.ledger_path)) as connection:
            known = {name for (name,) in connection.execute("SELECT name FROM segment")}
        if not (pinned & before) - known - _names(source.segments):
            return pinned - before
        target.ledger_path.unlink()


def _names(folder: Path) -> set[str]:
    return {path.name for path in _listed(folder)}


def _copy_ledger(source: Path, target: Path) -> None:
    """Copy the database as it is at one moment. Freed pages, and what was in them, stay behind."""
    with closing(open_reader(source)) as connection:
        connection.execute("PRAGMA query_only=OFF")  # the copy is written through this connection
        connection.execute("VACUUM INTO ?", (str(target),))
    target.chmod(source.stat().st_mode & 0o777)
    _sync(target)


def _copy_tree(source: Path, target: Path) -> Iterator[Path]:
    if not source.is_dir():
        return
    target.mkdir(DIRECTORY_MODE, exist_ok=True)
    for path in _listed(source):
        if path.is_dir():
            yield from _copy_tree(path, target / path.name)
        else:
            # What goes meanwhile is not needed: a newer snapshot stands for it.
            with suppress(FileNotFoundError):
                yield _copy(path, target / path.name)


def _copy(source: Path, target: Path) -> Path:
    shutil.copy2(source, target)
    _sync(target)
    return target


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        raise NotFound(f"{folder} does not exist") from None


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
