"""A SQLite whose disk loses, at a power cut, any part of what it was not told to sync.

Every write goes through a file system layer of SQLite's own kind (a VFS of apsw), which keeps what each file
would have after a cut at this very moment. The connection looks like that of `sqlite3`, so the code under
test is the service's own, pragmas included.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from offer_optimizer.store import sqlite as sqlite_module
from offer_optimizer.store.ledger import Ledger

SECTOR = 512
_NUMBERS = itertools.count()
_Write = tuple[int, bytes]


class _Content:
    """What a file has on the disk, and what was written to it since."""

    def __init__(self, synced: bytes) -> None:
        self.synced = synced
        self.pending: list[_Write | int] = []

    def sync(self) -> None:
        self.synced, self.pending = self._with(self.pending), []

    def left_by(self, chance: random.Random) -> bytes:
        loss = chance.choice([0.0, 0.5, 1.0])
        kept: list[_Write | int] = []
        for change in self.pending:
            if isinstance(change, int):
                if chance.random() >= loss:
                    kept.append(change)
                continue
            offset, data = change
            sectors = ((start, data[start : start + SECTOR]) for start in range(0, len(data), SECTOR))
            kept.extend((offset + start, sector) for start, sector in sectors if chance.random() >= loss)
        return self._with(kept)

    def _with(self, changes: Iterable[_Write | int]) -> bytes:
        content = bytearray(self.synced)
        for change in changes:
            if isinstance(change, int):
                del content[change:]
                continue
            offset, data = change
            if len(content) < offset:
                content += bytes(offset - len(content))
            content[offset : offset + len(data)] = data
        return bytes(content)


class CutDisk(apsw.VFS):
    """Remembers what a power cut would leave. `on_write` hears of every write and sync before it is done."""

    def __init__(self) -> None:
        self.label = f"cut-{next(_NUMBERS)}"
        self.contents: dict[str, _Content] = {}
        self.on_write: Callable[[], None] = lambda: None
        super().__init__(self.label, "")

    def content(self, path: str) -> _Content:
        """Return what is known of a file; one that is there when it is first seen was synced."""
        if path not in self.contents:
            self.contents[path] = _Content(Path(path).read_bytes() if Path(path).exists() else b"")
        return self.contents[path]

    def xOpen(self, name: Any, flags: Any) -> _CutFile:  # noqa: ANN401  (as apsw declares it)
        """See apsw.VFS."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is not None:
            self.content(path)
        return _CutFile(name, flags, self, path)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """See apsw.VFS. What a cut brings back of a deleted journal is not modelled: it is synced away."""
        super().xDelete(filename, syncdir)
        self.contents.pop(filename, None)

    def leave(self, used: Path, folder: Path, chance: random.Random) -> None:
        """Write into a new folder what a power cut at this moment leaves of the one that is used."""
        folder.mkdir()
        before = {str(path) for path in used.iterdir()}
        for path in sorted(before | self.contents.keys()):
            # What was not opened in this life lies there as it did. The index of the log is never synced.
            if not path.endswith("-shm"):
                (folder / Path(path).name).write_bytes(self.content(path).left_by(chance))


class _CutFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: Any, disk: CutDisk, path: str | None) -> None:  # noqa: ANN401
        super().__init__("", name, flags)
        self._disk = disk
        self._path = path

    def _content(self) -> _Content | None:
        return None if self._path is None else self._disk.content(self._path)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: ANN401
        self._disk.on_write()
        super().xWrite(data, offset)
        content = self._content()
        if content is not None:
            content.pending.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        content = self._content()
        if content is not None:
            content.pending.append(newsize)

    def xSync(self, flags: int) -> None:
        self._disk.on_write()
        super().xSync(flags)
        content = self._content()
        if content is not None:
            content.sync()


class _Cursor:
    """Rows that were read whole, as `sqlite3.Cursor` hands them out."""

    def __init__(self, rows: list[Any], lastrowid: int) -> None:
        self._rows = iter(rows)
        self.lastrowid = lastrowid

    def fetchone(self) -> Any:  # noqa: ANN401
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class CutConnection:
    """As much of `sqlite3.Connection` as the service uses; `pragmas` replaces words in statements."""

    def __init__(self, path: str, disk: CutDisk, pragmas: dict[str, str]) -> None:
        self._connection = apsw.Connection(path, vfs=disk.label)
        self._pragmas = pragmas

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:  # noqa: ANN401
        """Run a statement. Raises sqlite3.OperationalError."""
        for word, other in self._pragmas.items():
            sql = re.sub(word, other, sql)
        try:
            rows = self._connection.execute(sql, parameters).fetchall()
        except apsw.Error as error:
            raise sqlite3.OperationalError(str(error)) from error
        return _Cursor(rows, self._connection.last_insert_rowid())

    def executemany(self, sql: str, parameters: Iterable[Any]) -> None:
        """Run a statement for each."""
        for item in parameters:
            self.execute(sql, item)

    def close(self) -> None:
        """Close."""
        self._connection.close()


def open_over(disk: CutDisk, path: Path, pragmas: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """Return how to open a ledger at `path` over a disk, by the service's own code."""

    def connect(name: object, **_options: object) -> object:
        if not name:
            return sqlite3.connect("", isolation_level=None)
        return CutConnection(os.fspath(path), disk, pragmas)

    def open_ledger(_path: Path, entropy: Callable[[int], bytes]) -> Ledger:
        with monkeypatch.context() as patched:
            patched.setattr(
                sqlite_module, "sqlite3", SimpleNamespace(connect=connect, Connection=sqlite3.Connection)
            )
            return Ledger.open_for_writing(path, entropy)

    return open_ledger
