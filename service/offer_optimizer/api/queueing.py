"""The queue before the pool, and who is turned away from it: an answer must come while somebody waits for it.

A queue that is served in order and only as long as callers wait settles where every call is answered a moment
too late: at twice its capacity, with deadlines of 100 ms, a server answered 5 % of what it worked on in time.
So whoever comes while the first in the queue has waited too long is refused at once, by the thread that
receives calls, without its message being read.
What always holds: a refusal waits for no decision; callers no more than the server's threads are never
refused here.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

import grpc

BEHIND_S: Final = 0.1
"""A queue is too long once its first has waited longer than PATIENCE_S for so long without a break: a process
that was held up for a moment catches up, and refuses nobody."""
WATCHED_S: Final = 1.0
"""And until it has not been for so long, whoever comes too late for it is refused at once."""
PATIENCE_S: Final = 0.01
"""A tenth of what a page grants; behind the queue comes the work of as many calls as there are threads."""
FEEDBACK_PATIENCE_S: Final = 0.005
"""Feedback is sent again, and a page is not: it is refused first."""
FEEDBACK_REST_S: Final = 0.1
"""And for so long behind every moment at which decisions were refused: far above capacity the queue is too
long most of the time, and by their patience alone as much of either was refused."""
PATIENCES_S: Final[Mapping[str, float]] = {
    "Decide": PATIENCE_S,
    "BatchDecide": PATIENCE_S,
    "RecordFeedback": FEEDBACK_PATIENCE_S,
    "MergeVisitor": FEEDBACK_PATIENCE_S,
}
"""By method of OfferService; what operators call is limited by its share of the pool."""

P = ParamSpec("P")
Result = TypeVar("Result")
_Todo: TypeAlias = "tuple[QueuedCall, Callable[..., Any], tuple[Any, ...], dict[str, Any]]"
_Calls: TypeAlias = "SimpleQueue[_Todo | None]"


class QueuedCall(Future[Any]):
    """A call in a queue, of which nothing can be asked but to be told when it has ended.

    That is all that gRPC wants to know of it. A future of the library's is made with a lock and a condition
    that whoever waits for its result needs, which took 5 to 8 µs of every call.
    """

    def __init__(self) -> None:
        # Not the library's: see above.
        self._is_over = False
        self._then: list[Callable[[Future[Any]], object]] = []

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Call `fn` once the call has ended, at once where it has."""
        self._then.append(fn)
        if self._is_over:
            self._tell()

    def end(self) -> None:
        """Note that it has ended, with or without a fault."""
        self._is_over = True
        self._tell()

    def _tell(self) -> None:
        # Whichever of two threads takes one from the list calls it: once, and none is left behind.
        while self._then:
            try:
                tell = self._then.pop()
            except IndexError:
                return
            tell(self)


class WaitingPool(ThreadPoolExecutor):
    """A pool that knows how long the first of its queue has waited. Served in order; submit from one thread.

    One of the library's by name, since gRPC asks for that; its own queue is left alone, which with its
    futures took 10 µs of every call against 2. Its threads die with the process: end the calls first.
    """

    def __init__(
        self,
        threads: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        least: int | None = None,
        name: str = "rpc",
    ) -> None:
        super().__init__(threads, thread_name_prefix=name)
        self._names = [f"{name}-{number}" for number in range(threads)]
        self._calls: _Calls = SimpleQueue()
        # Threads of a server that is no more, as tests make them by the dozen, must not stay.
        self._end = weakref.finalize(self, self._calls.put, None)
        self._open = threading.Lock()
        self._is_shut_down = False
        # So many may wait however long; by default half a round of the pool.
        self._least = threads // 2 if least is None else least
        self._clock = clock
        self._waiting: deque[float] = deque()
        self._behind_since = 0.0
        self._watched_until = 0.0
        self._refused_at = -FEEDBACK_REST_S

    def submit(self, call: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Future[Result]:
        """Queue a call. Raises RuntimeError once the pool was shut down."""
        if self._names:
            todo = (self._calls, self._waiting)
            threading.Thread(target=_serve, args=todo, name=self._names.pop(), daemon=True).start()
        queued = QueuedCall()
        # Behind what ends the threads nobody would ever take it.
        with self._open:
            if self._is_shut_down:
                raise RuntimeError("the pool was shut down")
            self._waiting.append(self._clock())
            self._calls.put((queued, call, args, kwargs))
        return queued

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        """Let the threads end behind the calls that are queued, without waiting for them."""
        del wait, cancel_futures
        with self._open:
            self._is_shut_down = True
            self._end()

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
                self._refused_at = now
        return waited_s if now < self._watched_until else 0.0

    def is_resting(self) -> bool:
        """Whether the queue was too long a moment ago, or is. For the thread that asks `behind_s`."""
        return self._clock() - self._refused_at < FEEDBACK_REST_S


def _serve(calls: _Calls, waiting: deque[float]) -> None:
    """Run what is queued until there is a None, which stays for the other threads."""
    while (queued := calls.get()) is not None:
        # Here, because a call whose caller has gone is taken from the queue and never reaches its handler.
        waiting.popleft()
        ended, call, args, kwargs = queued
        # A process loop; gRPC has answered for whatever a handler raised.
        with suppress(BaseException):
            call(*args, **kwargs)
        ended.end()
        # A thread that waits holds nothing of the call before.
        del queued, ended, call, args, kwargs
    calls.put(None)


class _Here(ThreadPoolExecutor):
    """Runs what it is given at once, in the thread that gives it."""

    def submit(self, call: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Future[Result]:
        """Run a call, which must not wait."""
        call(*args, **kwargs)
        done = QueuedCall()
        done.end()
        return done


class Door(grpc.GenericRpcHandler):
    """Lets calls through to a service, or turns them away before they queue.

    gRPC asks it in the thread that receives calls. Of `pools` the first is that of Decide, which no other
    pool holds up; the rest of the calls give way to all of them. `refusals` by method of the service.
    """

    def __init__(
        self,
        service: str,
        behind: grpc.GenericRpcHandler,
        pools: Sequence[WaitingPool],
        refusals: Mapping[str, grpc.Status],
    ) -> None:
        self._behind = behind
        self._pools = pools
        self._here = _Here(1)
        self._doors = {
            f"/{service}/{method}": (method, self._refusal(status)) for method, status in refusals.items()
        }

    def _refusal(self, status: grpc.Status) -> grpc.RpcMethodHandler[bytes, bytes]:
        def refuse(_unread: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            context.abort_with_status(status)
            raise AssertionError("unreachable: abort raises")

        # The one way that grpc has to run a handler elsewhere than in the server's pool. The thread that
        # receives calls may run it: as the handler of a stream it need not wait for the message, which that
        # same thread would have to receive. Through a thread of its own a refusal took
        # three times as long.
        refuse.experimental_thread_pool = self._here  # type: ignore[attr-defined]
        return grpc.stream_unary_rpc_method_handler(refuse, None, None)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Return the handler of a call."""
        door = self._doors.get(handler_call_details.method)
        if door is not None and self._is_shut(door[0]):
            return door[1]
        return self._behind.service(handler_call_details)

    def _is_shut(self, method: str) -> bool:
        patience_s = PATIENCES_S[method]
        pools = self._pools[:1] if method == "Decide" else self._pools
        if any(pool.behind_s() > patience_s for pool in pools):
            return True
        return patience_s < PATIENCE_S and any(pool.is_resting() for pool in pools)
