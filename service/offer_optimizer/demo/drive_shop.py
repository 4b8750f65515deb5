"""Sends the planned visits through a client in real time, and the visitors' answers when they are due.

Always: a visit is decided at most once; feedback is handed over at or after its time, never before; pacing
slips rather than bursts when the machine cannot keep up. Clock and sleep come in as values.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from offer_optimizer.client.values import Decision
from offer_optimizer.demo.catalog import PLACEMENTS
from offer_optimizer.demo.recorder import Recorder
from offer_optimizer.demo.traffic import Traffic

WORKERS: Final = 4
"""Enough to keep one decider busy; more only queue on a two-core machine."""
SLIP_S: Final = 0.02
"""A worker later than this shifts the whole schedule instead of catching up in a burst."""
FEEDBACK_POLL_S: Final = 0.005
DISPLAY_EVERY_S: Final = 0.25


class ShopClient(Protocol):
    """What the driver needs of `offer_optimizer.client.Client`."""

    def decide(
        self, placement: str, *, visitor_id: str, categories: Mapping[str, str], numbers: Mapping[str, float]
    ) -> Decision:
        """Ask for an offer; answer with the caller's baseline when the service does not answer in time."""
        ...

    def feedback(self, kind: str, *, decision_id: str | None) -> object:
        """Queue one item of feedback."""
        ...


@dataclass(order=True, slots=True)
class _Due:
    """One item of feedback on its way; ordered by when it is due."""

    due_s: float
    visit: int
    kind: str = field(compare=False)
    decide_s: float = field(compare=False)
    decision_id: str | None = field(compare=False)


class ShopDriver:
    """Drives one run."""

    def __init__(
        self,
        client: ShopClient,
        traffic: Traffic,
        *,
        seconds: float,
        decisions_per_s: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        """Plan to make at most `decisions_per_s` decisions a second for `seconds` seconds."""
        self.recorder = Recorder(traffic)
        self._client = client
        self._traffic = traffic
        self._seconds = seconds
        self._interval_s = 1.0 / decisions_per_s
        self._clock = clock
        self._sleep = sleep
        self._start_s = 0.0
        self._lock = threading.Lock()
        self._next_visit = 0
        self._next_due_s = 0.0
        self._due: list[_Due] = []
        self._deciding = threading.Event()
        self._stopped = threading.Event()
        self._failures: list[BaseException] = []

    def run(self, watch: Callable[[float], None]) -> None:
        """Drive to the end, the last feedback included.

        Calls `watch(seconds since start)` a few times a second.
        Raises whatever a worker or `watch` raised, after the workers have ended.
        """
        self._start_s = self._clock()
        self._deciding.set()
        workers = [self._spawn(self._decide_visits, f"shop-{number}") for number in range(WORKERS)]
        messenger = self._spawn(self._hand_over_feedback, "shop-feedback")
        try:
            self._watch_threads(workers, watch)
            self._deciding.clear()
            self._watch_threads([messenger], watch)
        finally:
            self._stopped.set()
            for thread in (*workers, messenger):
                thread.join()
        self._raise_failure()

    def _watch_threads(self, threads: list[threading.Thread], watch: Callable[[float], None]) -> None:
        while any(thread.is_alive() for thread in threads):
            self._raise_failure()
            watch(self._clock() - self._start_s)
            self._sleep(DISPLAY_EVERY_S)

    def _raise_failure(self) -> None:
        if self._failures:
            raise self._failures[0]

    def _spawn(self, work: Callable[[], None], name: str) -> threading.Thread:
        def loop() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  (a thread's end: the main thread raises it again)
                self._failures.append(error)
                self._stopped.set()

        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        return thread

    def _decide_visits(self) -> None:
        while not self._stopped.is_set():
            claimed = self._claim()
            if claimed is None:
                return
            visit, due_s = claimed
            wait_s = due_s - (self._clock() - self._start_s)
            if wait_s > 0.0:
                self._sleep(wait_s)
            self._decide(visit)

    def _claim(self) -> tuple[int, float] | None:
        """Take the next visit and its time, or None when the run is over."""
        with self._lock:
            now_s = self._clock() - self._start_s
            due_s = max(self._next_due_s, now_s - SLIP_S)
            if due_s >= self._seconds or self._next_visit >= len(self._traffic):
                return None
            visit = self._next_visit
            self._next_visit += 1
            self._next_due_s = due_s + self._interval_s
            return visit, due_s

    def _decide(self, visit: int) -> None:
        who = self._traffic.visits[visit]
        decision = self._client.decide(
            PLACEMENTS[int(self._traffic.placement[visit])],
            visitor_id=f"visitor-{int(self._traffic.visitor[visit])}",
            categories={
                "channel": who.channel,
                "device": who.device,
                "stage": who.stage,
                "loyalty": who.loyalty,
            },
            numbers={"cart_value": who.cart_value, "visit_number": float(self._traffic.visit_number[visit])},
        )
        at_s = self._clock() - self._start_s
        self.recorder.add_decision(
            visit,
            at_s=at_s,
            latency_s=decision.latency_s,
            offer_id=decision.offer_id,
            by_client=decision.served_by == "client_baseline",
            model_version=decision.model_version,
        )
        if decision.offer_id is None:
            return
        for answer in self._traffic.answers(visit, decision.offer_id):
            item = _Due(at_s + answer.delay_s, visit, answer.kind, at_s, decision.decision_id)
            with self._lock:
                heapq.heappush(self._due, item)

    def _hand_over_feedback(self) -> None:
        while not self._stopped.is_set():
            now_s = self._clock() - self._start_s
            with self._lock:
                item = heapq.heappop(self._due) if self._due and self._due[0].due_s <= now_s else None
                is_over = not self._due and not self._deciding.is_set()
            if item is not None:
                self.recorder.add_feedback(item.visit, item.kind, after_s=now_s - item.decide_s)
                # A page that the client answered itself has no decision to report on.
                if item.decision_id is not None:
                    self._client.feedback(item.kind, decision_id=item.decision_id)
            elif is_over:
                return
            else:
                self._sleep(FEEDBACK_POLL_S)
