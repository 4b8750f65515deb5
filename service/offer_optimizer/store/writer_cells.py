"""Writer cells: each process shows the others the oldest time it has stamped on a record not yet written.

The learner needs it to say "no record stamped before T will still appear", which is what moves ledger time.

    "OOCL" | u16 version | u16 cells | u32 pid | 4 spare | i64 heartbeat in ns | 3 i64 refusals | 16 spare
    i64 per cell

The file is mapped, in the machine's byte order; every number is aligned, so it is read in one piece. Refusals
say when the disk last refused the journal, the inbox and the journal's sync: memory that is mapped already
takes them however full or broken the disk is.

Why it is enough. A writer does (1) cell = clock, (2) stamp = clock again, at least the cell, (3) append,
(4) cell = 0. A reader does (a) T = clock, (b) read the cells, (c) read the ends of the segments, and takes
the least of T and all cells as its time. Let a record lie behind the ends. Then (3) came after (c), so (4)
did too, and at (b) the cell either showed (1), which is no later than the stamp; or was still empty, so that
(1) came after (b) and the stamp (2) after (a): it is at least T. Stamping before publishing would break the
second case. A processor may hold the store of (1) back for some nanoseconds past (2); the second that the
learner takes off T covers that. A clock that steps back between (a) and (2) is the learner's to notice.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from offer_optimizer.core.errors import DamagedFile, NotFound, StorageUnavailable
from offer_optimizer.store.files import Files, StrPath

MAGIC: Final = b"OOCL"
FORMAT_VERSION: Final = 1
CELL_COUNT: Final = 128
"""One for each handler thread of a process."""
SUFFIX: Final = ".cells"
_HEAD: Final = struct.Struct("=4sHHI4xqqqq16x")
_CELLS: Final = struct.Struct(f"={CELL_COUNT}q")
_HEARTBEAT: Final = 2
_FIRST_CELL: Final = _HEAD.size // 8
FILE_BYTES: Final = _HEAD.size + _CELLS.size


class Refused(IntEnum):
    """What a disk can refuse a process; the value is the place in the file, in words of 8 bytes."""

    JOURNAL = 3
    INBOX = 4
    SYNC = 5


@dataclass(frozen=True, slots=True)
class CellReading:
    """What one writer showed: times are those that it gave. `oldest_us` is None when nothing is unwritten.

    `refused_us` says when the disk last refused what it has not taken since.

    Of a dead writer (`alive` is False) nothing more can appear. A living one counts even when its
    heartbeat stands still: it may write any moment, until somebody kills it.
    """

    writer_id: str
    pid: int
    heartbeat_ns: int
    oldest_us: int | None
    alive: bool
    refused_us: Mapping[Refused, int] = field(default_factory=dict)


class _Seat:
    """A thread's own cell; freed with the thread."""

    __slots__ = ("__weakref__", "index")

    def __init__(self, index: int) -> None:
        self.index = index


