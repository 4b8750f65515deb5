"""How tests count in a hot cache whose table of tallies has hardly any seats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from offer_optimizer.core.counting import CapEvent, CapReading, Counting
from offer_optimizer.store import lmdb_environment
from offer_optimizer.store.hot_cache import CacheTransaction, CacheView, Tally
from offer_optimizer.store.hot_fill import FillableCache
from offer_optimizer.store.hot_state import HotState
from offer_optimizer.store.hot_visitor import ADDED
from offer_optimizer.store.lmdb_cache import LmdbCache
from offer_optimizer.store.tally_table import SEAT_BYTES, SharedTally
from tests.integration.test_hot_cache import environment_of, make_ready, open_cache
from tests.unit.store.test_hot_visitor import CAPS, MIDNIGHT_US, READINGS, counted_apart, take

ANN, BOB, CAT = b"a" * 32, b"b" * 32, b"c" * 32
READING = READINGS[0]
IDS = tuple(cap.id for cap in CAPS)


def open_small(folder: Path, seats: int, patch: pytest.MonkeyPatch) -> LmdbCache:
    """Return a cache that is ready and has so many seats."""
    patch.setattr(lmdb_environment, "SEATS_MOST", seats)
    made = open_cache(folder)
    make_ready(made)
    assert (environment_of(folder) / "tallies").stat().st_size == 4096 + SEAT_BYTES * seats
    return made


def id_of(number: int) -> bytes:
    """Return the id of a decision."""
    return number.to_bytes(16, "big")


def know(cache: FillableCache, *visitors: bytes) -> None:
    """Let visitors be known, and nothing count: who is not yet known gets no seat."""
    with cache.transaction(1.0) as state:
        for visitor in visitors:
            state.saw_feedback(visitor, "home", "earlier", MIDNIGHT_US)


def decide(
    cache: FillableCache,
    visitor: bytes,
    number: int,
    now_us: int,
    reading: CapReading = READING,
    cap_ids: Sequence[str] = IDS,
) -> tuple[bytes, bool]:
    """Count as a decision does: return the counts that it went by, and whether they lay ready."""
    tally = cache.tally(reading, visitor, now_us, len(cap_ids))
    if tally is not None:
        assert tally.take(1.0)
        try:
            tally.add(cap_ids, id_of(number), now_us)
        finally:
            tally.let_go()
        return tally.counts, True
    with cache.view() as view:
        counts = view.counts(reading, visitor, now_us)
    with cache.transaction(1.0, keeps_tally=True) as state:
        assert state.continues(view)
        events = tuple([CapEvent(cap_id, now_us, 0) for cap_id in cap_ids])
        state.apply(id_of(number), visitor, Counting(events), now_us)
    return counts, False


def decide_among_others(cache: FillableCache, visitor: bytes, number: int, now_us: int) -> bool:
    """Count while others do so too, as a decision does; return whether a tally was held."""
    tally = cache.tally(READING, visitor, now_us, len(IDS))
    if tally is not None and tally.take(5.0):
        tally.add(IDS, id_of(number), now_us)
        tally.let_go()
        return True
    with cache.view() as view:
        view.counts(READING, visitor, now_us)
    with cache.transaction(5.0, keeps_tally=True) as state:
        if not state.continues(view):
            state.counts(READING, visitor, now_us)
        state.apply(
            id_of(number), visitor, Counting(tuple([CapEvent(cap_id, now_us, 0) for cap_id in IDS])), now_us
        )
    return False


def fill_seat(cache: FillableCache, visitor: bytes) -> int:
    """Decide until the visitor's seat has no room for another decision; return how many times."""
    number = 0
    while (tally := cache.tally(READING, visitor, MIDNIGHT_US, 3)) is None or not needs_room(tally):
        decide(cache, visitor, 3 * number, MIDNIGHT_US)
        number += 1
    return number


def needs_room(tally: Tally) -> bool:
    """Return whether what lies in the seat is brought home before anything is added."""
    assert isinstance(tally, SharedTally)
    return SEAT_BYTES - len(tally._seat.rstrip(b"\0")) < 3 * ADDED.size


def counts(cache: FillableCache, visitor: bytes, now_us: int = MIDNIGHT_US) -> list[int]:
    """Return what a decision would go by, having seen that the rows say the same."""
    with cache.view() as view:
        found = list(view.counts(READING, visitor, now_us))
    with cache.view() as view:
        assert found == count_apart(view, READING, visitor, now_us)
    tally = cache.tally(READING, visitor, now_us, len(IDS))
    assert tally is None or list(tally.counts) == found
    return found


def count_apart(view: CacheView, reading: CapReading, visitor: bytes, now_us: int) -> list[int]:
    """Return how many rows lie in the windows."""
    assert isinstance(view, HotState)
    return counted_apart(view, reading, visitor, now_us)


def change(cache: FillableCache, kind: str, visitor: bytes, number: int) -> None:
    """Change something of a visitor by a transaction that knows no tallies."""
    with cache.transaction(1.0) as state:
        change_in(state, kind, visitor, number, MIDNIGHT_US)


def change_in(state: CacheTransaction, kind: str, visitor: bytes, number: int, time_us: int) -> None:
    """Change something of a visitor."""
    assert isinstance(state, HotState)
    take(state, kind, visitor, number, time_us)
