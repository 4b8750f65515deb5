"""The counters that a decision reads: counts of caps for its visitor, what budgets have spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from offer_optimizer.core.checked import checked_dataclass
from offer_optimizer.core.counting import CapReading, Limits, period_of


class CounterView(Protocol):
    """The part of the hot cache that is read here."""

    def counts(self, reading: CapReading, digest: bytes, now_us: int) -> bytes:
        """Return how many of a visitor's events and unexpired reservations lie in each cap's window."""
        ...

    def spent(self, budget_id: str, period: str, now_us: int) -> float:
        """Return charges and unexpired reservations."""
        ...


@dataclass(frozen=True, slots=True)
class Reads:
    """Which counters limit some candidates: caps and budgets by index; `reading` is of the caps.

    `caps_most` caps limit one candidate at most.
    """

    caps: tuple[int, ...]
    reading: CapReading
    budgets: tuple[int, ...]
    caps_most: int = 0


@checked_dataclass(frozen=True, slots=True)
class Counters:
    """Values as read: `counts` run parallel to `caps` (indices, ascending), spent by budget index, ascending.

    They are logged as they are.
    """

    caps: tuple[int, ...]
    counts: Sequence[int]
    spent: dict[int, float]


def counters_of(reads: Reads, counts: bytes) -> Counters:
    """Return the counters of a decision that reads caps alone, from their counts."""
    return Counters(reads.caps, counts, {})


NO_COUNTERS = Counters((), b"", {})


def read_counters(view: CounterView, limits: Limits, reads: Reads, digest: bytes, now_us: int) -> Counters:
    """Read what limits the candidates of a decision. A visitor without an id counts 0 everywhere."""
    # Without caps nothing is read: the tally that the visitor's record keeps is of another placement.
    is_told = digest and reads.caps
    counts = view.counts(reads.reading, digest, now_us) if is_told else bytes(len(reads.caps))
    spent = {}
    for index in reads.budgets:
        budget = limits.budgets[index]
        spent[index] = view.spent(budget.id, period_of(budget, now_us), now_us)
    return Counters(reads.caps, counts, spent)
