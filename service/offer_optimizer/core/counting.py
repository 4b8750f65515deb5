"""What is counted and charged: operations on counters, derived from decisions and feedback.

Deciders apply them to the hot cache as things happen, and a rebuild applies them again from the ledger, so
both come to equal counters. An event is known by its cap and its decision, a charge by its budget and its
decision; each counts once. Behind the decision's own operation all others commute and may be repeated:
`settle_event` and `settle_charge` say what two of them come to. docs/design.md, section 12, is the text of
this module. It may not know where counters are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Budget, Cap, Catalog, Offer, OfferType, Window
from offer_optimizer.core.checked import checked_dataclass
from offer_optimizer.core.feedback import NOT_SHOWN, SHOWN

DECIDE: Final = "decide"
FOR_EVER: Final = ""
"""The period of a budget that has none."""
KNOWN_READINGS: Final = 1000
"""Readings remembered: one for each placement, and those of candidates that came with a request."""
_INLINE: Final = ""
"""Stands for every offer that the catalog doesn't have."""


@checked_dataclass(frozen=True, slots=True)
class CapEvent:
    """One event of a cap for the visitor of a decision; `expires_us` is 0 for an event that stays."""

    cap_id: str
    time_us: int
    expires_us: int


@checked_dataclass(frozen=True, slots=True)
class Charge:
    """One use of a budget by a decision, in the budget's unit; `expires_us` is 0 for a charge that stays."""

    budget_id: str
    period: str
    amount: float
    expires_us: int


