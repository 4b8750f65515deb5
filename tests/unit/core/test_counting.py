"""What is counted: windows and days by the clocks of a zone, reservations, and that no order matters."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Budget, Cap, Catalog, Offer, OfferType, Placement, Window
from offer_optimizer.core.counting import (
    NOTHING_COUNTED,
    CapEvent,
    Charge,
    Counting,
    Limits,
    paced_limit,
    period_of,
    settle_charge,
    settle_event,
    window_start,
)
from offer_optimizer.core.features import Features

SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
T0 = 1_772_323_200_000_000  # 2026-03-01T00:00:00Z
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo"),
    *("America/Havana", "America/Santiago", "Asia/Beirut", "Pacific/Apia", "Pacific/Kiritimati"),
)
TIMES = st.integers(1_293_840_000, 1_893_456_000)  # 2011 to 2030, in seconds
Period = Literal["day", "week", "month"]


def count_in_window(window: Window, times_us: tuple[int, ...], now_us: int) -> int:
    """Return how many events of a cap are in its window now."""
    return sum(time_us > window_start(window, now_us) for time_us in times_us)


def microseconds(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND


def local(time_us: int, zone: str) -> datetime:
    return datetime.fromtimestamp(time_us // SECOND, UTC).astimezone(ZoneInfo(zone))


# Windows


@pytest.mark.parametrize(
    ("period", "zone", "now", "first"),
    [
        ("day", "UTC", "2026-03-04T00:00:00", "2026-03-04T00:00:00"),
        ("day", "UTC", "2026-03-03T23:59:59", "2026-03-03T00:00:00"),
        ("day", "Asia/Kolkata", "2026-03-04T03:00:00", "2026-03-04T00:00:00"),
        # The clocks go forward, and back: 23 and 25 hours.
        ("day", "Europe/Berlin", "2026-03-29T23:00:00", "2026-03-29T00:00:00"),
        ("day", "Europe/Berlin", "2026-10-25T23:00:00", "2026-10-25T00:00:00"),
        # A day that begins at one o'clock, because the clocks go forward at midnight.
        ("day", "Africa/Cairo", "2026-04-24T09:00:00", "2026-04-24T01:00:00"),
        ("day", "Asia/Beirut", "2026-03-29T09:00:00", "2026-03-29T01:00:00"),
        ("week", "Europe/Berlin", "2026-03-30T00:00:00", "2026-03-30T00:00:00"),
        ("week", "Europe/Berlin", "2026-03-29T23:59:59", "2026-03-23T00:00:00"),
        ("week", "UTC", "2026-01-01T12:00:00", "2025-12-29T00:00:00"),
        ("month", "Europe/Berlin", "2026-03-31T23:59:59", "2026-03-01T00:00:00"),
        ("month", "America/New_York", "2026-04-01T00:00:00", "2026-04-01T00:00:00"),
        ("month", "UTC", "2024-02-29T12:00:00", "2024-02-01T00:00:00"),
    ],
)
def test_a_calendar_window_begins_at_the_last_midnight_monday_or_first(
    period: Period, zone: str, now: str, first: str
) -> None:
    window = Window(period=period, zone=zone)
    now_us, first_us = microseconds(now, zone), microseconds(first, zone)
    assert window_start(window, now_us) == first_us - 1
    assert count_in_window(window, (first_us - 1, first_us, now_us), now_us) == 2


@given(TIMES, st.sampled_from(ZONES), st.sampled_from(["day", "week", "month"]))
def test_a_calendar_window_holds_its_own_dates_and_no_others(now_s: int, zone: str, period: Period) -> None:
    """The oracle asks every instant for its local date; the code asks a date for its first instant."""

    def key(time_us: int) -> tuple[int, ...]:
        day = local(time_us, zone).date()
        return (
            (day.year, day.month)
            if period == "month"
            else day.isocalendar()[:2]
            if period == "week"
            else (day.year, day.month, day.day)
        )

    now_us = now_s * SECOND
    start_us = window_start(Window(period=period, zone=zone), now_us) + 1
    assert start_us <= now_us
    assert key(start_us) == key(now_us)
    assert key(start_us - SECOND) < key(start_us)


def test_a_rolling_window_is_open_behind_and_an_unlimited_one_holds_everything() -> None:
    week = Window(rolling_s=7 * 86400.0)
    times = (T0 - 7 * DAY, T0 - 7 * DAY + 1, T0)
    assert count_in_window(week, times, T0) == 2
    assert count_in_window(Window(), (0, *times), T0) == 4
    assert count_in_window(week, (), T0) == 0


def test_an_event_stamped_later_than_now_counts() -> None:
    """Two deciders stamp before they take their turn; left out, the cap could be exceeded by one."""
    for window in (Window(), Window(rolling_s=10.0), Window(period="day")):
        assert count_in_window(window, (T0 + 5,), T0) == 1


# Pacing


def daily(zone: str = "UTC", limit: float = 1000.0) -> Budget:
    return Budget(id="b", limit=limit, period="day", zone=zone, pacing="even")


def test_pacing_allows_the_fraction_of_the_day_and_a_hundredth_and_never_more_than_the_limit() -> None:
    assert paced_limit(daily(), T0) == 10.0
    assert paced_limit(daily(), T0 + DAY // 4) == 260.0
    assert paced_limit(daily(), T0 + DAY - 1) == 1000.0
    assert paced_limit(daily().model_copy(update={"pacing": "none"}), T0) == 1000.0


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_pacing_knows_how_long_the_day_is(day: str, hours: int) -> None:
    start_us = microseconds(f"{day}T00:00:00", "Europe/Berlin")
    for hour in range(hours):
        expected = 1000.0 * (hour / hours) + 10.0
        assert paced_limit(daily("Europe/Berlin"), start_us + hour * HOUR) == pytest.approx(
            min(expected, 1e3)
        )


@given(TIMES, st.sampled_from(ZONES), st.integers(1, 86400))
def test_pacing_never_takes_back_within_a_day_and_stays_in_range(now_s: int, zone: str, step: int) -> None:
    budget = daily(zone)
    now_us, later_us = now_s * SECOND, (now_s + step) * SECOND
    allowed = paced_limit(budget, now_us)
    assert 10.0 <= allowed <= 1000.0
    if period_of(budget, now_us) == period_of(budget, later_us):
        assert paced_limit(budget, later_us) >= allowed


@given(TIMES, st.sampled_from(ZONES))
def test_the_period_of_a_budget_is_the_local_date_or_nothing(now_s: int, zone: str) -> None:
    assert period_of(daily(zone), now_s * SECOND) == local(now_s * SECOND, zone).date().isoformat()
    assert period_of(Budget(id="b", limit=1.0), now_s * SECOND) == ""


def test_periods_follow_each_other_without_a_gap() -> None:
    """Samoa had no 30 December 2011."""
    budget, seen = daily("Pacific/Apia"), []
    for hour in range(5 * 24):
        found = period_of(budget, microseconds("2011-12-28T00:00:00", "UTC") + hour * HOUR)
        seen += [found] if found not in seen else []
    assert seen == ["2011-12-27", "2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01", "2012-01-02"]
    assert date.fromisoformat(seen[3]) - date.fromisoformat(seen[2]) == timedelta(days=2)


# What limits what


CATALOG = Catalog(
    offers=(
        Offer(id="a", type=OfferType.COUPON, group="coupons", attributes=Features(numbers=(("cost", 2.5),))),
        Offer(id="b", type=OfferType.MESSAGE),
        Offer(id="none", type=OfferType.NOTHING, group="coupons"),
    ),
    placements=(
        Placement(id="p", offers=("a", "b", "none"), window_s=60.0),
        Placement(id="q", offers=("a",), window_s=7 * 86400.0),
    ),
    caps=(
        Cap(id="decided", limit=1, offers=("a", "none")),
        Cap(id="shown", limit=1, groups=("coupons",), count_on="shown"),
        Cap(id="calm", limit=1, interruptions=True),
        Cap(id="closed", limit=1, offers=("a", "b"), count_on="dismiss", placements=("p",)),
    ),
    budgets=(
        Budget(id="uses", limit=9.0, offers=("a",)),
        Budget(id="money", limit=9.0, groups=("coupons",), unit="money", period="day", count_on="shown"),
        Budget(id="hard", limit=9.0, offers=("a", "none"), count_on="click", period="day", hard=True),
    ),
)
LIMITS = Limits(CATALOG)
MINUTE_US, HALF_HOUR_US = 60 * SECOND, limits.REPEAT_S * SECOND


def test_a_cap_limits_offers_groups_or_everything_at_its_placements() -> None:
    assert [CATALOG.caps[index].id for index in LIMITS.caps_of("a", "p")] == [
        "decided",
        "shown",
        "calm",
        "closed",
    ]
    assert [CATALOG.caps[index].id for index in LIMITS.caps_of("a", "q")] == ["decided", "shown", "calm"]
    assert [CATALOG.caps[index].id for index in LIMITS.caps_of("b", "p")] == ["calm", "closed"]
    assert LIMITS.budgets_of("a") == (0, 1, 2)
    assert LIMITS.budgets_of("b") == ()
    assert [LIMITS.use_of(budget, "a") for budget in CATALOG.budgets] == [1.0, 2.5, 1.0]


def test_nothing_is_free() -> None:
    assert LIMITS.caps_of("none", "p") == ()
    assert LIMITS.budgets_of("none") == ()
    assert LIMITS.of_decision("none", "p", T0, deferred=False) == NOTHING_COUNTED
    assert LIMITS.of_feedback("none", "p", "shown", T0, deferred=True) == NOTHING_COUNTED


def test_an_offer_that_only_the_request_knows_is_an_interruption_and_no_more() -> None:
    for number in range(1000):
        assert LIMITS.caps_of(f"inline-{number}", "p") == (2,)
        assert LIMITS.budgets_of(f"inline-{number}") == ()
    assert len(LIMITS._caps) < 20
    counted = LIMITS.of_decision("inline", "p", T0, deferred=False)
    assert counted == Counting((CapEvent("calm", T0, 0),))


# What a decision and its feedback do


def test_a_decision_counts_at_once_and_reserves_what_is_counted_later() -> None:
    counted = LIMITS.of_decision("a", "p", T0, deferred=False)
    assert counted.events == (
        CapEvent("decided", T0, 0),
        CapEvent("shown", T0, T0 + MINUTE_US),
        CapEvent("calm", T0, 0),
    )
    # A soft budget waits for its event, a hard one reserves.
    assert counted.charges == (
        Charge("uses", "", 1.0, 0),
        Charge("hard", "2026-03-01", 1.0, T0 + MINUTE_US),
    )


def test_a_deferred_decision_reserves_until_its_window_closes_and_no_longer_than_half_an_hour() -> None:
    counted = LIMITS.of_decision("a", "q", T0, deferred=True)
    assert {event.expires_us for event in counted.events} == {T0 + HALF_HOUR_US}
    assert {charge.expires_us for charge in counted.charges} == {T0 + HALF_HOUR_US}
    assert {charge.budget_id for charge in counted.charges} == {"uses", "hard"}


def test_shown_counts_what_counts_on_it_and_settles_what_a_deferred_decision_reserved() -> None:
    later = T0 + 5 * SECOND
    now = LIMITS.of_feedback("a", "p", "shown", later, deferred=False)
    assert now == Counting((CapEvent("shown", later, 0),), (Charge("money", "2026-03-01", 2.5, 0),))
    deferred = LIMITS.of_feedback("a", "p", "shown", later, deferred=True)
    assert [event.cap_id for event in deferred.events] == ["decided", "shown", "calm"]
    assert [charge.budget_id for charge in deferred.charges] == ["uses", "money"]
    assert not any(event.expires_us for event in deferred.events)


def test_a_dismissal_counts_at_its_placement_and_not_shown_releases() -> None:
    assert LIMITS.of_feedback("a", "p", "dismiss", T0, deferred=False).events == (CapEvent("closed", T0, 0),)
    assert LIMITS.of_feedback("a", "q", "dismiss", T0, deferred=False) == NOTHING_COUNTED
    assert LIMITS.of_feedback("a", "p", "not_shown", T0, deferred=True) == Counting(
        releases_reservations=True
    )


def test_a_hard_budget_is_charged_on_the_day_it_was_reserved_and_not_behind_the_reservation() -> None:
    decided = T0 + DAY - 10 * SECOND
    for delay_s, charged in ((20, (Charge("hard", "2026-03-01", 1.0, 0),)), (59, None), (60, ()), (900, ())):
        found = LIMITS.of_feedback(
            "a", "p", "click", decided + delay_s * SECOND, deferred=False, decide_time_us=decided
        )
        assert charged is None or found.charges == charged
    late = LIMITS.of_feedback("a", "p", "click", decided + 20 * SECOND, deferred=False)
    assert late.charges == (Charge("hard", "2026-03-02", 1.0, 0),)


def test_a_soft_budget_is_charged_on_the_day_of_its_event() -> None:
    decided = T0 + DAY - 10 * SECOND
    found = LIMITS.of_feedback("a", "p", "shown", T0 + DAY, deferred=False, decide_time_us=decided)
    assert found.charges == (Charge("money", "2026-03-02", 2.5, 0),)


# Orders


class Counters:
    """The counters of one visitor, as plainly as they can be kept."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, bytes], CapEvent] = {}
        self.charges: dict[tuple[str, bytes], Charge] = {}

    def apply(self, decision_id: bytes, counting: Counting) -> None:
        for event in counting.events:
            key = (event.cap_id, decision_id)
            self.events[key] = settle_event(self.events.get(key), event)
        for charge in counting.charges:
            key = (charge.budget_id, decision_id)
            self.charges[key] = settle_charge(self.charges.get(key), charge)
        if counting.releases_reservations:
            kept = {
                key: found for key, found in self.events.items() if not self._held(key, found, decision_id)
            }
            left = {
                key: found for key, found in self.charges.items() if not self._held(key, found, decision_id)
            }
            self.events, self.charges = kept, left

    def _held(self, key: tuple[str, bytes], found: CapEvent | Charge, decision_id: bytes) -> bool:
        return key[1] == decision_id and found.expires_us > 0


