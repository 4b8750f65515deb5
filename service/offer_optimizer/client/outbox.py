"""Feedback waiting to be sent: bounded, batched, repeated until the service has it. One thread sends.

Always holds: `put` never blocks and never fails; every item put ends in exactly one count; items are sent in
the order they were put; at most one batch is under way. Knows nothing of gRPC: a sender is passed in.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from offer_optimizer.client.backoff import Backoff
from offer_optimizer.client.errors import PASSING, CallFailed
from offer_optimizer.client.values import ClientStats, FeedbackItem, FeedbackResult, Problem

Sender = Callable[[Sequence[FeedbackItem]], Sequence[FeedbackResult]]
"""Sends a batch and returns a verdict for each item, in order. Raises CallFailed."""


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """How much may wait, how much goes in one call, and how long the first item waits for company."""

    capacity: int = 10_000
    batch_items: int = 200
    linger_s: float = 0.05


DEFAULT_LIMITS: Final = OutboxLimits()
DEFAULT_BACKOFF: Final = Backoff()


class Outbox:
    """A queue of feedback with the thread that empties it. The thread starts with the first item."""

    def __init__(
        self,
        send: Sender,
        *,
        clock: Callable[[], float],
        chance: Callable[[], float],
        report: Callable[[Problem], None],
        limits: OutboxLimits = DEFAULT_LIMITS,
        backoff: Backoff = DEFAULT_BACKOFF,
    ) -> None:
        self._send = send
        self._clock = clock
        self._chance = chance
        self._report = report
        self._limits = limits
        self._backoff = backoff
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, FeedbackItem]] = deque()
        self._under_way = 0
        self._hurrying = 0
        self._closed = False
        self._given_up = False
        self._thread: threading.Thread | None = None
        self._counts: Counter[str] = Counter()

    def put(self, item: FeedbackItem) -> bool:
        """Queue an item and return whether it was taken. When full or closed, the new item is dropped.

        The newest goes because those before it were promised first; a drop is counted and reported.
        """
        with self._changed:
            held = len(self._waiting) + self._under_way
            if not self._closed and held < self._limits.capacity:
                self._waiting.append((self._clock(), item))
                self._start()
                # Waking the thread for every item would cost a switch per click: only the first and the
                # one that fills a batch change what it waits for.
                if len(self._waiting) in (1, self._limits.batch_items):
                    self._changed.notify_all()
                return True
        code = "CLOSED" if self._closed else "QUEUE_FULL"
        limit = "the client is closed" if self._closed else f"{self._limits.capacity} items wait already"
        self._drop([item], code, limit)
        return False

    def stats(self) -> ClientStats:
        """Return the counts of this moment."""
        with self._changed:
            return ClientStats(waiting=len(self._waiting) + self._under_way, **self._counts)

    def flush(self, timeout_s: float) -> bool:
        """Send what waits without lingering; return whether all of it was settled in `timeout_s` seconds."""
        with self._changed:
            self._hurrying += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(self._is_empty, timeout_s)
            finally:
                self._hurrying -= 1

    def close(self, timeout_s: float) -> bool:
        """Flush, then stop the thread; what is still unsent is dropped, counted and reported."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        settled = self.flush(timeout_s)
        with self._changed:
            self._given_up = True
            left = [item for _, item in self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        if left:
            self._drop(left, "CLOSED", f"not sent within {timeout_s:g} s of closing")
        return settled

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end after `close`."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def deliver(self, batch: Sequence[FeedbackItem]) -> None:
        """Send a batch until the service has judged it, refused it, or the outbox was closed meanwhile."""
        attempt = 0
        while True:
            self._count(sent=len(batch), retried=len(batch) if attempt else 0)
            try:
                results = self._send(batch)
            except CallFailed as failure:
                if failure.code not in PASSING or self._wait_before_retry(attempt):
                    self._drop(batch, failure.code, failure.message)
                    return
                attempt += 1
            else:
                self._settle(batch, results)
                return

    def _settle(self, batch: Sequence[FeedbackItem], results: Sequence[FeedbackResult]) -> None:
        accepted = sum(result.accepted for result in results)
        # A reply shorter than the request promises nothing for the rest.
        unjudged = batch[len(results) :]
        self._count(accepted=accepted, invalid=len(batch) - len(unjudged) - accepted)
        for item, result in zip(batch, results, strict=False):
            if not result.accepted:
                self._report(Problem("feedback", "INVALID", result.message, item))
        if unjudged:
            self._drop(unjudged, "INTERNAL", f"{len(results)} verdicts for {len(batch)} items")

    def _wait_before_retry(self, attempt: int) -> bool:
        """Wait; return whether the outbox was closed for good meanwhile."""
        delay_s = self._backoff.delay_s(attempt, self._chance())
        with self._changed:
            return self._changed.wait_for(lambda: self._given_up, delay_s)

    def _drop(self, items: Sequence[FeedbackItem], code: str, message: str) -> None:
        self._count(dropped=len(items))
        for item in items:
            self._report(Problem("feedback", code, message, item))

    def _count(self, **more: int) -> None:
        with self._changed:
            self._counts.update(more)

    def _is_empty(self) -> bool:
        return not self._waiting and not self._under_way

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="offer-optimizer-feedback", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                self.deliver(batch)
            except Exception as fault:  # noqa: BLE001  (a process loop: one bad batch must not end it)
                self._drop(batch, "INTERNAL", f"{type(fault).__name__}: {fault}")
            with self._changed:
                self._under_way = 0
                self._changed.notify_all()

    def _next_batch(self) -> list[FeedbackItem]:
        """Wait for the next batch and take it; an empty one means that the outbox is closed and empty."""
        with self._changed:
            while True:
                if self._given_up or (self._closed and not self._waiting):
                    return []
                left_s = self._linger_left_s()
                if left_s is not None and left_s <= 0.0:
                    break
                self._changed.wait(left_s)
            count = min(len(self._waiting), self._limits.batch_items)
            batch = [self._waiting.popleft()[1] for _ in range(count)]
            self._under_way = count
            return batch

    def _linger_left_s(self) -> float | None:
        """Return how long to wait for company; None for as long as nothing waits."""
        if not self._waiting:
            return None
        if self._hurrying or self._closed or len(self._waiting) >= self._limits.batch_items:
            return 0.0
        return self._waiting[0][0] + self._limits.linger_s - self._clock()
