"""The rules of the hot cache, over a dictionary: against counts made apart, in any order and again."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Cap, Window
from offer_optimizer.core.counting import CapEvent, CapReading, Charge, Counting, settle_charge, settle_event
from offer_optimizer.store.hot_cache import KEPT_US, NEWEST_KEPT, REPEAT_US, Recent
from offer_optimizer.store.hot_state import HotState
from offer_optimizer.store.hot_sweep import SWEEP_EVERY_US, SweepTurns
from offer_optimizer.store.memory_cache import MemoryValues

NOW_US = 1_750_000_000_000_000
FAR_US = NOW_US + 10**12
ANN, BOB, CY = b"a" * 32, b"b" * 32, b"c" * 32


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def recent(number: int, *, visitor: bytes = ANN, time_us: int = NOW_US, where: str = "home") -> Recent:
    return Recent(
        id_of(number), where, "offer", visitor, time_us, deferred=False, catalog_revision=3, record=b"r"
    )


class Store:
    """Keys and values, opened anew for every operation, as transactions do."""

    def __init__(self) -> None:
        self.values = MemoryValues()
        self.state = HotState(self.values)

    def change(self) -> HotState:
        self.state = HotState(self.values)
        return self.state

    def read(self) -> HotState:
        self.state.flush()
        return HotState(self.values)


@pytest.fixture
def store() -> Store:
    return Store()


def cap(cap_id: str, within_us: int | None = None) -> Cap:
    return Cap(id=cap_id, limit=5, window=Window(rolling_s=None if within_us is None else within_us / 1e6))


times = st.integers(NOW_US - 50, NOW_US + 50)
expiries = st.one_of(st.just(0), st.integers(NOW_US - 5, NOW_US + 5))
events = st.builds(CapEvent, st.sampled_from(("x", "y")), times, expiries)
charges = st.builds(
    Charge, st.sampled_from(("b", "d")), st.sampled_from(("2026-01-01", "2026-01-02")), st.just(0.1), expiries
)
operations = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.builds(
            Counting, st.lists(events, max_size=2).map(tuple), st.lists(charges, max_size=2).map(tuple)
        ),
    ),
    max_size=15,
)


@given(operations, st.randoms(use_true_random=False))
def test_counts_are_what_settling_makes_of_them_in_any_order_and_however_often(
    steps: list[tuple[int, Counting]], chance: random.Random
) -> None:
    held_events: dict[tuple[str, int], CapEvent] = {}
    held_charges: dict[tuple[str, int], Charge] = {}
    for number, counting in steps:
        for event in counting.events:
            key = event.cap_id, number
            held_events[key] = settle_event(held_events.get(key), event)
        for charge in counting.charges:
            key = charge.budget_id, number
            held_charges[key] = settle_charge(held_charges.get(key), charge)
    shuffled = [*steps, *chance.sample(steps, len(steps) // 2)]
    chance.shuffle(shuffled)
    store = Store()
    for number in range(5):
        store.change().remember(recent(number), b"", b"")
        store.state.flush()
    for number, counting in shuffled:
        store.change().apply(id_of(number), ANN, counting, NOW_US - 100)
        store.state.flush()
    state = store.read()
    for now_us in (NOW_US - 100, NOW_US, NOW_US + 100):
        for cap in ("x", "y"):
            expected = [
                event.time_us
                for (cap_id, _), event in held_events.items()
                if cap_id == cap and (not event.expires_us or event.expires_us > now_us)
            ]
            assert sorted(state.event_times(cap, ANN, now_us)) == sorted(expected)
        for budget in ("b", "d"):
            for period in ("2026-01-01", "2026-01-02"):
                amounts = [
                    charge.amount
                    for (budget_id, _), charge in held_charges.items()
                    if (budget_id, charge.period) == (budget, period)
                    and (not charge.expires_us or charge.expires_us > now_us)
                ]
                assert state.spent(budget, period, now_us) == round(sum(amounts), 6)


def test_of_events_without_end_the_newest_hundred_count() -> None:
    store = Store()
    for number in range(150):
        counting = Counting((CapEvent("x", NOW_US + number, 0),))
        store.change().apply(id_of(number), ANN, counting, NOW_US)
        store.state.flush()
    assert list(store.read().counts(CapReading([cap("x")]), ANN, NOW_US + 149)) == [100]
    for within_us, expected in ((50, 50), (149, 100), (1, 1)):
        reading = CapReading([cap("x", within_us)])
        assert list(store.read().counts(reading, ANN, NOW_US + 149)) == [expected]


@given(operations)
def test_sweeping_changes_nothing_that_is_read_later(steps: list[tuple[int, Counting]]) -> None:
    swept, left = Store(), Store()
    for store in (swept, left):
        for number in range(5):
            store.change().remember(recent(number), b"", b"")
            store.state.flush()
        for number, counting in steps:
            store.change().apply(id_of(number), ANN, counting, NOW_US - 100)
            store.state.flush()
            if store is swept:
                store.change().sweep(NOW_US, 100)
                store.state.flush()
    swept.change().sweep(NOW_US, 100)
    one, other = swept.read(), left.change()
    for now_us in (NOW_US, NOW_US + 3, NOW_US + 100):
        for cap_id in ("x", "y"):
            found = one.event_times(cap_id, ANN, now_us)
            assert sorted(found) == sorted(other.event_times(cap_id, ANN, now_us))
            for within_us in (None, 1, 50, 100):
                behind_us = -1 if within_us is None else now_us - within_us
                expected = sum(time_us > behind_us for time_us in found)
                reading = CapReading([cap("other"), cap(cap_id, within_us)])
                assert list(one.counts(reading, ANN, now_us)) == [0, expected]
        for budget in ("b", "d"):
            for period in ("2026-01-01", "2026-01-02"):
                assert one.spent(budget, period, now_us) == other.spent(budget, period, now_us)


def count(cap_id: str, time_us: int, expires_us: int = 0) -> Counting:
    return Counting((CapEvent(cap_id, time_us, expires_us),))


def test_a_reservation_counts_until_it_ends_and_no_moment_longer(store: Store) -> None:
    store.change().apply(id_of(1), ANN, count("x", NOW_US, NOW_US + 10), NOW_US)
    assert store.read().event_times("x", ANN, NOW_US + 9) == (NOW_US,)
    assert store.read().event_times("x", ANN, NOW_US + 10) == ()


def test_releasing_drops_what_is_reserved_and_keeps_what_stays(store: Store) -> None:
    reserved = Counting(
        (CapEvent("x", NOW_US, FAR_US), CapEvent("y", NOW_US, 0)),
        (Charge("b", "", 2.0, FAR_US), Charge("d", "", 3.0, 0)),
    )
    store.change().apply(id_of(1), ANN, reserved, NOW_US)
    store.state.apply(id_of(2), ANN, count("x", NOW_US + 1, FAR_US), NOW_US)
    assert (store.read().spent("b", "", NOW_US), store.read().spent("d", "", NOW_US)) == (2.0, 3.0)
    for _ in range(2):
        store.change().apply(id_of(1), ANN, Counting(releases_reservations=True), NOW_US)
        state = store.read()
        assert (state.event_times("x", ANN, NOW_US), state.event_times("y", ANN, NOW_US)) == (
            (NOW_US + 1,),
            (NOW_US,),
        )
        assert (state.spent("b", "", NOW_US), state.spent("d", "", NOW_US)) == (0.0, 3.0)


def test_a_confirmation_behind_the_end_of_its_reservation_charges_once(store: Store) -> None:
    """Whether the reservation was swept in between, or not."""
    for is_swept in (False, True):
        store = Store()
        store.change().remember(recent(1), b"", b"")
        store.state.apply(id_of(1), ANN, Counting((), (Charge("b", "", 2.0, NOW_US + 5),)), NOW_US)
        store.state.flush()
        if is_swept:
            assert store.change().sweep(NOW_US + 5, 10) == 1
        store.change().apply(id_of(1), ANN, Counting((), (Charge("b", "", 2.0, 0),)), NOW_US + 9)
        assert store.read().spent("b", "", NOW_US + 9) == 2.0


def test_a_tenth_of_a_unit_ten_times_is_one_unit(store: Store) -> None:
    """Sums are exact, so the tenth use of a budget of 1.0 still fits."""
    for number in range(10):
        store.change().apply(id_of(number), ANN, Counting((), (Charge("b", "", 0.1, 0),)), NOW_US)
        store.state.flush()
    assert store.read().spent("b", "", NOW_US) == 1.0


def test_the_newest_hundred_events_that_stay_are_kept_whatever_is_reserved(store: Store) -> None:
    chance = random.Random(5)
    order = list(range(450))
    chance.shuffle(order)
    for number in order:
        expires_us = FAR_US if number % 3 == 0 else 0
        store.change().apply(id_of(number), ANN, count("x", NOW_US + number, expires_us), NOW_US)
        store.state.flush()
    for number in range(0, 450, 3):
        store.change().apply(id_of(number), ANN, Counting(releases_reservations=True), NOW_US)
        store.state.flush()
    staying = [NOW_US + number for number in range(450) if number % 3]
    found = store.read().event_times("x", ANN, NOW_US)
    assert sorted(found) == staying[-limits.CAP_LIMIT :]
    assert len(store.values.get(b"v" + ANN) or b"") < 5 * limits.CAP_LIMIT * 32


def test_a_visitor_without_an_id_has_no_events_but_charges(store: Store) -> None:
    counting = Counting((CapEvent("x", NOW_US, 0),), (Charge("b", "", 1.0, 0),))
    store.change().apply(id_of(1), b"", counting, NOW_US)
    assert store.read().event_times("x", b"", NOW_US) == ()
    assert store.read().spent("b", "", NOW_US) == 1.0


def test_the_newest_decision_is_the_newest_by_its_time_and_up_to_a_time(store: Store) -> None:
    for number, after_us in ((1, 0), (3, 20), (2, 10)):
        store.change().remember(recent(number, time_us=NOW_US + after_us), b"", b"")
        store.state.flush()
    store.change().remember(recent(9, where="cart", time_us=NOW_US + 99), b"", b"")
    state = store.read()
    found = [state.newest_decision("home", ANN, at_us) for at_us in (None, NOW_US + 20, NOW_US + 19, NOW_US)]
    assert [it and it.decision_id for it in found] == [id_of(3), id_of(3), id_of(2), id_of(1)]
    assert state.newest_decision("home", ANN, NOW_US - 1) is None
    assert state.newest_decision("home", BOB) is None


def test_decisions_of_a_busy_visitor_push_out_the_oldest_of_their_own_placement_alone(store: Store) -> None:
    store.change().remember(recent(1, where="cart"), b"", b"")
    store.state.flush()
    for number in range(2, 300):
        store.change().remember(recent(number, time_us=NOW_US + number), b"", b"")
        store.state.flush()
    state = store.read()
    assert state.newest_decision("cart", ANN) == recent(1, where="cart")
    for number in range(300 - NEWEST_KEPT, 300):
        assert state.newest_decision("home", ANN, NOW_US + number) == recent(number, time_us=NOW_US + number)
    assert len(store.values.get(b"v" + ANN) or b"") < 4 * NEWEST_KEPT * 32


def test_a_remembered_decision_comes_back_whole_and_by_its_request(store: Store) -> None:
    whole = Recent(id_of(7), "hôme", "öffer", ANN, NOW_US, deferred=True, catalog_revision=9, record=b"\0\1")
    store.change().remember(whole, b"q" * 16, b"body")
    bare = Recent(id_of(8), "home", "", b"", NOW_US, deferred=False, catalog_revision=9, record=b"")
    store.state.remember(bare, b"", b"")
    state = store.read()
    assert (state.recent(id_of(7)), state.recent(id_of(8)), state.recent(id_of(9))) == (whole, bare, None)
    assert state.find_request(b"q" * 16) == (id_of(7), b"body")
    assert state.find_request(b"p" * 16) is None


def test_decisions_are_kept_for_half_an_hour_and_then_swept_with_all_that_hangs_on_them(store: Store) -> None:
    store.change().remember(recent(1), b"q" * 16, b"body")
    store.state.apply(id_of(1), ANN, Counting((), (Charge("b", "", 1.0, 0),)), NOW_US)
    store.state.saw_feedback(ANN, "home", "f", NOW_US)
    store.state.flush()
    assert store.change().sweep(NOW_US + REPEAT_US, 10) == 0
    assert store.read().recent(id_of(1)) is not None
    assert store.change().sweep(NOW_US + KEPT_US, 10) == 1
    assert (store.read().recent(id_of(1)), store.read().find_request(b"q" * 16)) == (None, None)
    assert store.read().spent("b", "", NOW_US) == 1.0
    kinds = {key[:1] for key, _ in store.values.scan(b"\0", b"\xff", 99)}
    assert kinds == {b"b"}


def test_sweeping_an_old_decision_leaves_a_newer_one_of_the_same_request(store: Store) -> None:
    store.change().remember(recent(1), b"q" * 16, b"body")
    store.state.remember(recent(2, time_us=NOW_US + REPEAT_US), b"q" * 16, b"other")
    store.state.flush()
    store.change().sweep(NOW_US + KEPT_US, 10)
    assert store.read().find_request(b"q" * 16) == (id_of(2), b"other")


def test_sweeping_looks_at_no_more_than_it_is_told(store: Store) -> None:
    for number in range(20):
        store.change().remember(recent(number), b"", b"")
        store.state.apply(id_of(number), ANN, Counting((), (Charge("b", "", 1.0, NOW_US + 1),)), NOW_US)
        store.state.flush()
    assert [store.change().sweep(NOW_US + KEPT_US, 3) for _ in range(2)] == [6, 6]
    assert store.read().spent("b", "", NOW_US + KEPT_US) == 0.0


def test_writes_sweep_where_nobody_else_does(store: Store) -> None:
    for number in range(200):
        time_us = NOW_US + number * KEPT_US
        store.change().remember(recent(number, time_us=time_us, visitor=id_of(number) * 2), b"", b"")
        store.state.finish()
    assert len(store.values.scan(b"d", b"e", 999)) <= 3
    assert len(store.values.scan(b"v", b"w", 999)) <= 3


def test_writes_that_take_turns_sweep_ten_times_a_second_and_keep_up() -> None:
    values, turns, kept = MemoryValues(), SweepTurns(), []
    for number in range(3000):
        time_us = NOW_US + number * KEPT_US // 1000
        state = HotState(values, turns=turns)
        state.remember(recent(number, time_us=time_us, visitor=id_of(number) * 2), b"", b"")
        state.finish()
        kept.append(len(values.scan(b"d", b"e", 9999)))
    # A thousand of them are young enough to be kept, and those of half a minute more.
    assert 1000 <= max(kept) <= 1100
    turns = SweepTurns()
    asked_us = (NOW_US, NOW_US + SWEEP_EVERY_US - 1, NOW_US + SWEEP_EVERY_US, NOW_US - 1)
    assert [turns.is_due(time_us) for time_us in asked_us] == [True, False, True, True]


def test_an_item_by_visitor_is_seen_once_in_half_an_hour(store: Store) -> None:
    def saw(item: tuple[bytes, str, str], time_us: int) -> bool:
        found = store.change().saw_feedback(*item, time_us)
        store.state.flush()
        return found

    first = (ANN, "home", "f")
    assert [saw(first, NOW_US), saw(first, NOW_US + 1), saw(first, NOW_US + REPEAT_US - 1)] == [
        False,
        True,
        True,
    ]
    others = ((ANN, "cart", "f"), (ANN, "home", "g"), (BOB, "home", "f"))
    assert [saw(other, NOW_US) for other in others] == [False] * 3
    assert [saw(first, NOW_US + REPEAT_US), saw(first, NOW_US + REPEAT_US + 1)] == [False, True]


def test_a_merge_gives_all_there_was_and_all_there_will_be(store: Store) -> None:
    for number, visitor in ((1, ANN), (2, BOB)):
        state = store.change()
        state.remember(recent(number, visitor=visitor, time_us=NOW_US + number), b"", b"")
        state.apply(id_of(number), visitor, count("x", NOW_US + number), NOW_US)
        state.saw_feedback(visitor, "home", f"f{number}", NOW_US)
        state.flush()
    store.change().merge(ANN, BOB)
    store.state.apply(id_of(3), ANN, count("x", NOW_US + 3), NOW_US)
    state = store.read()
    for visitor in (ANN, BOB):
        assert sorted(state.event_times("x", visitor, NOW_US)) == [NOW_US + 1, NOW_US + 2, NOW_US + 3]
        assert state.merged_into(visitor) == BOB
        assert state.newest_decision("home", visitor) == recent(2, visitor=BOB, time_us=NOW_US + 2)
        assert state.saw_feedback(visitor, "home", "f1", NOW_US)


@given(st.lists(st.tuples(st.sampled_from((ANN, BOB, CY)), st.sampled_from((ANN, BOB, CY))), max_size=6))
def test_merges_in_chains_and_rings_end_and_lose_nothing(pairs: list[tuple[bytes, bytes]]) -> None:
    store = Store()
    for number, visitor in enumerate((ANN, BOB, CY)):
        store.change().apply(id_of(number), visitor, count("x", NOW_US + number), NOW_US)
        store.state.flush()
    groups = {visitor: {visitor} for visitor in (ANN, BOB, CY)}
    for source, target in pairs:
        store.change().merge(source, target)
        store.state.flush()
        joined = groups[source] | groups[target]
        for visitor in joined:
            groups[visitor] = joined
    state = store.read()
    for visitor in (ANN, BOB, CY):
        expected = _times_of(groups[visitor])
        assert sorted(state.event_times("x", visitor, NOW_US)) == expected
        assert state.merged_into(visitor) in groups[visitor]


def _times_of(visitors: Iterable[bytes]) -> list[int]:
    return sorted(NOW_US + (ANN, BOB, CY).index(visitor) for visitor in visitors)


def test_one_transaction_sees_what_it_wrote(store: Store) -> None:
    state = store.change()
    state.remember(recent(1), b"", b"")
    state.apply(id_of(1), ANN, count("x", NOW_US), NOW_US)
    assert state.event_times("x", ANN, NOW_US) == (NOW_US,)
    assert state.newest_decision("home", ANN) == recent(1)
    state.merge(ANN, BOB)
    assert state.event_times("x", ANN, NOW_US) == state.event_times("x", BOB, NOW_US) == (NOW_US,)
    state.flush()
    assert store.read().event_times("x", ANN, NOW_US) == (NOW_US,)
