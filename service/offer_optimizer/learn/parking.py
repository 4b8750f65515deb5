"""Feedback by the id of a decision that the ledger does not know yet: it waits, and is judged once it does.

What always holds: it waits for ten minutes of ledger time behind its arrival and no longer; how much waits is
bounded, in all and for each decision id; what finds no room is not known, at once.
"""

from __future__ import annotations

from typing import Final

from offer_optimizer.core.feedback import Feedback
from offer_optimizer.core.limits import PARKED_FEEDBACK, PARKED_PER_DECISION, PARKED_S
from offer_optimizer.learn.attribution import Arrival
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.parked_table import ParkedFeedback, ParkedTable

PARKED_US: Final = PARKED_S * 1_000_000


class Parking:
    """What waits. After a transaction that failed, make a new one."""

    def __init__(self, ledger: Ledger, table: ParkedTable) -> None:
        self._ledger = ledger
        self._table = table
        # Counted once: nearly always nothing waits, and then nothing is to be looked for.
        self._count = table.count()

    def park(self, item: Arrival) -> bool:
        """Let an item wait for its decision; return False where there is no room for it."""
        decision_id = item.feedback.decision_id
        if self._count >= PARKED_FEEDBACK or self._table.count_for(decision_id) >= PARKED_PER_DECISION:
            return False
        self._table.add(ParkedFeedback(item.position, decision_id, item.time_us, item.time_us + PARKED_US))
        self._count += 1
        return True

    def take(self, decision_id: bytes) -> list[Arrival]:
        """Return what waited for a decision, in ledger order; it waits no longer."""
        return self._gone(self._table.waiting_for(decision_id)) if self._count else []

    def expire(self, time_us: int) -> list[Arrival]:
        """Return what has waited in vain by a ledger time, in ledger order; it waits no longer."""
        return self._gone(self._table.due(time_us)) if self._count else []

    def has_due(self, time_us: int) -> bool:
        """Return whether something has waited in vain by a ledger time."""
        return self._count > 0 and self._table.has_due(time_us)

    def _gone(self, parked: list[ParkedFeedback]) -> list[Arrival]:
        found = []
        for item in parked:
            self._table.remove(item.position)
            record = self._ledger.record_at(item.position)
            body = record.body()
            if isinstance(body, Feedback):
                found.append(Arrival(item.position, record.visitor_key, body, item.arrival_us))
        self._count -= len(parked)
        return found
