"""The tally table: what most decisions read and change of a visitor, in one place and by one store.

A file beside an environment of the hot cache. A visitor has one seat there, found by its digest, which
another visitor may take. What lies there is the newest tally (hot_visitor) with the events that were added
since the environment was told; it may have an older tally, and has everything else. A seat holds the tally of
a visitor that is known by its own digest, never of one that was merged into another.

    u8 state | u32 crc of what follows, up to its end | 32 name | tally

What always holds: seats are changed under the lock of the hot cache. Reading takes none: one that is being
written, or that a process died writing, is known by its checksum. An event is in the environment before its
seat is given to another visitor, cleared, or emptied for want of room. A page is first filled with zeros by a
call, so that a full disk is an error like any other; from then on it is read and changed in a map. To look at
a hole of a full tmpfs through a map is a SIGBUS, so in front of the seats lies a byte for each of their
pages, which says whether it was written. As in `hot_room`, that is for file systems that overwrite in place.
"""

from __future__ import annotations

import mmap
import os
import struct
import weakref
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias

from offer_optimizer.core.counting import CapReading
from offer_optimizer.store.hot_lock import HotLock
from offer_optimizer.store.hot_records import name_of
from offer_optimizer.store.hot_visitor import ADDED, TALLIED, TALLY, carry_on, outdated

SEAT_BYTES: Final = 512
NAME_BYTES: Final = 32
SEATS_MOST: Final = 1 << 20
_PAGE_BYTES: Final = 4096
_SEATS_A_PAGE: Final = _PAGE_BYTES // SEAT_BYTES
_EMPTY: Final = bytes(SEAT_BYTES)
_CHECK: Final = struct.Struct("<BI")
_SEAT: Final = struct.Struct(f"<BI{NAME_BYTES}s{TALLY.format[1:]}")
_NAMED: Final = slice(_CHECK.size, _CHECK.size + NAME_BYTES)
_NOBODYS, _OUTDATED, _CURRENT = 0, 1, 2
"""States: nobody's seat, a tally that counts for no reading but has added events, one that counts."""


BringHome: TypeAlias = Callable[[bytes, bytes], None]
"""Gives the environment the events that were added to a tally, of a visitor by name. Hold the lock.

Raises CacheBusy, CacheUnready.
"""


class TornSeat(struct.error):
    """A seat that is being written, or that nobody finished writing."""


class SharedTally:
    """What lay ready of a visitor, as it was read. Implements hot_cache.Tally."""

    __slots__ = ("_added", "_at", "_head", "_needs_room", "_reading", "_seat", "_table", "counts")

    def __init__(
        self,
        table: TallyTable,
        at: int,
        seat: bytes,
        reading: CapReading,
        head: tuple[bytes, int, int, int, int],
        *,
        needs_room: bool,
    ) -> None:
        self._table, self._at, self._seat, self._reading = table, at, seat, reading
        self._head, self._needs_room = head, needs_room
        start = _SEAT.size + head[3]
        self.counts = seat[_SEAT.size : start]
        self._added = seat[start : start + head[4]]

    def take(self, timeout_s: float) -> bool:
        """See hot_cache.Tally."""
        table = self._table
        table.lock.acquire(timeout_s)
        try:
            if table.generation == table.lock.usable and table.read(self._at) == self._seat:
                if self._needs_room:
                    self._make_room()
                return True
        except BaseException:
            table.lock.release()
            raise
        table.lock.release()
        return False

    def add(self, cap_ids: Iterable[str], decision_id: bytes, time_us: int) -> None:
        """See hot_cache.Tally."""
        named, since_us, until_us, *_ = self._head
        counts, rows = self.counts, self._added
        for cap_id in cap_ids:
            counts, until_us = carry_on(self._reading, cap_id, counts, until_us, time_us)
            rows += ADDED.pack(name_of(cap_id), decision_id, time_us)
        tally = TALLY.pack(TALLIED, named, since_us, until_us, len(counts), len(rows))
        self._table.store(self._at, b"".join((self._seat[_NAMED], tally, counts, rows)))

    def let_go(self) -> None:
        """See hot_cache.Tally."""
        self._table.lock.release()

    def _make_room(self) -> None:
        """Bring home what was added: before anything is drawn, so that what can't be counted is not drawn."""
        end = _SEAT.size + len(self.counts) + len(self._added)
        self._table.bring_home(self._seat[_NAMED], self._seat[_NAMED.stop : end])
        self._added = b""


