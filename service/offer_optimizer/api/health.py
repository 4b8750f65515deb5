"""Health as `grpc.health.v1` tells it: readiness for the server and each service, liveness apart.

Readiness may go and come back: not ready means "send calls elsewhere". `liveness` is SERVING as long as the
process can answer at all: not live means "restart it".
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2

from offer_optimizer.api.admission import Share
from offer_optimizer.api.refusals import ShareBusy

LIVENESS: Final = "liveness"

WATCHES: Final = 8
"""Open Watch streams. Each counts among the server's concurrent RPCs: unlimited watchers could fill it."""

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthServicer(health.HealthServicer):
    """The library's servicer with a limit on streams. A Watch holds no thread of the pool."""

    def __init__(self) -> None:
        super().__init__(
            experimental_non_blocking=True, experimental_thread_pool=ThreadPoolExecutor(1, "health-watch")
        )
        self._watches = Share("Health.Watch", WATCHES)

    # The last parameter and the result are the library's own, undocumented: None, or how to send.
    def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Serve Watch."""
        try:
            self._watches.take()
        except ShareBusy as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        if not context.add_callback(self._watches.give_back):
            self._watches.give_back()
        return super().Watch(request, context, send_response_callback)


class Readiness:
    """Says whether calls should come here. Starts as not ready. Safe to set from any thread."""

    def __init__(self, service_names: tuple[str, ...], publish: Callable[[str, int], None]) -> None:
        self._names = ("", *service_names)
        self._publish = publish
        self._lock = threading.Lock()
        self._ready = False
        publish(LIVENESS, _SERVING)
        for name in self._names:
            publish(name, _NOT_SERVING)

    @property
    def ready(self) -> bool:
        """Whether readiness was last set."""
        return self._ready

    def set(self, ready: bool) -> None:  # noqa: FBT001  (the name says what the flag is)
        """Tell health checks and watchers."""
        with self._lock:
            self._ready = ready
            for name in self._names:
                self._publish(name, _SERVING if ready else _NOT_SERVING)
