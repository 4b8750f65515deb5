"""A shop over the real fold that a test breaks in one way, and asks every half hour how its loop is."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np

from offer_optimizer.core.feedback import Feedback
from offer_optimizer.evaluate.health import loop_health
from offer_optimizer.evaluate.health_facts import LoopFacts, PlacementFacts
from offer_optimizer.store.codec import RecordKind, Tick, encode_feedback
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.ledger import LedgerRecord
from offer_optimizer.store.rollup_tables import RollupTables
from offer_optimizer.store.sqlite import open_writer
from tests.unit.learn.worlds import PLACEMENT, World, catalog, decision_of, feedback_of, placement

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3600 * SECOND_US
BEGIN_US: Final = 1_750_000_000 * SECOND_US // HOUR_US * HOUR_US
PER_HOUR: Final = 120
STEP_US: Final = HOUR_US // PER_HOUR
HEALTHY_HOURS: Final = 26
WINDOW_S: Final = 3600.0
SHOWN_RATE: Final = 0.9
CLICK_RATE: Final = 0.25
CLICK_MEDIAN_S: Final = 120.0

Fault = Callable[[Feedback, int], list[tuple[Feedback, int]]]
"""What becomes of an item that is due: (item, decision's offer) to items, each with seconds that it waits."""


def healthy(item: Feedback, _offer: int) -> list[tuple[Feedback, int]]:
    """Send it as it is."""
    return [(item, 0)]


class _Quick(World):
    """Saves where the fold stands only when asked."""

    def take(self, record: LedgerRecord) -> LedgerRecord:
        self.fold.apply(record)
        return record


class WatchedShop:
    """Decides 120 times an hour, answers, and lets ledger time go on."""

    def __init__(self, seed: int) -> None:
        self.world = _Quick()
        content = catalog(placement(window_s=WINDOW_S, baseline=("nothing",)))
        self.epoch = self.world.apply(1, content)
        self._chance = np.random.default_rng([31, seed])
        self._number = 0
        self._due: list[tuple[int, int, int, Feedback]] = []
        self._sent = 0

    def copy(self, seed: int) -> WatchedShop:
        """Return a shop that goes on from here with other dice."""
        self.world.fold.save_state()
        twin = WatchedShop.__new__(WatchedShop)
        connection: sqlite3.Connection = open_writer(None)
        self.world.connection.backup(connection)
        twin.world = _Quick(connection)
        twin.epoch = self.epoch
        twin._chance = np.random.default_rng([32, seed])
        twin._number, twin._sent, twin._due = self._number, self._sent, list(self._due)
        return twin

    @property
    def now_us(self) -> int:
        """The time of the next decision."""
        return BEGIN_US + self._number * STEP_US

    def run(self, count: int, fault: Fault = healthy) -> None:
        """Make some decisions, a TICK every ten."""
        for _ in range(count):
            self._send(self.now_us, fault)
            self._visit()
            if self._number % 10 == 0:
                self.world.add(Tick(self.now_us - SECOND_US))

    def alarms(self) -> tuple[str, ...]:
        """Ask how the loop is."""
        self.world.fold.save_state()
        facts = PlacementFacts(
            PLACEMENT,
            "vw",
            learns=True,
            window_us=round(WINDOW_S * 1e6),
            nothing_offers=frozenset({"nothing"}),
        )
        loop = LoopFacts(self.now_us, self.world.fold.time_us, None, None, (facts,))
        found = loop_health(RollupTables(self.world.connection).read(), loop)
        return tuple(alarm.name for alarm in found.alarms)

    def _visit(self) -> None:
        self._number += 1
        now_us = self.now_us
        decision = decision_of(self._number, now_us, epoch=self.epoch)
        chosen = int(self._chance.choice(3, p=[0.5, 0.25, 0.25]))
        slot = replace(decision.slots[0], chosen=chosen, propensity=float(decision.slots[0].pmf[chosen]))
        decision = replace(decision, slots=(slot,))
        key = self.world.ledger.visitor_key(f"v{self._number % 500}".encode())
        self.world.take(
            self.world.ledger.append_decision(decision.decision_id, encode_decision(decision), key)
        )
        if chosen < 2 and self._chance.random() < SHOWN_RATE:
            self._later("shown", 1.0, chosen)
        if self._chance.random() < CLICK_RATE:
            self._later("click", float(self._chance.lognormal(np.log(CLICK_MEDIAN_S), 1.0)), chosen)

    def _later(self, kind: str, delay_s: float, offer: int) -> None:
        due_us = self.now_us + round(delay_s * 1e6)
        self._sent += 1
        item = feedback_of(kind, due_us, decision=self._number, kind=kind)
        heapq.heappush(self._due, (due_us, self._sent, offer, item))

    def _send(self, now_us: int, fault: Fault) -> None:
        while self._due and self._due[0][0] <= now_us:
            due_us, number, offer, item = heapq.heappop(self._due)
            if offer < 0:  # it has waited already
                self._hear(item, due_us)
                continue
            for changed, wait_s in fault(item, offer):
                if wait_s:
                    heapq.heappush(self._due, (due_us + wait_s * SECOND_US, number, -1, changed))
                else:
                    self._hear(changed, due_us)

    def _hear(self, item: Feedback, due_us: int) -> None:
        stamped = replace(item, receive_time_us=due_us)
        key = None if item.decision_id else self.world.ledger.known_visitor_key(b"nobody")
        self.world.take(self.world.ledger.append(RecordKind.FEEDBACK, encode_feedback(stamped), key))


@cache
def healthy_shop() -> WatchedShop:
    """Return a shop that was well for 26 hours; go on with a copy."""
    found = WatchedShop(1)
    found.world.connection.execute("BEGIN")
    found.run(HEALTHY_HOURS * PER_HOUR)
    found.world.fold.save_state()
    found.world.connection.execute("COMMIT")
    return found
