"""Do the logged counts of caps agree with the decisions in the ledger, and does every hard budget hold?

Only what decisions alone tell is counted: caps and budgets with `count_on: decide`. What always holds:
decisions are taken in the order of their decide times, once a TICK says that no earlier one can come, since
journals reach the ledger one after the other and a busy learner may be minutes behind with one of them. What
lies within SLACK of a bound may be counted or not; what a deferred decision reserved may have been released;
merged visitors are one (`verify_merges`). Fewer than the ledger has is a defect at once. More can happen: a
crash between counting and recording wastes a use; so it is a finding where it is not rare. Memory grows with
the visitors of the longest window.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Budget, Cap, Catalog
from offer_optimizer.core.decision import Decision
from offer_optimizer.evaluate.verify_catalog import Candidate
from offer_optimizer.evaluate.verify_findings import IDS_KEPT, Check, Problem
from offer_optimizer.evaluate.verify_limits import limits_of, midnight_s, use_of
from offer_optimizer.evaluate.verify_merges import Clusters

SLACK_US: Final = 1_000_000
RARE_SHARE: Final = 0.05
"""Of all events, how many may be counted without being in the ledger; and always RARE_COUNT."""
RARE_COUNT: Final = 3
_NEAR_COUNT: Final = 1000
"""So many decisions behind one are looked at, where its count is in doubt."""
_EVENTS_KEPT: Final = 2 * limits.CAP_LIMIT
_MONEY_ROUNDING: Final = 1e-9
_NEVER_US: Final = 2**62


@dataclass(frozen=True, slots=True)
class _Event:
    time_us: int
    cap: Cap
    is_sure: bool


@dataclass(frozen=True, slots=True)
class _Made:
    decision: Decision
    visitor_key: int | None
    catalog: Catalog
    chosen: Candidate | None


@dataclass
class _Spending:
    """What was spent of a budget, as it was defined, in one period."""

    budget: Budget
    period: str
    total: float = 0.0


@dataclass
class Recount:
    """Counts again, from the decisions as they come."""

    judged_count: int = 0
    _event_count: int = 0
    _excess: dict[tuple[str, int], int] = field(default_factory=dict)
    _over: list[tuple[bytes, str]] = field(default_factory=list)
    _over_count: int = 0
    _waiting: list[_Made] = field(default_factory=list)
    _known_us: int | None = None
    """Up to here every decision is there; before the first TICK a ledger is taken as it stands."""
    _clusters: Clusters = field(default_factory=Clusters)
    _events: dict[int, dict[str, deque[_Event]]] = field(default_factory=dict)
    _spending: dict[str, _Spending] = field(default_factory=dict)

    def add(
        self, decision: Decision, visitor_key: int | None, catalog: Catalog, chosen: Candidate | None
    ) -> None:
        """Add a decision; it is judged when nothing can precede it any more."""
        self._waiting.append(_Made(decision, visitor_key, catalog, chosen))

    def merge(self, from_key: int, into_key: int) -> None:
        """Hear that one visitor stands for another from here on."""
        gone, stays = self._clusters.merge(from_key, into_key)
        given = self._events.pop(gone, {}) if gone != stays else {}
        own = self._events.setdefault(stays, {})
        for cap_id, events in given.items():
            both = heapq.merge(events, own.get(cap_id, ()), key=lambda event: event.time_us)
            own[cap_id] = deque(both, maxlen=_EVENTS_KEPT)

    def erase(self) -> None:
        """Hear that a visitor was erased."""
        self._clusters.erase()

    def tick(self, time_us: int) -> Iterator[tuple[Problem, bytes]]:
        """Hear of ledger time; yield what is wrong with decisions made before."""
        self._clusters.tick(time_us)
        # Those of the moment behind one are known as well by then, and may have been counted before it.
        self._known_us = time_us - SLACK_US
        yield from self._judge_until(self._known_us)

    def finish(self) -> Iterator[tuple[Problem, tuple[bytes, ...], int]]:
        """Judge what waits, and say whether counts above the ledger's are more than rare."""
        for problem, decision_id in self._judge_until(_NEVER_US):
            yield problem, (decision_id,), 1
        # One wasted use is in every later count of its visitor: so visitors' worst are added up.
        if sum(self._excess.values()) > max(RARE_COUNT, RARE_SHARE * self._event_count):
            what = "caps count more than the ledger has"
            ids = tuple(decision_id for decision_id, _ in self._over)
            yield Problem(Check.RECOUNT, what, self._over[0][1]), ids, self._over_count

    def _judge_until(self, time_us: int) -> Iterator[tuple[Problem, bytes]]:
        # Each journal's are in order, so this has little to do; equal times stay as they came.
        waiting = sorted(self._waiting, key=_decide_time_us)
        count = bisect_right(waiting, time_us, key=_decide_time_us)
        self._waiting = waiting[count:]
        for at in range(count):
            for problem in self._judge(waiting, at):
                yield problem, waiting[at].decision.decision_id

    def _judge(self, waiting: list[_Made], at: int) -> Iterator[Problem]:
        made = waiting[at]
        decision = made.decision
        for index, logged in decision.cap_counts:
            if index < len(made.catalog.caps) and made.catalog.caps[index].count_on == "decide":
                yield from self._compare(waiting, at, made.catalog.caps[index], logged)
        if made.chosen is None:
            return
        counted = limits_of(made.catalog, decision.placement_id, made.chosen)
        for _, cap in counted.caps:
            if made.visitor_key is not None and cap.count_on == "decide":
                event = _Event(decision.decide_time_us, cap, not decision.deferred)
                self._event_count += 1
                of_visitor = self._events.setdefault(self._clusters.of(made.visitor_key), {})
                of_visitor.setdefault(cap.id, deque(maxlen=_EVENTS_KEPT)).append(event)
        for _, budget in counted.budgets:
            if budget.hard and budget.count_on == "decide" and not decision.deferred:
                yield from self._spend(budget, made.chosen, decision.decide_time_us)

    def _compare(self, waiting: list[_Made], at: int, cap: Cap, logged: int) -> Iterator[Problem]:
        made = waiting[at]
        if made.visitor_key is None:
            return
        now_us = made.decision.decide_time_us
        since_us = window_start_us(cap, now_us)
        visitor = self._clusters.of(made.visitor_key)
        events = self._events.get(visitor, {}).get(cap.id, deque())
        while events and events[0].time_us < since_us - SLACK_US:
            events.popleft()
        # An event of a cap that has been changed since counts or not: that is not written down.
        sure = sum(
            event.is_sure and event.cap == cap and since_us + SLACK_US < event.time_us <= now_us - SLACK_US
            for event in events
        ) * self._clusters.is_settled(visitor, now_us)
        possible = len(events)
        if not min(sure, limits.CAP_LIMIT) <= logged <= possible:
            # Only now: where many come at once, this looks at all of them for each.
            behind = waiting[at + 1 : at + 1 + _NEAR_COUNT]
            possible += sum(self._is_near(other, made, cap) for other in behind)
        self.judged_count += 1
        detail = f"cap {cap.id}: logged {logged}, in the ledger {sure} to {possible}"
        if logged < min(sure, limits.CAP_LIMIT):
            yield Problem(Check.RECOUNT, "caps count fewer than the ledger has", detail)
        elif logged > possible and self._is_known(now_us) and not self._clusters.is_erasing(now_us):
            self._note_excess((cap.id, visitor), logged - possible, made.decision.decision_id, detail)

    def _is_known(self, time_us: int) -> bool:
        """Return whether all that was counted at a time is here: a journal may be drained later."""
        return self._known_us is None or time_us <= self._known_us

    def _note_excess(self, key: tuple[str, int], excess: int, decision_id: bytes, detail: str) -> None:
        self._excess[key] = max(self._excess.get(key, 0), excess)
        self._over_count += 1
        if len(self._over) < IDS_KEPT:
            self._over.append((decision_id, detail))

    def _is_near(self, other: _Made, made: _Made, cap: Cap) -> bool:
        """Return whether a decision stamped a little later may have been counted before this one."""
        is_soon = other.decision.decide_time_us <= made.decision.decide_time_us + SLACK_US
        if not is_soon or other.chosen is None or not self._are_one(other.visitor_key, made.visitor_key):
            return False
        counted = limits_of(other.catalog, other.decision.placement_id, other.chosen)
        return any(its.id == cap.id for _, its in counted.caps)

    def _are_one(self, one: int | None, other: int | None) -> bool:
        if one is None or other is None:
            return one == other
        return self._clusters.of(one) == self._clusters.of(other)

    def _spend(self, budget: Budget, chosen: Candidate, now_us: int) -> Iterator[Problem]:
        period = "" if budget.period == "total" else _local(now_us, budget.zone).date().isoformat()
        spending = self._spending.get(budget.id)
        if spending is None or spending.budget != budget or spending.period != period:
            spending = self._spending[budget.id] = _Spending(budget, period)
        spending.total += use_of(budget, chosen)
        if spending.total > budget.limit * (1.0 + _MONEY_ROUNDING):
            detail = f"budget {budget.id}: {spending.total:g} of {budget.limit:g}"
            yield Problem(Check.RECOUNT, "a hard budget is exceeded", detail)


def _decide_time_us(made: _Made) -> int:
    return made.decision.decide_time_us


def window_start_us(cap: Cap, now_us: int) -> int:
    """Return when a cap's window begins: events after it count."""
    window = cap.window
    if window.rolling_s is not None:
        return now_us - round(window.rolling_s * 1e6)
    if window.period is None:
        return -(2**62)
    zone = ZoneInfo(window.zone)
    now = _local(now_us, window.zone)
    days = {"day": 0, "week": now.weekday(), "month": now.day - 1}[window.period]
    first = datetime.combine(now.date() - timedelta(days=days), time())
    # At midnight itself the window has begun.
    return round(midnight_s(first, zone) * 1e6) - 1


def _local(now_us: int, zone: str) -> datetime:
    return datetime.fromtimestamp(now_us // 1_000_000, UTC).astimezone(ZoneInfo(zone))
