"""One environment of the hot cache: LMDB, its room on the disk, and the tally table beside it.

What always holds: a tally that lies in the table stands for the one in LMDB, and has the events that were
added since; a transaction marks it outdated before it commits what makes it so, and writes the new one after.
Whoever dies in between leaves events known twice, which count once; or one known that was being undone, which
then counts although nobody was shown it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Final

import lmdb

from offer_optimizer.core.errors import CacheBusy
from offer_optimizer.store.hot_cache import CacheView
from offer_optimizer.store.hot_fill import Stage
from offer_optimizer.store.hot_lock import HotLock
from offer_optimizer.store.hot_reading import READERS
from offer_optimizer.store.hot_records import VISITOR, redirected
from offer_optimizer.store.hot_room import HotRoom
from offer_optimizer.store.hot_state import HotState
from offer_optimizer.store.hot_visitor import TALLIED, joined, settled, split, without_added
from offer_optimizer.store.tally_table import SEAT_BYTES, SEATS_MOST, BringHome, TallyTable, TornSeat

STAMP: Final = b"\0stamp"
STAGE: Final = b"\0stage"
_READY: Final = Stage.READY.value
_TALLIES: Final = "tallies"
_SHARE: Final = 16
"""The table takes this part of an environment's map at most."""
_TORN: Final = b"torn"
"""Stands for a tally that could not be read: equal to none."""


def make_environment(path: Path, map_bytes: int) -> None:
    """Make what `open_environment` expects in a directory, which exists. Raises OSError."""
    seats = SEATS_MOST
    while seats * SEAT_BYTES * _SHARE > map_bytes and seats > 1:
        seats //= 2
    TallyTable.create(path / _TALLIES, seats)


def open_environment(
    path: Path, generation: int, map_bytes: int, lock: HotLock, bring_home: BringHome
) -> Opened:
    """Open an environment. Raises lmdb.Error, OSError."""
    tallies = TallyTable(path / _TALLIES, generation, lock, bring_home)
    environment = lmdb.open(
        str(path),
        map_size=map_bytes,
        writemap=True,
        sync=False,
        metasync=False,
        max_readers=READERS,
        max_spare_txns=64,
        readahead=False,
    )
    room = HotRoom(path / "data.mdb", map_bytes)
    return Opened(generation, environment, room, environment.stat()["psize"], tallies)


@dataclass(slots=True)
class Opened:
    """An environment. One that was seen READY stays so: only another generation begins again."""

    generation: int
    environment: lmdb.Environment
    room: HotRoom
    page_bytes: int
    tallies: TallyTable
    is_ready: bool = False

    def begin_write(self, more_bytes: int = 0) -> lmdb.Transaction[bytes]:
        """Begin to change it, with room for so many bytes more than usual. Raises CacheBusy, lmdb.Error."""
        used_bytes = (self.environment.info()["last_pgno"] + 1) * self.page_bytes
        try:
            self.room.ensure(used_bytes, more_bytes)
        except OSError as error:
            raise CacheBusy(f"the counters could not be changed: {error.strerror or error}") from error
        return self.environment.begin(write=True)

    def bring_home(self, name: bytes, tally: bytes) -> None:
        """Give LMDB the events that were added at a visitor's seat, whose tally this is, and go on without.

        Hold the lock. Raises CacheBusy, lmdb.Error, struct.error.
        """
        transaction = self.begin_write()
        try:
            key = VISITOR + name
            transaction.put(key, settled(_with_tally(tally, transaction.get(key))))
            self.tallies.outdate(name)
            transaction.commit()
        finally:
            transaction.abort()
        self.tallies.set(name, without_added(tally))

    def close(self) -> None:
        """Let go of it."""
        self.environment.close()
        self.room.close()
        self.tallies.close()

    def accepts(self, transaction: lmdb.Transaction[bytes]) -> bool:
        """Return whether the environment is READY, as a transaction in it sees it."""
        if not self.is_ready:
            self.is_ready = transaction.get(STAGE) == _READY
        return self.is_ready