@checked_dataclass(frozen=True, slots=True)
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
    """The caps and budgets of one catalog revision, by offer and placement.

    An offer that the catalog doesn't have (given inline) is limited by caps on interruptions alone.
    `hear_feedback` says whether feedback about a decision can change a counter; about one that is `deferred`
    it always can, since that one reserves.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.caps = catalog.caps
        self.budgets = catalog.budgets
        # What a budget was charged is kept with the decision, so one of any kind counts here.
        self.hear_feedback = bool(self.budgets) or any(cap.count_on != DECIDE for cap in self.caps)
        self._offers = {offer.id: offer for offer in catalog.offers}
        self._costs = {offer.id: dict(offer.attributes.numbers).get("cost", 0.0) for offer in catalog.offers}
        self._windows_us = {
            placement.id: min(round(placement.window_s * 1e6), limits.REPEAT_S * 1_000_000)
            for placement in catalog.placements
        }
        self._caps: dict[tuple[str, str], tuple[int, ...]] = {}
        self._budgets: dict[str, tuple[int, ...]] = {}
        self._stays: dict[tuple[str, str], tuple[str, ...] | None] = {}
        self._readings: dict[tuple[int, ...], CapReading] = {}

    def caps_of(self, offer_id: str, placement_id: str) -> tuple[int, ...]:
        """Return the indices of the caps that limit an offer at a placement."""
        # Callers name inline offers as they like: kept as one, or memory would grow with every name.
        key = (offer_id if offer_id in self._offers else _INLINE, placement_id)
        found = self._caps.get(key)
        if found is None:
            offer = self._offers.get(offer_id)
            found = self._caps[key] = tuple(
                index
                for index, cap in enumerate(self.caps)
                if (not cap.placements or placement_id in cap.placements) and _cap_limits(cap, offer)
            )
        return found

    def budgets_of(self, offer_id: str) -> tuple[int, ...]:
        """Return the indices of the budgets that limit an offer."""
        offer = self._offers.get(offer_id)
        if offer is None:
            return ()
        found = self._budgets.get(offer_id)
        if found is None:
            found = self._budgets[offer_id] = tuple(
                index for index, budget in enumerate(self.budgets) if _names(budget, offer)
            )
        return found

    def reading(self, caps: tuple[int, ...]) -> CapReading:
        """Return how the counts of caps, by index, are read."""
        found = self._readings.get(caps)
        if found is None:
            if len(self._readings) >= KNOWN_READINGS:
                self._readings.clear()
            found = self._readings[caps] = CapReading([self.caps[index] for index in caps])
        return found

    def use_of(self, budget: Budget, offer_id: str) -> float:
        """Return what one use of an offer of the catalog takes from a budget, in the budget's unit."""
        return 1.0 if budget.unit == "uses" else self._costs[offer_id]

    def of_decision(self, offer_id: str, placement_id: str, time_us: int, *, deferred: bool) -> Counting:
        """Return what choosing an offer counts, charges and reserves."""
        if not deferred:
            staying = self.staying(offer_id, placement_id)
            if staying is not None:
                return Counting(tuple([CapEvent(cap_id, time_us, 0) for cap_id in staying]))
        expires_us = time_us + self._windows_us.get(placement_id, 0)
        events = []
        for index in self.caps_of(offer_id, placement_id):
            cap = self.caps[index]
            if cap.count_on in (DECIDE, SHOWN):
                stays = cap.count_on == DECIDE and not deferred
                events.append(CapEvent(cap.id, time_us, 0 if stays else expires_us))
        charges = []
        for index in self.budgets_of(offer_id):
            budget = self.budgets[index]
            stays = budget.count_on == DECIDE and not deferred
            if stays or budget.hard or budget.count_on == DECIDE:
                period = period_of(budget, time_us)
                amount = self.use_of(budget, offer_id)
                charges.append(Charge(budget.id, period, amount, 0 if stays else expires_us))
        return Counting(tuple(events), tuple(charges))

    def staying(self, offer_id: str, placement_id: str) -> tuple[str, ...] | None:
        """Return the ids of caps that count choosing an offer; None where that reserves or charges too."""
        key = offer_id, placement_id
        if key in self._stays:
            return self._stays[key]
        caps = [self.caps[index] for index in self.caps_of(offer_id, placement_id)]
        found: tuple[str, ...] | None = None
        if not self.budgets_of(offer_id) and all(cap.count_on != SHOWN for cap in caps):
            found = tuple(cap.id for cap in caps if cap.count_on == DECIDE)
        # As in `caps_of`: of inline offers nothing is remembered by name.
        if offer_id in self._offers:
            self._stays[key] = found
        return found

    def of_feedback(
        self,
        offer_id: str,
        placement_id: str,
        kind: str,
        time_us: int,
        *,
        deferred: bool,
        decide_time_us: int | None = None,
    ) -> Counting:
        """Return what an accepted item of feedback about a decision counts, charges and releases.

        `time_us` is when it was received. With `decide_time_us` a charge that was reserved stays in the
        period it was reserved in, and a hard budget takes none behind the reservation's end: somebody else
        may have the use by then. Without it, charges belong to the time of the feedback.
        """
        if kind == NOT_SHOWN:
            return Counting(releases_reservations=True)
        # `shown` also settles what a deferred decision reserved.
        kinds = (SHOWN, DECIDE) if kind == SHOWN and deferred else (kind,)
        events = tuple(
            CapEvent(cap.id, time_us, 0)
            for cap in (self.caps[index] for index in self.caps_of(offer_id, placement_id))
            if cap.count_on in kinds
        )
        charges = []
        for budget in (self.budgets[index] for index in self.budgets_of(offer_id)):
            if budget.count_on not in kinds:
                continue
            charged_us = time_us
            if decide_time_us is not None and (budget.hard or budget.count_on == DECIDE):
                charged_us = decide_time_us
                if budget.hard and time_us >= decide_time_us + self._windows_us.get(placement_id, 0):
                    continue
            amount = self.use_of(budget, offer_id)
            charges.append(Charge(budget.id, period_of(budget, charged_us), amount, 0))
        return Counting(events, tuple(charges))


