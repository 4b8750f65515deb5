"""The counters that a decision reads: counts of caps for its visitor, what budgets have spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from offer_optimizer.core.checked import checked_dataclass
from offer_optimizer.core.counting import Limits, period_of


class CounterView(Protocol):
    """The part of the hot cache that is read here."""

    def counts(self, caps: Sequence[tuple[str, int]], digest: bytes, now_us: int) -> list[int]:
        """Return how many of a visitor's events and unexpired reservations lie behind a time, for each."""
        ...

    def spent(self, budget_id: str, period: str, now_us: int) -> float:
        """Return charges and unexpired reservations."""
        ...


@checked_dataclass(frozen=True, slots=True)
class Counters:
    """Values as read: count by cap index, spent by budget index, ascending. They are logged as they are."""

    counts: dict[int, int]
    spent: dict[int, float]


NO_COUNTERS = Counters({}, {})


def read_counters(
    view: CounterView, limits: Limits, caps: Sequence[int], budgets: Sequence[int], digest: bytes, now_us: int
) -> Counters:
    """Read what limits the candidates of a decision. A visitor without an id counts 0 everywhere."""
    if digest:
        counts = dict(zip(caps, view.counts(limits.windows(caps, now_us), digest, now_us), strict=True))
    else:
        counts = dict.fromkeys(caps, 0)
    spent = {}
    for index in budgets:
        budget = limits.budgets[index]
        spent[index] = view.spent(budget.id, period_of(budget, now_us), now_us)
    return Counters(counts, spent)