class TallyTable:
    """The table of one generation, as one process has it open. Change it under the lock."""

    def __init__(self, path: Path, generation: int, lock: HotLock, bring_home: BringHome) -> None:
        """Open the file. Raises OSError."""
        self.generation = generation
        self.lock = lock
        self.bring_home = bring_home
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        # Closed with the last who has it, who may be a reader in another thread.
        self._closing = weakref.finalize(self, os.close, self._fd)
        size = os.fstat(self._fd).st_size
        seats = _seats_in(size)
        self._mask = seats - 1
        self._head = _head_bytes(seats)
        if not seats:
            raise OSError(f"{path}: a table of tallies has {size} bytes")
        self._map = mmap.mmap(self._fd, size)

    @staticmethod
    def create(path: Path, seats: int) -> None:
        """Make an empty one, for a power of two of visitors; it takes room as it is used. Raises OSError."""
        with path.open("xb") as file:
            head = _head_bytes(seats)
            file.write(bytes(head))
            file.truncate(head + seats * SEAT_BYTES)

    def find(self, reading: CapReading, digest: bytes, now_us: int, most: int) -> SharedTally | None:
        """Return a visitor's tally of a reading that counts now, to which `most` events may be added."""
        number = int.from_bytes(digest[:4], "little") & self._mask
        if not self._map[number // _SEATS_A_PAGE]:
            return None
        at = self._head + number * SEAT_BYTES
        seat = self._map[at : at + SEAT_BYTES]
        state, crc, name, _, named, since_us, until_us, counts, added = _SEAT.unpack_from(seat)
        end = _SEAT.size + counts + added
        more_bytes = most * ADDED.size
        if (
            name != digest
            or state != _CURRENT
            or not since_us <= now_us < until_us
            or _SEAT.size + counts + more_bytes > SEAT_BYTES
            or named != reading.name_at(now_us)
            or zlib.crc32(seat[_CHECK.size : end]) != crc
        ):
            return None
        head = named, since_us, until_us, counts, added
        return SharedTally(self, at, seat, reading, head, needs_room=end + more_bytes > SEAT_BYTES)

    def get(self, name: bytes) -> bytes:
        """Return the tally of a visitor, nothing where its seat holds none. Raises TornSeat."""
        seat = self.read(self._at(name))
        # Mostly nobody's: a seat is given to whom decisions only count for.
        if seat[0] == _NOBODYS or seat[_NAMED] != name:
            return b""
        return _parse(seat)[1]

    def other(self, name: bytes) -> tuple[bytes, bytes] | None:
        """Return (name, tally) of another visitor who has this one's seat, if one has. Raises TornSeat."""
        seat = self.read(self._at(name))
        return _parse(seat) if seat[0] != _NOBODYS and seat[_NAMED] != name else None

    def fits(self, name: bytes, tally: bytes) -> bool:
        """Return whether a seat can hold the tally of such a visitor."""
        return len(name) == NAME_BYTES and _CHECK.size + NAME_BYTES + len(tally) <= SEAT_BYTES

    def set(self, name: bytes, tally: bytes) -> None:
        """Give a visitor its seat, with a tally that fits; where the disk has no room, nobody has it."""
        at = self._at(name)
        page = (at - self._head) // _PAGE_BYTES
        if self._map[page] or self._make_page(page):
            self.store(at, name + tally)

    def outdate(self, name: bytes) -> None:
        """Let a tally that lies here count for no reading, and keep its added events."""
        self._map[self._at(name)] = _OUTDATED

    def clear(self, name: bytes) -> None:
        """Let a visitor have no seat."""
        at = self._at(name)
        seat = self.read(at)
        if seat[0] != _NOBODYS and seat[_NAMED] == name:
            self._map[at] = _NOBODYS

    def read(self, at: int) -> bytes:
        """Return a seat."""
        if not self._map[(at - self._head) // _PAGE_BYTES]:
            return _EMPTY
        return self._map[at : at + SEAT_BYTES]

    def store(self, at: int, content: bytes) -> None:
        """Store name and tally at a seat, where somebody has written before."""
        checked = _checked(content)
        self._map[at : at + len(checked)] = checked

    def close(self) -> None:
        """Let go of the file."""
        self._closing()

    def _make_page(self, page: int) -> bool:
        """Let a page of the file be more than a hole; return whether the disk had room for it."""
        start = self._head + page * _PAGE_BYTES
        # A table of few seats has less than a page of them, and its size says how many.
        page_bytes = min(_PAGE_BYTES, len(self._map) - start)
        try:
            is_whole = os.pwrite(self._fd, bytes(page_bytes), start) == page_bytes
        except OSError:
            is_whole = False
        self._map[page] = is_whole
        return is_whole

    def _at(self, name: bytes) -> int:
        return self._head + (int.from_bytes(name[:4], "little") & self._mask) * SEAT_BYTES


def _checked(content: bytes) -> bytes:
    if _CHECK.size + len(content) > SEAT_BYTES:
        raise ValueError(f"a tally of {len(content)} bytes has no room in a seat of {SEAT_BYTES}")
    return _CHECK.pack(_CURRENT, zlib.crc32(content)) + content


def _parse(seat: bytes) -> tuple[bytes, bytes]:
    """Return (name, tally). Raises TornSeat."""
    state, crc, name, *_, counts, added = _SEAT.unpack_from(seat)
    content = seat[_CHECK.size : _SEAT.size + counts + added]
    if zlib.crc32(content) != crc:
        raise TornSeat("a visitor's tally is not as it was written")
    tally = content[NAME_BYTES:]
    return name, tally if state == _CURRENT else outdated(tally)


def _head_bytes(seats: int) -> int:
    """Return how many bytes lie in front of so many seats: whole pages, a byte for each page of seats."""
    pages = -(-seats // _SEATS_A_PAGE)
    return -(-pages // _PAGE_BYTES) * _PAGE_BYTES


def _seats_in(size: int) -> int:
    """Return how many seats a table of so many bytes has; 0 where no table has that size."""
    seats = SEATS_MOST
    while seats and _head_bytes(seats) + seats * SEAT_BYTES != size:
        seats //= 2
    return seats
