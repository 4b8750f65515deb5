"""How long a tally lasts: rows are counted again when they have to be, and not before."""

from __future__ import annotations

import pytest

from offer_optimizer.core.catalog import Cap, Catalog, Window
from offer_optimizer.core.counting import CapEvent, CapReading, Counting, Limits
from offer_optimizer.decide.counters import Reads, read_counters
from offer_optimizer.store.hot_cache import Recent
from offer_optimizer.store.hot_state import HotState
from offer_optimizer.store.hot_visitor import Visitor
from offer_optimizer.store.memory_cache import MemoryValues

NOW_US = 1_750_000_000_000_000
SECOND = 1_000_000
ANN = b"a" * 32
ROLLING = (
    Cap(id="ten", limit=5, window=Window(rolling_s=10.0)),
    Cap(id="twenty", limit=5, window=Window(rolling_s=20.0)),
)
READING = CapReading(ROLLING)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the times at which rows were counted."""
    times_us: list[int] = []
    original = Visitor._count

    def count(self: Visitor, reading: CapReading, now_us: int) -> None:
        times_us.append(now_us - NOW_US)
        original(self, reading, now_us)

    monkeypatch.setattr(Visitor, "_count", count)
    return times_us


def add(values: MemoryValues, number: int, *events: CapEvent) -> None:
    """Let a decision count, without a reading."""
    state = HotState(values)
    state.apply(number.to_bytes(16, "big"), ANN, Counting(events), NOW_US)
    state.flush()


def test_a_tally_of_rows_lasts_until_the_first_of_them_leaves_its_window(counted: list[int]) -> None:
    values = MemoryValues()
    # Two caps whose first events leave at 7 s and 15 s, and one that had left before.
    for number, (cap_id, at_s) in enumerate(
        (("ten", -2), ("ten", -3), ("twenty", -5), ("ten", -1), ("ten", -30))
    ):
        add(values, number, CapEvent(cap_id, NOW_US + at_s * SECOND, 0))
    state = HotState(values)
    assert list(state.counts(READING, ANN, NOW_US)) == [3, 1]
    visitor = state._visitor(ANN)
    assert (visitor._since_us, visitor._until_us) == (NOW_US, NOW_US + 7 * SECOND)
    for later_us in (7 * SECOND - 1, 7 * SECOND):
        assert list(state.counts(READING, ANN, NOW_US + later_us)) == [3 - later_us // (7 * SECOND), 1]
    assert counted == [0, 7 * SECOND]


def test_a_tally_lasts_no_longer_than_a_reservation_that_it_counts(counted: list[int]) -> None:
    values = MemoryValues()
    add(values, 1, CapEvent("ten", NOW_US, NOW_US + 4 * SECOND), CapEvent("twenty", NOW_US, 0))
    add(values, 2, CapEvent("ten", NOW_US, NOW_US + 3 * SECOND))
    state = HotState(values)
    found = [list(state.counts(READING, ANN, NOW_US + s * SECOND)) for s in (0, 2, 3, 4, 9, 10)]
    assert found == [[2, 1], [2, 1], [1, 1], [0, 1], [0, 1], [0, 1]]
    assert counted == [0, 3 * SECOND, 4 * SECOND]


def test_a_placement_without_caps_leaves_the_tally_of_another_one_alone(counted: list[int]) -> None:
    values, limits = MemoryValues(), Limits(Catalog(offers=(), placements=(), caps=ROLLING))
    with_caps, without = Reads((0, 1), READING, ()), Reads((), CapReading(()), ())
    for number in range(20):
        state = HotState(values)
        reads = without if number % 2 else with_caps
        now_us = NOW_US + number
        counters = read_counters(state, limits, reads, ANN, now_us)
        if reads is with_caps:
            assert list(counters.counts) == [number // 2] * 2
            events = tuple(CapEvent(cap.id, now_us, 0) for cap in ROLLING)
            state.apply(number.to_bytes(16, "big"), ANN, Counting(events), now_us)
        else:
            assert not counters.counts
        # As every decision does that may be repeated: the visitor's record is written anew.
        decision_id = number.to_bytes(16, "big")
        state.remember(Recent(decision_id, "home", "msg", ANN, now_us, False, 1, b""), b"", b"")
        state.flush()
    assert counted == [0]