class Values:
    """Keys and values of one LMDB transaction, and the tallies beside it. Implements hot_state.KeyValues.

    With `keeps` visitors that were known and are written have their tallies in the table from then on.
    """

    __slots__ = ("_changed", "_cursor", "_keeps", "_tallies", "_transaction", "get", "put", "read")

    def __init__(
        self, transaction: lmdb.Transaction[bytes], tallies: TallyTable, *, keeps: bool = False
    ) -> None:
        self._transaction = transaction
        self._tallies = tallies
        self._keeps = keeps
        self._cursor: lmdb.Cursor[bytes] | None = None
        self._changed: dict[bytes, bytes] = {}
        self.read: dict[bytes, bytes] = {}
        # The bound functions themselves: a Python frame around each would cost more than the call.
        self.get: Callable[[bytes], bytes | None] = transaction.get
        self.put: Callable[[bytes, bytes], object] = transaction.put

    def delete(self, key: bytes, /) -> object:
        """See hot_state.KeyValues."""
        return self._transaction.delete(key)

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """See hot_state.KeyValues."""
        cursor = self._cursor
        if cursor is None:
            cursor = self._cursor = self._transaction.cursor()
        # Mostly nothing is there.
        if not cursor.set_range(start) or cursor.key() >= end:
            return []
        return list(takewhile(lambda entry: entry[0] < end, islice(cursor, limit)))

    def get_visitor(self, name: bytes) -> bytes | None:
        """See hot_state.KeyValues. Raises TornSeat."""
        tally = self.read[name] = self._tallies.get(name)
        data = self.get(VISITOR + name)
        return _with_tally(tally, data) if tally else data

    def put_visitor(self, name: bytes, data: bytes | None) -> None:
        """See hot_state.KeyValues. Raises TornSeat."""
        key = VISITOR + name
        # Who comes once, and most do, needs no seat.
        seats = self.read.get(name) or (self._keeps and self.get(key) is not None)
        if data is None:
            self.delete(key)
        else:
            self.put(key, data)
        if seats:
            self._seat(name, data)

    def are_as_read(self, read: Mapping[bytes, bytes]) -> bool:
        """Return whether tallies are as a view has read them, and take them over. Raises TornSeat."""
        for name, tally in read.items():
            if self._tallies.get(name) != tally:
                return False
        self.read.update(read)
        return True

    def commit(self) -> None:
        """Commit, and bring the table to what was written. Raises lmdb.Error."""
        tallies = self._tallies
        for name in self._changed:
            if self.read.get(name):
                tallies.outdate(name)
        self._transaction.commit()
        for name, tally in self._changed.items():
            if tally:
                tallies.set(name, tally)
            else:
                tallies.clear(name)

    def _seat(self, name: bytes, data: bytes | None) -> None:
        """Have a visitor's seat changed with the commit; whoever else has it takes what it added home."""
        tally = without_added(split(data)[0]) if data is not None and data.startswith(TALLIED) else b""
        if not self._tallies.fits(name, tally):
            tally = b""
        self._changed[name] = tally
        other = self._tallies.other(name) if tally else None
        if other is not None and other[0] not in self._changed:
            key = VISITOR + other[0]
            self.put(key, _with_tally(other[1], self.get(key)))


class ReadValues(Values):
    """The same of a view: nobody holds the lock, so a seat may be read while it is written.

    And given away behind the view's back, after LMDB was looked at: then events that were added are missing.
    A transaction that asks whether it `continues` the view finds out about either, and reads again.
    """

    __slots__ = ()

    def get_visitor(self, name: bytes) -> bytes | None:
        """See hot_state.KeyValues."""
        try:
            return super().get_visitor(name)
        except TornSeat:
            self.read[name] = _TORN
            return self.get(VISITOR + name)


class SharedState(HotState):
    """A state whose visitors have tallies in the table, which change without a commit."""

    __slots__ = ()

    _values: Values

    def continues(self, view: CacheView) -> bool:
        """See CacheTransaction."""
        if not isinstance(view, SharedState):
            return False
        read = view._values.read  # noqa: SLF001  (of the same class)
        return self._values.are_as_read(read) and super().continues(view)


def _with_tally(tally: bytes, data: bytes | None) -> bytes:
    # One that was merged has none: whoever merged it died before it could say so.
    return data if data is not None and redirected(data) is not None else joined(tally, data)
