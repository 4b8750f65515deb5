"""One visitor in the hot cache: left packed as long as nobody has to look inside, and counted only anew.

Beside the rows that the ledger's counters have too, the cache keeps a tally: how often each cap of one
reading counts, and from when until when that stays so while the rows stay as they are. A decision reads it
in place of the rows, and adds its own event to both.

What always holds: within its times a tally says what counting the rows would say. An event that stays moves
it along; whoever changes events in any other way forgets it, and the next who reads counts the rows again.
"""

from __future__ import annotations

import struct
from typing import Final

from offer_optimizer.core.counting import CapReading
from offer_optimizer.store.hot_cache import NEWEST_KEPT
from offer_optimizer.store.hot_records import (
    DECIDED,
    EVENT,
    VisitorState,
    append_decision,
    decode_visitor,
    encode_visitor,
    name_of,
)
from offer_optimizer.store.hot_rows import EVENTS_MOST, add_decisions, set_events

TALLIED: Final = b"T"
TALLY: Final = struct.Struct("<c8sqqBH")
"""Kind, name of the reading, first time and end of the times at which it holds, bytes of counts and rows."""
ADDED: Final = struct.Struct("<8s16sq")
"""Cap, decision_id, time in us: an event that stays, not yet among the rows of its cap."""
ADDED_MOST: Final = 96 * ADDED.size
EMPTY: Final = encode_visitor(VisitorState())
_NEVER_US: Final = 1 << 62


def carry_on(
    reading: CapReading, cap_id: str, counts: bytes, until_us: int, time_us: int
) -> tuple[bytes, int]:
    """Return counts, and the end of their time, with an event that stays, of a cap of the reading."""
    place = reading.places[cap_id]
    more = bytearray(counts)
    more[place] = min(EVENTS_MOST, more[place] + 1)
    rolling_us = reading.rolling_us[place]
    return bytes(more), until_us if rolling_us is None else min(until_us, time_us + rolling_us)


def split(data: bytes) -> tuple[bytes, bytes]:
    """Return (tally, rows) of what lies under a visitor's name; no tally where there is none.

    Raises struct.error.
    """
    if not data.startswith(TALLIED):
        return b"", data
    *_, counts, added = TALLY.unpack_from(data)
    end = TALLY.size + counts + added
    return data[:end], data[end:]


def joined(tally: bytes, data: bytes | None) -> bytes:
    """Return what lies under a visitor's name with a newer tally, and the added events of both.

    Raises struct.error.
    """
    own, rows = split(EMPTY if data is None else data)
    if not own:
        return tally + rows
    *_, own_counts, own_added = TALLY.unpack_from(own)
    kind, named, since_us, until_us, counts, added = TALLY.unpack_from(tally)
    end = TALLY.size + counts
    head = TALLY.pack(kind, named, since_us, until_us, counts, own_added + added)
    return b"".join((head, tally[TALLY.size : end], own[TALLY.size + own_counts :], tally[end:], rows))


def without_added(tally: bytes) -> bytes:
    """Return a tally whose added events lie elsewhere. Raises struct.error."""
    kind, named, since_us, until_us, counts, _ = TALLY.unpack_from(tally)
    return TALLY.pack(kind, named, since_us, until_us, counts, 0) + tally[TALLY.size : TALLY.size + counts]


def outdated(tally: bytes) -> bytes:
    """Return a tally that has the same added events, and counts for no reading. Raises struct.error."""
    kind, _, since_us, until_us, counts, added = TALLY.unpack_from(tally)
    return TALLY.pack(kind, bytes(8), since_us, until_us, counts, added) + tally[TALLY.size :]


def settled(data: bytes) -> bytes:
    """Return what lies under a visitor's name, with its added events among the rows where they are many.

    Raises struct.error.
    """
    if not data.startswith(TALLIED) or TALLY.unpack_from(data)[-1] <= ADDED_MOST:
        return data
    visitor = Visitor(b"", data)
    visitor.state()
    # So many events are never nothing to keep.
    return visitor.pack() or EMPTY


