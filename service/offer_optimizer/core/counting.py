"""What is counted and charged: operations on counters, derived from decisions and feedback.

Deciders apply them to the hot cache as things happen, and a rebuild applies them again from the ledger, so
both come to equal counters. The operations commute: an event is known by its decision, and counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Budget, Cap, Catalog, OfferType, Window
from offer_optimizer.core.feedback import NOT_SHOWN, SHOWN

DECIDE: Final = "decide"
FOR_EVER: Final = ""
"""The period of a budget that has none."""


@dataclass(frozen=True, slots=True)
class CapEvent:
    """One event of a cap for the visitor of a decision; `expires_us` is 0 for an event that stays."""

    cap_id: str
    time_us: int
    expires_us: int


@dataclass(frozen=True, slots=True)
class Charge:
    """One use of a budget by a decision, in the budget's unit; `expires_us` is 0 for a charge that stays."""

    budget_id: str
    period: str
    amount: float
    expires_us: int


@dataclass(frozen=True, slots=True)
class Counting:
    """What a decision or an item of feedback does to the counters.

    `events` and `charges` are set for the decision, replacing an earlier reservation of the same cap or
    budget by the same decision; `releases_reservations` drops what the decision reserved and still holds.
    """

    events: tuple[CapEvent, ...] = ()
    charges: tuple[Charge, ...] = ()
    releases_reservations: bool = False


NOTHING_COUNTED: Final = Counting()


class Limits:
    """The caps and budgets of one catalog revision, by offer and placement."""

    def __init__(self, catalog: Catalog) -> None:
        self.caps = catalog.caps
        self.budgets = catalog.budgets
        self._catalog = catalog
        self._windows_us = {
            placement.id: min(round(placement.window_s * 1e6), limits.REPEAT_S * 1_000_000)
            for placement in catalog.placements
        }
        self._caps: dict[tuple[str, str], tuple[int, ...]] = {}
        self._budgets: dict[str, tuple[int, ...]] = {}

    def caps_of(self, offer_id: str, placement_id: str) -> tuple[int, ...]:
        """Return the indices of the caps that limit an offer at a placement."""
        key = (offer_id, placement_id)
        found = self._caps.get(key)
        if found is None:
            found = self._caps[key] = tuple(
                index
                for index, cap in enumerate(self.caps)
                if self._limits(cap, offer_id) and (not cap.placements or placement_id in cap.placements)
            )
        return found

    def budgets_of(self, offer_id: str) -> tuple[int, ...]:
        """Return the indices of the budgets that limit an offer."""
        found = self._budgets.get(offer_id)
        if found is None:
            found = self._budgets[offer_id] = tuple(
                index for index, budget in enumerate(self.budgets) if self._limits(budget, offer_id)
            )
        return found

    def _limits(self, item: Cap | Budget, offer_id: str) -> bool:
        index = self._catalog.offer_index.get(offer_id)
        if index is None:
            return False
        offer = self._catalog.offers[index]
        if offer.type is OfferType.NOTHING:
            return False
        if isinstance(item, Cap) and item.interruptions:
            return True
        return offer_id in item.offers or (bool(offer.group) and offer.group in item.groups)

    def use_of(self, budget: Budget, offer_id: str) -> float:
        """Return what one use of an offer takes from a budget, in the budget's unit."""
        if budget.unit == "uses":
            return 1.0
        attributes = self._catalog.offers[self._catalog.offer_index[offer_id]].attributes
        return dict(attributes.numbers).get("cost", 0.0)

    def of_decision(self, offer_id: str, placement_id: str, time_us: int, *, deferred: bool) -> Counting:
        """Return what choosing an offer counts, charges and reserves."""
        expires_us = time_us + self._windows_us.get(placement_id, 0)
        events = [
            CapEvent(cap.id, time_us, 0 if cap.count_on == DECIDE and not deferred else expires_us)
            for cap in (self.caps[index] for index in self.caps_of(offer_id, placement_id))
            if cap.count_on in (DECIDE, SHOWN)
        ]
        charges = []
        for budget in (self.budgets[index] for index in self.budgets_of(offer_id)):
            stays = budget.count_on == DECIDE and not deferred
            if stays or budget.hard or budget.count_on == DECIDE:
                period = period_of(budget, time_us)
                amount = self.use_of(budget, offer_id)
                charges.append(Charge(budget.id, period, amount, 0 if stays else expires_us))
        return Counting(tuple(events), tuple(charges))

    def of_feedback(
        self, offer_id: str, placement_id: str, kind: str, time_us: int, *, deferred: bool
    ) -> Counting:
        """Return what an accepted item of feedback about a decision counts, charges and releases."""
        if kind == NOT_SHOWN:
            return Counting(releases_reservations=True)
        # `shown` also settles what a deferred decision reserved.
        kinds = (SHOWN, DECIDE) if kind == SHOWN and deferred else (kind,)
        events = tuple(
            CapEvent(cap.id, time_us, 0)
            for cap in (self.caps[index] for index in self.caps_of(offer_id, placement_id))
            if cap.count_on in kinds
        )
        charges = tuple(
            Charge(budget.id, period_of(budget, time_us), self.use_of(budget, offer_id), 0)
            for budget in (self.budgets[index] for index in self.budgets_of(offer_id))
            if budget.count_on in kinds
        )
        return Counting(events, charges)


def count_in_window(window: Window, times_us: tuple[int, ...], now_us: int) -> int:
    """Return how many events of a cap are in its window now."""
    start_us = window_start(window, now_us)
    return sum(time_us > start_us for time_us in times_us)


def window_start(window: Window, now_us: int) -> int:
    """Return the time that events of a cap must lie behind (exclusive), in microseconds."""
    if window.rolling_s is not None:
        return now_us - round(window.rolling_s * 1e6)
    if window.period is not None:
        return _period_start(window.period, window.zone, now_us // 1_000_000) * 1_000_000 - 1
    return -1


def period_of(budget: Budget, time_us: int) -> str:
    """Return the name of the period that a time falls into: a date, or nothing for a total."""
    if budget.period == "total":
        return FOR_EVER
    return _local_date(budget.zone, time_us // 1_000_000)


def paced_limit(budget: Budget, now_us: int) -> float:
    """Return how much of a budget the clock allows by now: all of it, unless it is paced."""
    if budget.pacing == "none" or budget.period != "day":
        return budget.limit
    start_s, end_s = _day_bounds(budget.zone, _local_date(budget.zone, now_us // 1_000_000))
    fraction = (now_us / 1e6 - start_s) / (end_s - start_s)
    return min(budget.limit * (fraction + 0.01), budget.limit)


@lru_cache(maxsize=4096)
def _period_start(period: str, zone: str, now_s: int) -> int:
    midnight = datetime.fromtimestamp(now_s, ZoneInfo(zone)).replace(hour=0, minute=0, second=0, fold=0)
    if period == "week":
        midnight -= timedelta(days=midnight.weekday())
    elif period == "month":
        midnight = midnight.replace(day=1)
    return int(midnight.astimezone(UTC).timestamp())


@lru_cache(maxsize=4096)
def _local_date(zone: str, now_s: int) -> str:
    return datetime.fromtimestamp(now_s, ZoneInfo(zone)).date().isoformat()


@lru_cache(maxsize=256)
def _day_bounds(zone: str, date: str) -> tuple[float, float]:
    midnight = datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(zone))
    return midnight.timestamp(), (midnight + timedelta(days=1)).timestamp()
