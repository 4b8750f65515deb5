"""The counters that a decision reads: counts of caps for its visitor, what budgets have spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from offer_optimizer.core.counting import Limits, count_in_window, period_of


class CounterView(Protocol):
    """The part of the hot cache that is read here."""

    def event_times(self, cap_id: str, digest: bytes, now_us: int) -> tuple[int, ...]:
        """Return the times of a visitor's events and unexpired reservations."""
        ...

    def spent(self, budget_id: str, period: str, now_us: int) -> float:
        """Return charges and unexpired reservations."""
        ...


@dataclass(frozen=True, slots=True)
class Counters:
    """Values as read: count by cap index, spent by budget index. They are logged as they are."""

    counts: dict[int, int]
    spent: dict[int, float]


NO_COUNTERS = Counters({}, {})


def read_counters(
    view: CounterView, limits: Limits, caps: Sequence[int], budgets: Sequence[int], digest: bytes, now_us: int
) -> Counters:
    """Read what limits the candidates of a decision. A visitor without an id counts 0 everywhere."""
    counts = {}
    for index in caps:
        cap = limits.caps[index]
        times = view.event_times(cap.id, digest, now_us) if digest else ()
        counts[index] = count_in_window(cap.window, times, now_us)
    spent = {}
    for index in budgets:
        budget = limits.budgets[index]
        spent[index] = view.spent(budget.id, period_of(budget, now_us), now_us)
    return Counters(counts, spent)
