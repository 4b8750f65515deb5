"""The queue before the pool, and who is turned away from it: an answer must come while somebody waits for it.

A queue that is served in order and only as long as callers wait settles where every call is answered a moment
too late: at twice its capacity, with deadlines of 100 ms, a server answered 5 % of what it worked on in time.
So whoever comes while the first in the queue has waited too long is refused at once, by a thread of its own.
What always holds: a refusal waits for no decision; callers no more than threads are never refused here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

import grpc

from offer_optimizer.api.handlers import Call

BEHIND_S: Final = 0.1
"""A queue is too long once its first has waited longer than PATIENCE_S for so long without a break: a process
that was held up for a moment catches up, and refuses nobody."""
WATCHED_S: Final = 1.0
"""And until it has not been for so long, whoever comes too late for it is refused at once."""
PATIENCE_S: Final = 0.01
"""A tenth of what a page grants; behind the queue comes the work of as many calls as there are threads."""
FEEDBACK_PATIENCE_S: Final = 0.005
"""Feedback is sent again, and a page is not: it is refused first."""
PATIENCES_S: Final[Mapping[str, float]] = {
    "Decide": PATIENCE_S,
    "BatchDecide": PATIENCE_S,
    "RecordFeedback": FEEDBACK_PATIENCE_S,
    "MergeVisitor": FEEDBACK_PATIENCE_S,
}
"""By method of OfferService; what operators call is limited by its share of the pool."""

P = ParamSpec("P")
Result = TypeVar("Result")


class WaitingPool(ThreadPoolExecutor):
    """A pool that knows how long the first of its queue has waited. Served in order."""

    def __init__(self, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(threads, thread_name_prefix="rpc")
        # Fewer than that are behind no more than half a round of the pool.
        self._least = threads // 2
        self._clock = clock
        self._waiting: deque[float] = deque()
        self._behind_since = 0.0
        self._watched_until = 0.0

    def submit(self, call: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Future[Result]:
        """Queue a call."""
        self._waiting.append(self._clock())
        return super().submit(self._begin, call, *args, **kwargs)

    def _begin(self, call: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        # Here, because a call whose caller has gone is taken from the queue and never reaches its handler.
        self._waiting.popleft()
        return call(*args, **kwargs)

    def behind_s(self) -> float:
        """Return how long the first of the queue has waited, 0 unless it is too long. For one thread."""
        try:
            if len(self._waiting) <= self._least:
                self._behind_since = 0.0
                return 0.0
            now = self._clock()
            waited_s = now - self._waiting[0]
        except IndexError:  # the last of them has just begun
            return 0.0
        if waited_s <= PATIENCE_S:
            self._behind_since = 0.0
        else:
            self._behind_since = self._behind_since or now
            if now < self._watched_until or now - self._behind_since > BEHIND_S:
                self._watched_until = now + WATCHED_S
        return waited_s if now < self._watched_until else 0.0


class Door(grpc.GenericRpcHandler):
    """Lets calls through to a service, or turns them away before they queue.

    gRPC asks it in the thread that receives calls. `refuse` must not wait.
    """

    def __init__(
        self, service: str, behind: grpc.GenericRpcHandler, pool: WaitingPool, refuse: Mapping[str, Call]
    ) -> None:
        self._behind = behind
        self._pool = pool
        self._refusals = ThreadPoolExecutor(1, thread_name_prefix="refusals")
        self._doors = {
            f"/{service}/{method}": (PATIENCES_S[method], self._refusal(call))
            for method, call in refuse.items()
        }

    def _refusal(self, call: Call) -> grpc.RpcMethodHandler[bytes, bytes]:
        def refuse(data: bytes, context: grpc.ServicerContext) -> bytes:
            return call(data, context)

        # The one way that grpc has to run a handler elsewhere than in the server's pool.
        refuse.experimental_thread_pool = self._refusals  # type: ignore[attr-defined]
        return grpc.unary_unary_rpc_method_handler(refuse, None, None)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Return the handler of a call."""
        door = self._doors.get(handler_call_details.method)
        if door is not None and self._pool.behind_s() > door[0]:
            return door[1]
        return self._behind.service(handler_call_details)