class Visitor:
    """What is known of one visitor in one view or transaction; `name` is the digest that it lies under."""

    __slots__ = (
        "_added",
        "_counts",
        "_named",
        "_packed",
        "_reading",
        "_since_us",
        "_state",
        "_until_us",
        "name",
    )

    def __init__(self, name: bytes, data: bytes | None) -> None:
        """Take what lies under the name, None where nothing does. Raises struct.error."""
        self.name = name
        self._reading: CapReading | None = None
        self._state: VisitorState | None = None
        self._named = self._counts = self._added = b""
        self._since_us = self._until_us = 0
        self._packed = EMPTY if data is None else data
        if data is not None and data.startswith(TALLIED):
            _, self._named, self._since_us, self._until_us, counts, added = TALLY.unpack_from(data)
            start = TALLY.size + counts
            end = start + added
            self._counts, self._added = data[TALLY.size : start], data[start:end]
            self._packed = data[end:]

    def state(self) -> VisitorState:
        """Return what is known, unpacked; who changes its events forgets the tally. Raises struct.error."""
        if self._state is None:
            state = self._state = decode_visitor(self._packed)
            events = state.events
            for cap, decision_id, time_us in ADDED.iter_unpack(self._added):
                events[cap] = set_events(events.get(cap, b""), EVENT.pack(time_us, 0, decision_id))
            self._added = b""
        return self._state

    def tally(self, reading: CapReading, now_us: int) -> bytes:
        """Return how many events of each cap lie in its window, a byte each, 100 at most."""
        named = reading.name_at(now_us)
        if self._named != named or not self._since_us <= now_us < self._until_us:
            self._count(reading, now_us)
            self._named = named
        self._reading = reading
        return self._counts

    def add_event(self, cap_id: str, time_us: int, decision_id: bytes) -> bool:
        """Add an event that stays to rows and tally; return whether that is all there is to do.

        It isn't where the tally was not read before, or the decision has an event there.
        """
        if self._reading is None or cap_id not in self._reading.places or time_us < self._since_us:
            return False
        if not self._append(name_of(cap_id), time_us, decision_id):
            return False
        self._counts, self._until_us = carry_on(self._reading, cap_id, self._counts, self._until_us, time_us)
        return True

    def add_decision(self, placement: bytes, time_us: int, decision_id: bytes) -> None:
        """Add a decision, once."""
        row = DECIDED.pack(placement, time_us, decision_id)
        packed = append_decision(self._packed, row, 2 * NEWEST_KEPT) if self._state is None else None
        if packed is not None:
            self._packed = packed
        else:
            state = self.state()
            state.decisions = add_decisions(state.decisions, row)

    def forget_tally(self) -> None:
        """Let the rows be counted again: events were changed."""
        self._reading, self._named = None, b""

    def pack(self) -> bytes | None:
        """Return what is to lie under the name; None when there is nothing to keep."""
        if not self._named and self._added:
            self.state()
        packed, counts, added = self._packed, self._counts, self._added
        if self._state is not None:
            if self._state.is_empty():
                return None
            packed = encode_visitor(self._state)
        if not self._named:
            return packed
        sizes = len(counts), len(added)
        return (
            TALLY.pack(TALLIED, self._named, self._since_us, self._until_us, *sizes) + counts + added + packed
        )

    def _append(self, cap: bytes, time_us: int, decision_id: bytes) -> bool:
        added = self._added
        if self._state is None and decision_id not in self._packed and len(added) < ADDED_MOST:
            if cap + decision_id in added:
                return False
            self._added = added + ADDED.pack(cap, decision_id, time_us)
            return True
        events = self.state().events
        rows = events.get(cap, b"")
        if decision_id in rows:
            return False
        events[cap] = set_events(rows, EVENT.pack(time_us, 0, decision_id))
        return True

    def _count(self, reading: CapReading, now_us: int) -> None:
        """Count the rows."""
        events = self.state().events
        self._since_us, self._until_us = now_us, _NEVER_US
        if not events:
            self._counts = bytes(len(reading.rolling_us))
            return
        until_us = _NEVER_US
        counts = bytearray()
        # Where placements with other caps take turns, every decision runs this over hundreds of rows.
        for (cap_id, behind_us), rolling_us in zip(reading.windows(now_us), reading.rolling_us, strict=True):
            count, oldest_us = 0, _NEVER_US
            for time_us, expires_us, _ in EVENT.iter_unpack(events.get(name_of(cap_id), b"")):
                if time_us > behind_us and (not expires_us or expires_us > now_us):
                    count += 1
                    if time_us < oldest_us:  # noqa: PLR1730  (half the time of `min`)
                        oldest_us = time_us
                    if expires_us and expires_us < until_us:
                        until_us = expires_us
            if count and rolling_us is not None:
                until_us = min(until_us, oldest_us + rolling_us)
            # The newest are the first to lie in a window, so this is what is left of them.
            counts.append(min(EVENTS_MOST, count))
        self._until_us, self._counts = until_us, bytes(counts)
