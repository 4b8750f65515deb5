"""The tally table: what most decisions read and change of a visitor, in one place and by one store.

A mapped file beside an environment of the hot cache. A visitor has one place there, found by its digest,
which another visitor may take. What lies there is the newest tally (hot_visitor) with the events that were
added since the environment was told; it may have an older tally, and has everything else. A place holds the
tally of a visitor that is known by its own digest, never of one that was merged into another.

    u8 state | u32 crc of what follows, up to its end | 32 name | tally

What always holds: places are changed under the lock of the hot cache. Reading takes none: one that is being
written, or that a process died writing, is known by its checksum. An event is in the environment before its
place is given to another visitor, or cleared.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from offer_optimizer.core.counting import CapReading
from offer_optimizer.store.hot_lock import HotLock
from offer_optimizer.store.hot_records import name_of
from offer_optimizer.store.hot_visitor import ADDED, TALLIED, TALLY, carry_on, outdated

ENTRY_BYTES: Final = 512
NAME_BYTES: Final = 32
PLACES_MOST: Final = 1 << 20
_CHECK: Final = struct.Struct("<BI")
_ENTRY: Final = struct.Struct(f"<BI{NAME_BYTES}s{TALLY.format[1:]}")
_NAMED: Final = slice(_CHECK.size, _CHECK.size + NAME_BYTES)
_NOBODYS, _OUTDATED, _HOLDS = 0, 1, 2
"""States: nobody's place, a tally that counts for no reading but has added events, one that holds."""
_PAGE_BYTES: Final = 4096


class TornEntry(struct.error):
    """A place that is being written, or that nobody finished writing."""


class SharedTally:
    """What lay ready of a visitor, as it was read. Implements hot_cache.Tally."""

    __slots__ = (
        "_added",
        "_at",
        "_entry",
        "_named",
        "_reading",
        "_since_us",
        "_table",
        "_until_us",
        "counts",
    )

    def __init__(
        self,
        table: TallyTable,
        at: int,
        entry: bytes,
        reading: CapReading,
        head: tuple[bytes, int, int, int, int],
    ) -> None:
        self._table, self._at, self._entry, self._reading = table, at, entry, reading
        self._named, self._since_us, self._until_us, counts, added = head
        start = _ENTRY.size + counts
        self.counts = entry[_ENTRY.size : start]
        self._added = entry[start : start + added]

    def hold(self, timeout_s: float) -> bool:
        """See hot_cache.Tally."""
        table, at = self._table, self._at
        table.lock.acquire(timeout_s)
        if table.generation == table.lock.usable and table.map[at : at + ENTRY_BYTES] == self._entry:
            return True
        table.lock.release()
        return False

    def add(self, cap_ids: Iterable[str], decision_id: bytes, time_us: int) -> None:
        """See hot_cache.Tally."""
        counts, until_us, rows = self.counts, self._until_us, self._added
        for cap_id in cap_ids:
            counts, until_us = carry_on(self._reading, cap_id, counts, until_us, time_us)
            rows += ADDED.pack(name_of(cap_id), decision_id, time_us)
        tally = TALLY.pack(TALLIED, self._named, self._since_us, until_us, len(counts), len(rows))
        content = b"".join((self._entry[_NAMED], tally, counts, rows))
        at = self._at
        self._table.map[at : at + _CHECK.size + len(content)] = _sealed(content)

    def let_go(self) -> None:
        """See hot_cache.Tally."""
        self._table.lock.release()