FEEDBACK = st.lists(
    st.tuples(
        st.sampled_from([b"1", b"2", b"3"]),
        st.sampled_from(["shown", "not_shown", "click", "dismiss", "conversion"]),
        st.integers(0, 90),
    ),
    max_size=12,
)


@given(FEEDBACK, st.booleans(), st.sampled_from("pq"), st.randoms(use_true_random=False))
def test_feedback_counts_the_same_in_any_order_and_however_often(
    items: list[tuple[bytes, str, int]], deferred: bool, placement: str, chance: random.Random
) -> None:
    def run(order: list[tuple[bytes, str, int]]) -> Counters:
        counters = Counters()
        for number, decision in enumerate([b"1", b"2", b"3"]):
            counters.apply(decision, LIMITS.of_decision("a", placement, T0 + number, deferred=deferred))
        for decision, kind, delay_s in order:
            decided = T0 + int(decision) - 1
            counting = LIMITS.of_feedback(
                "a", placement, kind, T0 + delay_s * SECOND, deferred=deferred, decide_time_us=decided
            )
            counters.apply(decision, counting)
        return counters

    again = [*items, *chance.choices(items, k=3)] if items else []
    chance.shuffle(again)
    once, repeated = run(items), run(again)
    assert once.events == repeated.events
    assert once.charges == repeated.charges


@given(st.lists(st.builds(CapEvent, st.just("c"), st.integers(0, 3), st.sampled_from([0, 7, 9])), min_size=1))
def test_events_settle_to_the_earliest_that_stays_else_to_the_longest_reservation(
    events: list[CapEvent],
) -> None:
    settled: CapEvent | None = None
    for event in events:
        settled = settle_event(settled, event)
    stays = [event for event in events if not event.expires_us]
    expected = (
        min(stays, key=lambda event: event.time_us)
        if stays
        else max(events, key=lambda event: (event.expires_us, -event.time_us))
    )
    assert settled == expected


@given(
    st.permutations(
        [Charge("b", period, amount, ends) for period in "12" for amount in (1.0, 2.0) for ends in (0, 7, 9)]
    ),
    st.integers(1, 12),
)
def test_charges_settle_the_same_in_any_order(charges: list[Charge], count: int) -> None:
    found = set()
    for order in (charges[:count], charges[:count][::-1], charges[:count] * 2):
        settled: Charge | None = None
        for charge in order:
            settled = settle_charge(settled, charge)
        found.add(settled)
    assert len(found) == 1