class WriterCells:
    """The cells of this process. `begin` and `end` surround stamping and appending in every handler."""

    def __init__(self, files: Files, path: str, fd: int, memory: memoryview) -> None:
        """Use `create`."""
        self._files = files
        self._fd = fd
        self._path = path
        self._words = memory.cast("q")
        self._seats = threading.local()
        # A deque, because seats are freed by the garbage collector, which may run while a lock is held.
        self._free = deque(range(CELL_COUNT))

    @classmethod
    def create(
        cls, files: Files, directory: StrPath, writer_id: str, pid: int, heartbeat_ns: int
    ) -> WriterCells:
        """Create and lock `<writer_id>.cells` in `directory`. Raises StorageUnavailable."""
        path = f"{os.fspath(directory)}/{writer_id}{SUFFIX}"
        head = _HEAD.pack(MAGIC, FORMAT_VERSION, CELL_COUNT, pid, heartbeat_ns, 0, 0, 0)
        fd = files.open_append(path, "cells.create", head + bytes(_CELLS.size))
        return cls(files, path, fd, files.map(fd, FILE_BYTES).cast("B"))

    def begin(self, clock: Callable[[], int]) -> int:
        """Show that a record is under way and return its stamp in microseconds; `clock` is read twice.

        A batch begins once: its further records are stamped with the clock alone, which the cell already
        covers. Call `end` in a `finally`. Raises StorageUnavailable when more than CELL_COUNT threads
        have a cell, RuntimeError when this thread has begun already.
        """
        try:
            index = self._seats.seat.index
        except AttributeError:
            index = self._take_seat()
        words = self._words
        if words[index]:
            raise RuntimeError("begin: this thread has a record under way; a batch begins once")
        shown = clock()
        words[index] = shown
        # A clock that went back in between must not stamp before what is shown.
        return max(shown, clock())

    def end(self) -> None:
        """Show that the record, or the batch, is written or given up."""
        self._words[self._seats.seat.index] = 0

    def beat(self, now_ns: int) -> None:
        """Show that the process is alive; nanoseconds of whatever clock the supervisor compares with."""
        self._words[_HEARTBEAT] = now_ns

    def note_refused(self, what: Refused, time_us: int) -> None:
        """Show that the disk refused something at a time in microseconds; 0: it takes it again."""
        self._words[what] = time_us

    def close(self) -> None:
        """Release the lock: from now on this writer counts as dead. It must have stopped writing."""
        self._files.close(self._fd)

    def _take_seat(self) -> int:
        try:
            index = self._free.popleft()
        except IndexError:
            raise StorageUnavailable(
                f"{self._path}: more than {CELL_COUNT} threads record at once; lower the number of threads"
            ) from None
        seat = _Seat(index + _FIRST_CELL)
        self._seats.seat = seat
        weakref.finalize(seat, self._free_seat, index).atexit = False
        return seat.index

    def _free_seat(self, index: int) -> None:
        """Take back the cell of a thread that has ended; whatever it had under way will not be written."""
        self._words[index + _FIRST_CELL] = 0
        self._free.append(index)


def read_cells(files: Files, directory: StrPath) -> list[CellReading]:
    """Return what every writer in `directory` shows, dead ones included, by writer id.

    Read the clock before, and the ends of the segments after. Raises DamagedFile for an unreadable file of
    a living writer; of a dead one it is left out.
    """
    readings = []
    for name in files.list(directory):
        if name.endswith(SUFFIX):
            path = f"{os.fspath(directory)}/{name}"
            # The lock first: a writer that dies after it is only taken for alive once more.
            alive = files.is_locked(path)
            try:
                content = files.read(path, 0, FILE_BYTES)
            except NotFound:
                continue
            reading = _decode(content, name.removesuffix(SUFFIX), alive=alive)
            if reading is not None:
                readings.append(reading)
            elif alive:
                raise DamagedFile(path, "is not a file of writer cells of this release")
    return readings


def _decode(content: bytes, writer_id: str, *, alive: bool) -> CellReading | None:
    if len(content) < FILE_BYTES:
        return None
    magic, version, count, pid, heartbeat_ns, *refusals = _HEAD.unpack_from(content)
    if (magic, version, count) != (MAGIC, FORMAT_VERSION, CELL_COUNT):
        return None
    cells = _CELLS.unpack_from(content, _HEAD.size)
    oldest_us = min((cell for cell in cells if cell), default=None)
    refused_us = {what: time_us for what, time_us in zip(Refused, refusals, strict=True) if time_us}
    return CellReading(writer_id, pid, heartbeat_ns, oldest_us, alive, refused_us)


def oldest_unwritten(readings: Iterable[CellReading]) -> int | None:
    """Return the oldest time that a living writer shows, in microseconds; None when none does."""
    shown = (reading.oldest_us for reading in readings if reading.alive and reading.oldest_us is not None)
    return min(shown, default=None)


def remove_dead(files: Files, directory: StrPath) -> int:
    """Remove the files of dead writers; return how many. Raises StorageUnavailable."""
    removed_count = 0
    for name in files.list(directory):
        path = f"{os.fspath(directory)}/{name}"
        if name.endswith(SUFFIX) and not files.is_locked(path):
            files.remove(path, "cells.remove")
            removed_count += 1
    return removed_count
