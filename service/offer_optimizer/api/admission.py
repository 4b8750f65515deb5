"""How many pool threads each kind of call may hold, so that none can starve decisions.

Deciding never waits on I/O; feedback, catalog changes, reports and reflection streams do. Measured: a stalled
fsync in an undivided pool failed 25 % of decisions. A share never queues: what does not fit is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from offer_optimizer.api.refusals import ShareBusy

MIN_THREADS: Final = 5


class Share:
    """At most `size` calls of one kind at a time."""

    def __init__(self, name: str, size: int, refusal: type[ShareBusy] = ShareBusy) -> None:
        self.name = name
        self.size = size
        self._refusal = refusal
        self._free = threading.Semaphore(size)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold one place of the share. Raises its refusal at once when none is free."""
        self.take()
        try:
            yield
        finally:
            self.give_back()

    def take(self) -> None:
        """Take one place without a block around it. Raises the share's refusal when none is free."""
        if not self._free.acquire(blocking=False):
            raise self._refusal(self.name, self.size)

    def give_back(self) -> None:
        """Give back a place that `take` took."""
        self._free.release()


@dataclass(frozen=True, slots=True)
class PoolSplit:
    """How a pool is split. What the shares can't hold is left to batches: always at least one thread.

    Decide has threads of its own (`ServerOptions`).
    """

    feedback: int
    operator: int
    report: int
    reflection: int

    @property
    def blockable(self) -> int:
        """Count the threads that calls which may wait can hold at most, together."""
        return self.feedback + self.operator + self.report + self.reflection


def split_pool(threads: int) -> PoolSplit:
    """Split a pool: feedback half of it less one, operators' calls, reports and reflection one each.

    5 threads leave batches 1, 8 leave 2, 16 leave 6. Raises ValueError under MIN_THREADS.
    """
    if threads < MIN_THREADS:
        raise ValueError(f"threads: {threads}, at least {MIN_THREADS}")
    return PoolSplit(feedback=threads // 2 - 1, operator=1, report=1, reflection=1)
