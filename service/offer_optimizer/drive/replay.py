"""The replay: rows go out at a fixed pace from several threads; matched ones send their feedback.

Open loop: a row is due at its own time whatever the answers before it took. With one worker the order is
exactly the driving order; with several it is that order but for the rows under way together.
Clock and sleep are passed in; the service is anything with `decide` and `feedback`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from offer_optimizer.client import Decision
from offer_optimizer.core.feedback import SHOWN
from offer_optimizer.drive.errors import DriveFailed
from offer_optimizer.drive.plan import REWARD_KIND, Plan
from offer_optimizer.drive.table import Row

DECIDE_TIMEOUT_S: Final = 5.0
"""Far above a page's patience: a row that isn't decided is lost to the test."""
LOST_ROWS_IN_A_ROW: Final = 50
"""So many rows without an answer of the service mean that it is gone."""


class Service(Protocol):
    """What the replay asks of the client."""

    def decide(
        self,
        placement: str,
        *,
        visitor_id: str = "",
        categories: Mapping[str, str] | None = None,
        numbers: Mapping[str, float] | None = None,
        deferred: bool = False,
        timeout_s: float | None = None,
    ) -> Decision:
        """Return what to show."""
        ...

    def feedback(self, kind: str, *, decision_id: str | None = None, value: float | None = None) -> bool:
        """Queue what happened; return whether it was taken."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate` rows a second from `workers` threads."""

    rate: float = 1000.0
    workers: int = 8


@dataclass(slots=True)
class Outcome:
    """What became of the rows. `matched` holds (position in driving order, reward).

    `unanswered` counts rows that got the client's own baseline, by the code of the failure; `unrecorded`
    counts answers without a decision_id; neither are matched. `offers` counts what the service chose,
    `reasons` why.
    """

    matched: list[tuple[int, float]] = field(default_factory=list)
    done: int = 0
    unanswered: Counter[str] = field(default_factory=Counter)
    unrecorded: int = 0
    offers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    model_version: str = ""
    elapsed_s: float = 0.0


class Replay:
    """Drives rows, in the order given, through a service once."""

    def __init__(
        self,
        service: Service,
        plan: Plan,
        rows: Sequence[Row],
        *,
        pace: Pace,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
        progress: Callable[[Outcome], None],
    ) -> None:
        self._service = service
        self._plan = plan
        self._rows = rows
        self._pace = pace
        self._clock = clock
        self._sleep = sleep
        self._progress = progress
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._next_position = 0
        self._lost_in_a_row = 0
        self._start = 0.0
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Drive every row. Raises DriveFailed when the service is gone, RequestRejected when it refuses."""
        self._start = self._clock()
        with ThreadPoolExecutor(self._pace.workers, thread_name_prefix="drive") as pool:
            workers = [pool.submit(self._work) for _ in range(self._pace.workers)]
            try:
                for worker in workers:
                    worker.result()
            finally:
                # Also on Ctrl-C, so that leaving the pool doesn't wait for the rest of the file.
                self._stopped.set()
        self._outcome.elapsed_s = self._clock() - self._start
        return self._outcome

    def _work(self) -> None:
        try:
            while (position := self._take()) is not None:
                early_s = self._start + position / self._pace.rate - self._clock()
                if early_s > 0.0:
                    self._sleep(early_s)
                self._drive(position)
        finally:
            if self._next_position < len(self._rows):
                self._stopped.set()  # this worker failed: the others need not go on

    def _take(self) -> int | None:
        with self._lock:
            position = self._next_position
            if position >= len(self._rows) or self._stopped.is_set():
                return None
            self._next_position += 1
            return position

    def _drive(self, position: int) -> None:
        row = self._rows[position]
        decision = self._service.decide(
            self._plan.placement_id,
            visitor_id=f"row-{row.number}",
            categories=row.categories,
            numbers=row.numbers,
            deferred=True,
            timeout_s=DECIDE_TIMEOUT_S,
        )
        matches = decision.offer_id == self._plan.offer_by_arm[row.arm] and decision.decision_id is not None
        if matches:
            self._service.feedback(SHOWN, decision_id=decision.decision_id)
            self._service.feedback(REWARD_KIND, decision_id=decision.decision_id, value=row.reward)
        with self._lock:
            self._count(decision)
            if matches:
                self._outcome.matched.append((position, row.reward))
            self._progress(self._outcome)

    def _count(self, decision: Decision) -> None:
        outcome = self._outcome
        outcome.done += 1
        if decision.served_by == "client_baseline":
            outcome.unanswered[decision.reason] += 1
            self._lost_in_a_row += 1
            if self._lost_in_a_row >= LOST_ROWS_IN_A_ROW:
                text = f"{self._lost_in_a_row} rows in a row got no answer (the last: {decision.reason})"
                raise DriveFailed(f"the service stopped answering: {text}; {outcome.done} rows were driven")
            return
        self._lost_in_a_row = 0
        outcome.reasons[decision.reason] += 1
        outcome.unrecorded += decision.decision_id is None
        outcome.offers[decision.offer_id or "(nothing)"] += 1
        outcome.model_version = decision.model_version or outcome.model_version
