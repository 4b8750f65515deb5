"""The tally beside a visitor's rows: whatever happens, and whenever it is read, it says what the rows say."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.catalog import Cap, Window
from offer_optimizer.core.counting import CapEvent, CapReading, Counting, window_start
from offer_optimizer.store import hot_records as records
from offer_optimizer.store.hot_rows import EVENTS_MOST
from offer_optimizer.store.hot_state import HotState
from offer_optimizer.store.hot_visitor import EMPTY, Visitor, joined, outdated, split
from offer_optimizer.store.memory_cache import MemoryValues

MIDNIGHT_US = 1_750_028_400_000_000
"""In Paris, where one of the caps begins anew."""
ANN, BOB = b"a" * 32, b"b" * 32
CAPS = (
    Cap(id="ever", limit=5),
    Cap(id="rolling", limit=5, window=Window(rolling_s=0.8)),
    Cap(id="day", limit=5, window=Window(period="day", zone="Europe/Paris")),
)
READINGS = (CapReading(CAPS), CapReading(CAPS[1:]), CapReading(CAPS[::-1]))

KINDS = ("count", "count", "reserve", "release", "undo", "merge", "read")
SEQUENCES = 300


def counted_apart(state: HotState, reading: CapReading, visitor: bytes, now_us: int) -> list[int]:
    """Return how many rows lie in the windows."""
    windows = {cap.id: cap.window for cap in CAPS}
    return [
        sum(time_us > window_start(windows[cap_id], now_us) for time_us in times)
        for cap_id in reading.places
        for times in (state.event_times(cap_id, visitor, now_us),)
    ]


def take(state: HotState, kind: str, visitor: bytes, number: int, time_us: int) -> None:
    """Change something of a visitor."""
    decision_id = number.to_bytes(16, "big")
    ids = [cap.id for cap in CAPS[number % 3 :]]
    if kind == "count":
        counting = Counting(tuple(CapEvent(cap_id, time_us, 0) for cap_id in ids))
        state.apply(decision_id, visitor, counting, time_us)
    elif kind == "reserve":
        events = tuple(CapEvent(cap_id, time_us, time_us + 700_000) for cap_id in ids)
        state.apply(decision_id, visitor, Counting(events), time_us)
    elif kind == "release":
        state.apply(decision_id, visitor, Counting(releases_reservations=True), time_us)
    elif kind == "undo":
        state.undo(decision_id, visitor)
    elif kind == "merge":
        state.merge(visitor, ANN if visitor == BOB else BOB)


def test_counts_are_those_of_the_rows_whatever_happened_before() -> None:
    for seed in range(SEQUENCES):
        chance = random.Random(seed)
        values = MemoryValues()
        now_us = MIDNIGHT_US - 2_000_000
        for _ in range(20):
            # Clocks of two deciders differ: now and then it is earlier than it was.
            now_us += chance.choice((-300_000, 0, 300_000, 400_000, 700_000))
            visitor, reading = chance.choice((ANN, ANN, BOB)), chance.choice((READINGS[0], *READINGS))
            # As a decision does: what was read is carried on by what is changed.
            state = HotState(values)
            found = list(state.counts(reading, visitor, now_us))
            assert found == counted_apart(HotState(values), reading, visitor, now_us), seed
            time_us = now_us - chance.choice((0, 0, 2_500_000))
            take(state, chance.choice(KINDS), visitor, chance.randrange(4), time_us)
            state.flush()


def test_a_tally_is_carried_on_by_every_event_and_rows_are_not_counted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = MemoryValues()
    counted = 0
    original = Visitor._count

    def count(self: Visitor, reading: CapReading, now_us: int) -> None:
        nonlocal counted
        counted += 1
        original(self, reading, now_us)

    monkeypatch.setattr(Visitor, "_count", count)
    for number in range(2 * EVENTS_MOST):
        state = HotState(values)
        now_us = MIDNIGHT_US + number
        assert list(state.counts(READINGS[0], ANN, now_us)) == [min(number, EVENTS_MOST)] * 3
        take(state, "count", ANN, 3 * number, now_us)
        state.flush()
    assert counted == 1


def test_a_tally_of_other_windows_is_not_taken() -> None:
    values = MemoryValues()
    state = HotState(values)
    assert list(state.counts(CapReading(CAPS[:1]), ANN, MIDNIGHT_US)) == [0]
    take(state, "count", ANN, 0, MIDNIGHT_US)
    state.flush()
    shorter = CapReading([CAPS[0].model_copy(update={"window": Window(rolling_s=1.0)})])
    for reading, later_us, expected in (
        (CapReading(CAPS[:1]), 1_000_000, 1),
        (shorter, 999_999, 1),
        (shorter, 1_000_000, 0),
    ):
        assert list(HotState(values).counts(reading, ANN, MIDNIGHT_US + later_us)) == [expected]


@given(st.binary(min_size=1, max_size=12))
def test_what_is_cut_short_is_damage(tail: bytes) -> None:
    values = MemoryValues()
    state = HotState(values)
    state.counts(READINGS[0], ANN, MIDNIGHT_US)
    take(state, "count", ANN, 0, MIDNIGHT_US)
    state.flush()
    data = values.get(records.VISITOR + ANN)
    assert data is not None
    with pytest.raises(struct.error):
        Visitor(ANN, data + tail).state()
    with pytest.raises(struct.error):
        Visitor(ANN, data[: -len(tail)]).state()


def test_events_that_two_tallies_of_a_visitor_have_are_joined_once_each() -> None:
    packed = []
    stores = MemoryValues(), MemoryValues()
    for values, numbers in zip(stores, ((0, 3, 6), (0, 3, 9)), strict=True):
        for number in numbers:
            state = HotState(values)
            state.counts(READINGS[0], ANN, MIDNIGHT_US)
            take(state, "count", ANN, number, MIDNIGHT_US)
            state.flush()
        packed.append(values.get(records.VISITOR + ANN) or b"")
    tally, _ = split(packed[0])
    assert joined(tally, None) == tally + EMPTY
    assert joined(tally, EMPTY) == tally + EMPTY
    stores[0].put(records.VISITOR + ANN, joined(outdated(tally), packed[1]))
    assert list(HotState(stores[0]).counts(READINGS[0], ANN, MIDNIGHT_US)) == [4] * 3
