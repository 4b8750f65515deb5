"""The data directory: where everything lies, which format it has, and who may use it.

What always holds: a directory that is not ours, or that a newer release wrote, is refused untouched; one
server at a time holds the lock. It may not know what is inside the files that it names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from offer_optimizer.core.errors import CannotStart, NotFound, StorageUnavailable
from offer_optimizer.store.files import Files, StrPath

FORMAT_VERSION: Final = 1
DIRECTORY_MODE: Final = 0o700
"""Contexts and the secret are inside: nobody else may look."""
_FORMAT_LINE: Final = "offer-optimizer data directory, format "


class DirectoryLock:
    """The right to run on a data directory; ends with `release` or with the process."""

    def __init__(self, files: Files, fd: int) -> None:
        """Use DataDirectory.lock."""
        self._files = files
        self._fd: int | None = fd

    def release(self) -> None:
        """Let others in. Twice is fine."""
        if self._fd is not None:
            self._files.close(self._fd)
            self._fd = None


class DataDirectory:
    """Paths in one data directory, as `pathlib.Path`."""

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        self.segments = self.path / "segments"
        self.run = self.path / "run"
        self.snapshots = self.path / "snapshots"
        self.catalog = self.path / "catalog"
        self.archive = self.path / "archive"
        self.bases = self.path / "bases"
        self.hot = self.path / "hot"
        self.audit = self.path / "audit"
        self.shadows = self.path / "shadows"
        self.hot_lock_path = self.path / "hot.lock"
        self.ledger_path = self.path / "ledger.sqlite"
        self.secret_path = self.path / "secret"
        self.lock_path = self.path / "lock"
        self.salts_path = self.path / "salts"
        self.catalog_lock_path = self.path / "catalog.lock"
        self.learner_lock_path = self.path / "learner.lock"
        self.retention_lock_path = self.path / "retention.lock"
        self.clock_path = self.path / "clock"
        self.format_path = self.path / "FORMAT"

    def prepare(self, files: Files) -> bool:
        """Check the format, or lay out a missing or empty directory; return whether it is new.

        Raises CannotStart for a directory that isn't ours or whose format this release doesn't read.
        """
        try:
            is_new = not self._has_format(files)
            if is_new:
                files.make_dir(self.path, "layout.root", DIRECTORY_MODE)
                content = f"{_FORMAT_LINE}{FORMAT_VERSION}\n".encode()
                files.replace(self.format_path, content, "layout.format")
            for directory in (self.segments, self.run, self.snapshots, self.catalog, self.hot):
                files.make_dir(directory, "layout.part", DIRECTORY_MODE)
            files.sync_dir(self.path, "layout.sync_dir")
        except StorageUnavailable as failure:
            raise CannotStart(f"data directory {self.path} can't be used: {failure}") from failure
        return is_new

    def check_format(self, files: Files) -> None:
        """Raise CannotStart unless this is a data directory of the format that this release reads."""
        if not self._has_format(files):
            raise CannotStart(f"{self.path}: there is no data directory")

    def _has_format(self, files: Files) -> bool:
        """Return False for a directory that is free to use. Raises CannotStart for one that isn't ours."""
        try:
            text = files.read(self.format_path, 0, 200).decode(errors="replace").strip()
        except NotFound:
            if self._is_free(files):
                return False
            raise CannotStart(
                f"{self.path} is not empty and is not a data directory: choose an empty one"
            ) from None
        number = text.removeprefix(_FORMAT_LINE)
        if number == text or not number.isdecimal():
            raise CannotStart(f"{self.format_path} is not what this service writes: {text[:60]!a}")
        if int(number) != FORMAT_VERSION:
            raise CannotStart(
                f"{self.path} has format {number}, this release reads {FORMAT_VERSION}:"
                " run the release that wrote it"
            )
        return True

    def _is_free(self, files: Files) -> bool:
        try:
            return not files.list(self.path)
        except NotFound:
            return True

    def lock(self, files: Files, pid: int) -> DirectoryLock:
        """Take the directory, note `pid` for others to read, and clear what dead writers left unfinished.

        Raises CannotStart when another server has it.
        """
        try:
            fd = files.hold(self.lock_path, f"{pid}\n".encode(), "layout.lock")
            if fd is None:
                raise CannotStart(
                    f"data directory {self.path} is in use by another server{self._holder(files)}:"
                    " stop it, or choose another directory"
                )
            for directory in (self.path, self.segments, self.run, self.snapshots, self.catalog):
                files.remove_leftovers(directory, "layout.leftovers")
        except StorageUnavailable as failure:
            raise CannotStart(f"data directory {self.path} can't be locked: {failure}") from failure
        return DirectoryLock(files, fd)

    def _holder(self, files: Files) -> str:
        text = os.fsdecode(files.read(self.lock_path, 0, 20)).strip()
        return f" (process {text})" if text.isdecimal() else ""