class TallyTable:
    """The table of one generation, as one process has it mapped. Change it under the lock."""

    def __init__(self, path: Path, generation: int, lock: HotLock) -> None:
        """Open the file. Raises OSError."""
        self.generation = generation
        self.lock = lock
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            self._mask = size // ENTRY_BYTES - 1
            if self._mask < 0 or size % ENTRY_BYTES or self._mask & (self._mask + 1):
                raise OSError(f"{path}: a table of tallies has {size} bytes")
            self.map = mmap.mmap(fd, size)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._allocated = bytearray(size // _PAGE_BYTES + 1)

    @staticmethod
    def create(path: Path, places: int) -> None:
        """Make an empty one, for a power of two of visitors; its pages are allocated when they are used.

        Raises OSError.
        """
        with path.open("xb") as file:
            file.truncate(places * ENTRY_BYTES)

    def close(self) -> None:
        """Let go of the file; what is mapped goes with the last who reads it."""
        os.close(self._fd)

    def find(self, reading: CapReading, digest: bytes, now_us: int, most: int) -> SharedTally | None:
        """Return a visitor's tally of a reading that holds now, and has room for `most` more events."""
        at = (int.from_bytes(digest[:4], "little") & self._mask) * ENTRY_BYTES
        entry = self.map[at : at + ENTRY_BYTES]
        state, crc, name, _, named, since_us, until_us, counts, added = _ENTRY.unpack_from(entry)
        end = _ENTRY.size + counts + added
        if (
            name != digest
            or state != _HOLDS
            or not since_us <= now_us < until_us
            or end + most * ADDED.size > ENTRY_BYTES
            or named != reading.name_at(now_us)
            or zlib.crc32(entry[_CHECK.size : end]) != crc
        ):
            return None
        return SharedTally(self, at, entry, reading, (named, since_us, until_us, counts, added))

    def get(self, name: bytes) -> bytes:
        """Return the tally of a visitor, nothing where its place holds none. Raises TornEntry."""
        at = self._at(name)
        # Mostly nobody's: a place is given to whom decisions only count for.
        if self.map[at] == _NOBODYS or not self._is_of(name, at):
            return b""
        held, tally = self._entry(at)
        return tally if held == name else b""

    def other(self, name: bytes) -> tuple[bytes, bytes] | None:
        """Return (name, tally) of another visitor who has this one's place, if one has. Raises TornEntry."""
        at = self._at(name)
        return self._entry(at) if self.map[at] != _NOBODYS and not self._is_of(name, at) else None

    def set(self, name: bytes, tally: bytes) -> None:
        """Give a visitor its place. Where there is no room, its place is cleared."""
        content, at = name + tally, self._at(name)
        fits = len(name) == NAME_BYTES and _CHECK.size + len(content) <= ENTRY_BYTES
        if not fits or not self._has_room(at):
            self.clear(name)
            return
        self.map[at : at + _CHECK.size + len(content)] = _sealed(content)

    def outdate(self, name: bytes) -> None:
        """Let a tally that lies here count for no reading, and keep the events that were added."""
        self.map[self._at(name)] = _OUTDATED

    def clear(self, name: bytes) -> None:
        """Let a visitor have no place."""
        at = self._at(name)
        # Looked at before it is written: pages that nobody has written may have no room under them.
        if self._is_of(name, at):
            self.map[at] = _NOBODYS

    def _is_of(self, name: bytes, at: int) -> bool:
        found = self.map[at : at + _NAMED.stop]
        return found[0] != _NOBODYS and found[_NAMED] == name

    def _entry(self, at: int) -> tuple[bytes, bytes]:
        entry = self.map[at : at + ENTRY_BYTES]
        state, crc, name, *_, counts, added = _ENTRY.unpack_from(entry)
        content = entry[_CHECK.size : _ENTRY.size + counts + added]
        if zlib.crc32(content) != crc:
            raise TornEntry("a visitor's tally is not as it was written")
        tally = content[NAME_BYTES:]
        return name, tally if state == _HOLDS else outdated(tally)

    def _at(self, name: bytes) -> int:
        return (int.from_bytes(name[:4], "little") & self._mask) * ENTRY_BYTES

    def _has_room(self, at: int) -> bool:
        """Allocate the page of a place, since a store where the disk is full would be a SIGBUS."""
        page = at // _PAGE_BYTES
        if not self._allocated[page]:
            try:
                os.posix_fallocate(self._fd, page * _PAGE_BYTES, min(_PAGE_BYTES, len(self.map)))
            except OSError:
                return False
            self._allocated[page] = 1
        return True


def _sealed(content: bytes) -> bytes:
    return _CHECK.pack(_HOLDS, zlib.crc32(content)) + content