class CapReading:
    """The caps whose counts are read together, in order; `places` are theirs by cap id, from 0.

    `rolling_us` is a window's length, None for one that begins at a fixed time or never.
    """

    __slots__ = ("_calendar", "_name", "_parts", "places", "rolling_us")

    def __init__(self, caps: Sequence[Cap]) -> None:
        self.places = {cap.id: place for place, cap in enumerate(caps)}
        self.rolling_us = tuple(_rolling_us(cap.window) for cap in caps)
        self._parts = tuple((cap.id, cap.window) for cap in caps)
        self._calendar = tuple(cap.window for cap in caps if cap.window.period is not None)
        content = repr([(cap.id, cap.window.rolling_s, cap.window.period, cap.window.zone) for cap in caps])
        self._name = _hash(content.encode())

    def name_at(self, now_us: int) -> bytes:
        """Return eight bytes: equal for two readings of the same caps while no window begins anew."""
        if not self._calendar:
            return self._name
        return _named_with(self._name, tuple(window_start(window, now_us) for window in self._calendar))

    def windows(self, now_us: int) -> list[tuple[str, int]]:
        """Return the ids of the caps, each with its `window_start`."""
        return [(cap_id, window_start(window, now_us)) for cap_id, window in self._parts]


@lru_cache(maxsize=256)
def _named_with(name: bytes, starts: tuple[int, ...]) -> bytes:
    return _hash(name + repr(starts).encode())


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=8).digest()


def _cap_limits(cap: Cap, offer: Offer | None) -> bool:
    if offer is None:
        return cap.interruptions
    return _names(cap, offer) or (cap.interruptions and offer.type is not OfferType.NOTHING)


def _names(limit: Cap | Budget, offer: Offer) -> bool:
    if offer.type is OfferType.NOTHING:
        return False
    return offer.id in limit.offers or (bool(offer.group) and offer.group in limit.groups)


def settle_event(held: CapEvent | None, new: CapEvent) -> CapEvent:
    """Return what two events of one cap by one decision come to; in either order, and however often.

    What stays replaces a reservation; of two that stay the earlier counts, of two reservations the longer.
    """
    if held is None or (held.expires_us and not new.expires_us):
        return new
    if new.expires_us and not held.expires_us:
        return held
    if held.expires_us:
        return max(held, new, key=lambda event: (event.expires_us, -event.time_us))
    return min(held, new, key=lambda event: event.time_us)


def settle_charge(held: Charge | None, new: Charge) -> Charge:
    """Return what two charges of one budget by one decision come to, as `settle_event` does for events."""
    if held is None or (held.expires_us and not new.expires_us):
        return new
    if new.expires_us and not held.expires_us:
        return held
    if held.expires_us:
        return max(held, new, key=lambda charge: (charge.expires_us, charge.period, charge.amount))
    return min(held, new, key=lambda charge: (charge.period, charge.amount))


def window_start(window: Window, now_us: int) -> int:
    """Return the time that events of a cap must lie behind (exclusive), in microseconds.

    The window has no end: an event stamped later than now counts too. Two deciders stamp before they take
    their turn, and the second one's stamp may be the earlier; left out, a cap would be exceeded by one.
    """
    rolling_us = _rolling_us(window)
    if rolling_us is not None:
        return now_us - rolling_us
    if window.period is not None:
        return _period_start(window.period, window.zone, now_us // 1_000_000) * 1_000_000 - 1
    return -1


def _rolling_us(window: Window) -> int | None:
    return None if window.rolling_s is None else round(window.rolling_s * 1e6)


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
    fraction = (now_us - start_s * 1_000_000) / ((end_s - start_s) * 1_000_000)
    return min(budget.limit * fraction + budget.limit / 100.0, budget.limit)


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
def _day_bounds(zone: str, date: str) -> tuple[int, int]:
    # Days on which the clocks change have another length: both midnights are asked for.
    midnight = datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(zone))
    return int(midnight.timestamp()), int((midnight + timedelta(days=1)).timestamp())
