"""Files in memory: for tests, simulation and replay in one process, without a disk.

What always holds: the same calls, order and errors as on disk, since only the primitives differ. Besides,
it knows what a power cut would leave (`power_cut`) and can be full (`capacity_bytes`).

A power cut takes all that was not synced, or, given chance, any part of it that a disk may lose: of a file's
sectors any, of its length any, of the changes of a directory's names any tail.
"""

from __future__ import annotations

import errno
import itertools
import posixpath
import random
import threading
from collections.abc import Iterable
from typing import Final

from offer_optimizer.store.files import Files, OnStep, nothing
from offer_optimizer.store.segment_format import SECTOR_BYTES

_LOSSES: Final = (0.0, 0.3, 1.0)
"""How likely a power cut loses a sector that was not synced; one of them for each file."""


class _File:
    """Content, and how much of it a power cut leaves. `mapped` is fixed memory that was handed out."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.synced = b""
        self.holder: int | None = None
        self.mapped: bytearray | None = None
        self.reserved = 0

    def current(self) -> bytes:
        return bytes(self.content if self.mapped is None else self.mapped)

    def left_by(self, chance: random.Random) -> bytes:
        """Return what one power cut among many leaves: sectors that were lost read as zeros."""
        if not self.content.startswith(self.synced):
            return self.synced if chance.random() < 0.5 else bytes(self.content)
        kept = len(self.synced)
        left = bytearray(
            self.content[: chance.choice([len(self.content), chance.randint(kept, len(self.content))])]
        )
        loss = chance.choice(_LOSSES)
        for start in range(kept - kept % SECTOR_BYTES, len(left), SECTOR_BYTES):
            if chance.random() < loss:
                first, end = max(start, kept), min(start + SECTOR_BYTES, len(left))
                left[first:end] = bytes(end - first)
        return bytes(left)


class MemoryDisk:
    """A `Disk` in memory. A full one takes the bytes that still fit and then fails with ENOSPC."""

    def __init__(self, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.sync_count = 0
        self._lock = threading.RLock()
        self._names: dict[str, _File] = {}
        self._synced_names: dict[str, _File] = {}
        self._changes: list[dict[str, _File | None]] = []
        """Changes of names since their directory was synced, in order; None: no longer there."""
        self._directories: set[str] = set()
        self._open: dict[int, _File] = {}
        self._numbers = itertools.count(1_000_000)

    def power_cut(self, chance: random.Random | None = None) -> None:
        """Forget what was not synced, names included, or what `chance` takes of it; handles and locks die."""
        with self._lock:
            self._names = dict(self._synced_names)
            if chance is not None:
                for change in self._changes[: chance.randint(0, len(self._changes))]:
                    self._apply(change, self._names)
            for file in {id(file): file for file in (*self._names.values(), *self._open.values())}.values():
                left = file.synced if chance is None else file.left_by(chance)
                file.synced, file.content = left, bytearray(left)
                file.holder = file.mapped = None
            self._synced_names, self._changes = dict(self._names), []
            self._open.clear()

    def kill(self) -> None:
        """Let every process that has anything open die: handles and locks go, what was written stays."""
        with self._lock:
            for file in self._open.values():
                file.content, file.holder, file.mapped = bytearray(file.current()), None, None
            self._open.clear()

    @staticmethod
    def _apply(change: dict[str, _File | None], names: dict[str, _File]) -> None:
        for name, file in change.items():
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file

    def _change(self, change: dict[str, _File | None]) -> None:
        self._apply(change, self._names)
        self._changes.append(change)

    def open(self, path: str, mode: int, *, must_be_new: bool) -> int:  # noqa: ARG002  (no modes here)
        """See Disk."""
        path = posixpath.normpath(path)
        with self._lock:
            if must_be_new and path in self._names:
                raise FileExistsError(errno.EEXIST, "exists", path)
            if posixpath.dirname(path) not in self._directories:
                raise FileNotFoundError(errno.ENOENT, "no such directory", path)
            fd = next(self._numbers)
            if path not in self._names:
                self._change({path: _File()})
            self._open[fd] = self._names[path]
            return fd

    def write(self, fd: int, data: bytes, /) -> int:
        """See Disk."""
        with self._lock:
            file = self._handle(fd)
            room = len(data)
            if self.capacity_bytes is not None:
                room = min(room, self.capacity_bytes - sum(len(f.content) for f in self._names.values()))
            if data and room <= 0:
                raise OSError(errno.ENOSPC, "no space left")
            file.content += data[:room]
            return room

    def truncate(self, fd: int, size: int, /) -> None:
        """See Disk."""
        with self._lock:
            file = self._handle(fd)
            del file.content[size:]
            file.reserved = 0

    def reserve(self, fd: int, size: int) -> None:
        """See Disk. Memory is there when it is written, so it is only noted."""
        with self._lock:
            file = self._handle(fd)
            file.reserved = max(file.reserved, size)

    def room_behind(self, path: str) -> int:
        """Return how many bytes are reserved behind the end of a file."""
        with self._lock:
            file = self._named(path)
            return max(0, file.reserved - len(file.content))

    def fdatasync(self, fd: int, /) -> None:
        """See Disk."""
        with self._lock:
            self.sync_count += 1
            file = self._handle(fd)
            file.synced = file.current()

    def sync_dir(self, path: str) -> None:
        """See Disk."""
        directory = posixpath.normpath(path)
        with self._lock:
            later = []
            for change in self._changes:
                if posixpath.dirname(next(iter(change))) == directory:
                    self._apply(change, self._synced_names)
                else:
                    later.append(change)
            self._changes = later

    def close(self, fd: int, /) -> None:
        """See Disk."""
        with self._lock:
            file = self._handle(fd)
            if file.holder == fd:
                file.holder = None
            del self._open[fd]

    def size(self, fd: int) -> int:
        """See Disk."""
        with self._lock:
            return len(self._handle(fd).content)

    def size_of(self, path: str) -> int:
        """See Disk."""
        return len(self._named(path).content)

    def read(self, path: str, offset: int, limit: int) -> bytes:
        """See Disk."""
        return self._named(path).current()[offset : offset + limit]

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        """See Disk."""
        with self._lock:
            file = self._named(path)
            file.content[offset : offset + len(data)] = data
            file.synced = file.current()

    def rename(self, source: str, target: str, /) -> None:
        """See Disk."""
        with self._lock:
            self._change({posixpath.normpath(target): self._named(source), posixpath.normpath(source): None})

    def unlink(self, path: str, /) -> None:
        """See Disk."""
        with self._lock:
            self._named(path)
            self._change({posixpath.normpath(path): None})

    def make_dir(self, path: str, mode: int) -> None:  # noqa: ARG002  (no modes here)
        """See Disk."""
        path = posixpath.normpath(path)
        with self._lock:
            while path not in self._directories:
                self._directories.add(path)
                path = posixpath.dirname(path)

    def list_dir(self, path: str, /) -> list[str]:
        """See Disk."""
        directory = posixpath.normpath(path)
        with self._lock:
            if directory not in self._directories:
                raise FileNotFoundError(errno.ENOENT, "no such directory", path)
            return [posixpath.basename(name) for name in self._below(directory)]

    def lock(self, fd: int) -> bool:
        """See Disk."""
        with self._lock:
            file = self._handle(fd)
            if file.holder not in (None, fd):
                return False
            file.holder = fd
            return True

    def is_locked(self, path: str) -> bool:
        """See Disk."""
        return self._named(path).holder is not None

    def map(self, fd: int, size: int) -> memoryview:
        """See Disk."""
        with self._lock:
            file = self._handle(fd)
            if file.mapped is None:
                file.mapped = bytearray(file.content[:size])
            return memoryview(file.mapped)

    def _below(self, directory: str) -> Iterable[str]:
        names = (*self._names, *self._directories - {directory})
        return sorted(name for name in names if posixpath.dirname(name) == directory)

    def _handle(self, fd: int) -> _File:
        if fd not in self._open:
            raise OSError(errno.EBADF, "not an open handle")
        return self._open[fd]

    def _named(self, path: str) -> _File:
        with self._lock:
            file = self._names.get(posixpath.normpath(path))
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return file


class MemoryFiles(Files):
    """`Files` on a MemoryDisk of its own; `directories` exist from the start."""

    def __init__(
        self,
        on_step: OnStep = nothing,
        *,
        capacity_bytes: int | None = None,
        directories: Iterable[str] = ("/data",),
    ) -> None:
        self.disk = MemoryDisk(capacity_bytes)
        for directory in directories:
            self.disk.make_dir(directory, 0o700)
        super().__init__(on_step, self.disk)
