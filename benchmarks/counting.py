"""Counts inside a server under test what became of its calls: `install` wraps whatever `grpc.server` builds.

Outside of the handlers and the door before the queue, so it sees refusals too; the service knows nothing of
it. What always holds: times count from the call's arrival at the transport, taken from the deadline that is
left (all calls that count are sent with DEADLINE_S), so they hold every wait but the client's; memory does
not grow with the number of calls. `READ` answers with what was counted since it was asked before.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import grpc

from benchmarks.setting import DECIDE, RECORD_FEEDBACK

DEADLINE_S: Final = 0.1
SERVICE: Final = "benchmarks.Counts"
READ: Final = f"/{SERVICE}/Read"
BUCKETS_A_MS: Final = 10
_COUNTED: Final = {DECIDE: "decisions", RECORD_FEEDBACK: "feedback"}
_REFUSED: Final = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")


class Kind:
    """What became of one kind of call. `answered` and `refused` count by tenths of a millisecond."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()
        self.in_time_count = 0
        self.late_count = 0
        self.late_executed_count = 0
        self.answered: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()

    def note(self, code: str, remaining_s: float, *, was_late: bool, is_waited_for: bool) -> None:
        """Note a call that ends: what is left of its deadline, whether it came late to its handler."""
        self.codes[code] += 1
        self.late_count += was_late
        bucket = int((DEADLINE_S - remaining_s) * 1e3 * BUCKETS_A_MS)
        if code == "OK":
            self.late_executed_count += was_late
            self.in_time_count += is_waited_for
            self.answered[bucket] += 1
        elif code in _REFUSED:
            self.refused[bucket] += 1


class Counts:
    """What became of decisions and feedback. May be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds = {name: Kind() for name in _COUNTED.values()}

    def counted(self, name: str, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same handler, its calls counted."""

        def handled(data: bytes, context: grpc.ServicerContext) -> Any:  # noqa: ANN401  (what grpc takes)
            was_late, code = not waited_for(context), "OK"
            try:
                return handle(data, context)
            except BaseException:
                code = code_of(context)
                raise
            finally:
                remaining_s = context.time_remaining()
                if remaining_s <= DEADLINE_S:
                    waits = waited_for(context)
                    with self._lock:
                        self._kinds[name].note(code, remaining_s, was_late=was_late, is_waited_for=waits)

        if hasattr(handle, "experimental_thread_pool"):
            handled.experimental_thread_pool = handle.experimental_thread_pool  # type: ignore[attr-defined]
        return handled

    def read(self, _data: bytes, _context: grpc.ServicerContext) -> bytes:
        """Return what was counted as JSON, and begin anew."""
        with self._lock:
            found = {name: vars(kind) for name, kind in self._kinds.items()}
            self._kinds = {name: Kind() for name in _COUNTED.values()}
        return json.dumps(found).encode()


def waited_for(context: grpc.ServicerContext) -> bool:
    """Whether the deadline is still ahead and the caller there."""
    return context.time_remaining() > 0.0 and bool(context.is_active())


def code_of(context: Any) -> str:  # noqa: ANN401  (the interface declares no reader of the code)
    """Return the name of the status that a handler has set."""
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"


class Counted(grpc.GenericRpcHandler):
    """The handlers behind it, counted."""

    def __init__(self, behind: grpc.GenericRpcHandler, counts: Counts) -> None:
        self._behind = behind
        self._counts = counts
        self._known: dict[int, tuple[Any, Any]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401
        """Return the handler of a call, wrapped where its kind is counted."""
        found: Any = self._behind.service(handler_call_details)
        name = _COUNTED.get(handler_call_details.method)
        if found is None or name is None:
            return found
        # The handler is kept beside its wrapper: an id stays its own only as long as the object lives.
        known = self._known.get(id(found))
        if known is None:
            wrapped = self._wrapped(name, found)
            known = self._known.setdefault(id(found), (found, wrapped))
        return known[1]

    def _wrapped(self, name: str, found: Any) -> Any:  # noqa: ANN401
        # What turns callers away handles a stream, whose message it need not read.
        if found.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(self._counts.counted(name, found.stream_unary))
        return grpc.unary_unary_rpc_method_handler(self._counts.counted(name, found.unary_unary))


def install() -> None:
    """Count the calls of every server that this process builds from now on."""
    build = grpc.server

    def counting(*arguments: Any, **named: Any) -> grpc.Server:  # noqa: ANN401  (what grpc takes)
        server, counts = build(*arguments, **named), Counts()
        add = server.add_generic_rpc_handlers

        def add_counted(generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
            add([Counted(handler, counts) for handler in generic_rpc_handlers])

        server.add_generic_rpc_handlers = add_counted  # type: ignore[method-assign]
        read: Any = grpc.unary_unary_rpc_method_handler(counts.read)
        add([grpc.method_handlers_generic_handler(SERVICE, {"Read": read})])
        return server

    grpc.server = counting
