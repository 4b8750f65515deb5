"""Counts of caps that the log's catalog didn't have, taken again from a visitor's own logged decisions.

Along a logged trajectory the target chose what was logged, so what it would have counted is what these
decisions count. Only caps on decisions at the log's own placement can be counted so, and counting begins with
the log.
"""

from __future__ import annotations

from collections import defaultdict, deque

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Cap
from offer_optimizer.core.counting import DECIDE, Limits, window_start


class Recount:
    """Counts decisions by cap and visitor; visitors without an id (negative) count nothing."""

    def __init__(self, system_limits: Limits, placement_id: str) -> None:
        self._limits = system_limits
        self._placement_id = placement_id
        self._events: dict[tuple[int, int], deque[int]] = defaultdict(lambda: deque(maxlen=limits.CAP_LIMIT))

    def of(self, cap_index: int, visitor: int, now_us: int) -> int:
        """Return how many events a cap counts for a visitor, at most `limits.CAP_LIMIT`."""
        times = self._events.get((cap_index, visitor))
        if times is None:
            return 0
        since = window_start(self._limits.caps[cap_index].window, now_us)
        return sum(time > since for time in times)

    def count(self, visitor: int, time_us: int, offer_id: str) -> None:
        """Count a logged decision in which an offer was chosen."""
        if visitor < 0:
            return
        for index in self._limits.caps_of(offer_id, self._placement_id):
            if self._limits.caps[index].count_on == DECIDE:
                self._events[index, visitor].append(time_us)


def uncountable(cap: Cap, placement_id: str, placement_count: int) -> str:
    """Return why a cap can't be counted from the decisions of one placement, or nothing."""
    if cap.count_on != DECIDE:
        return f"cap {cap.id} counts on {cap.count_on}, and the log did not count that for it"
    if cap.placements != (placement_id,) and placement_count > 1:
        return f"cap {cap.id} counts at other placements too, whose decisions are not in the log"
    return ""
