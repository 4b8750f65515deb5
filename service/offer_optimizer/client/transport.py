"""The gRPC side of the client: channels, deadlines, and errors turned into `CallFailed`.

Always holds: every call has a deadline; nothing is opened before the first call, so a client made before a
fork and first used after it is sound. Knows nothing of baselines or queues.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from offer_optimizer.client.access import NO_ACCESS, Access, ChannelOption, open_channel
from offer_optimizer.client.errors import CallFailed, ForkedClient
from offer_optimizer.v1 import catalog_service_pb2_grpc, insight_service_pb2_grpc, offer_service_pb2_grpc

Reply = TypeVar("Reply", bound=Message)
DEFAULT_OPTIONS: Final[tuple[ChannelOption, ...]] = (
    # gRPC would wait up to two minutes between attempts to connect: pages would see the baseline that long.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Equal channels share one connection unless told otherwise, and one connection sticks to one decider.
    ("grpc.use_local_subchannel_pool", 1),
)


class _Connection:
    """One channel with its stubs."""

    def __init__(self, target: str, options: Sequence[ChannelOption], access: Access) -> None:
        self.channel = open_channel(target, options, access)
        self.offers: Any = offer_service_pb2_grpc.OfferServiceStub(self.channel)
        self.catalog: Any = catalog_service_pb2_grpc.CatalogServiceStub(self.channel)
        self.insight: Any = insight_service_pb2_grpc.InsightServiceStub(self.channel)


class Transport:
    """Connections to one target, used in turn."""

    def __init__(
        self, target: str, connections: int, options: Sequence[ChannelOption], access: Access = NO_ACCESS
    ) -> None:
        if connections < 1:
            raise ValueError(f"connections: {connections}, at least 1")
        self.target = target
        self._wanted = connections
        self._access = access
        # A caller's option replaces ours of the same name.
        self._options = tuple(({**dict(DEFAULT_OPTIONS), **dict(options)}).items())
        self._lock = threading.Lock()
        self._open: tuple[_Connection, ...] = ()
        self._turns = itertools.count()
        self._process = 0
        self._closed = False

    def call(
        self, service: str, method: str, request: Message, reply: type[Reply], timeout_s: float
    ) -> Reply:
        """Call `method` of `service` (offers or catalog). Raises CallFailed, ForkedClient."""
        self.check_process()
        connection = self._next()
        rpc: Callable[..., Any] = getattr(getattr(connection, service), method)
        try:
            answer = rpc(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise _failure(error) from None
        except ValueError as error:
            # grpc's way to say that another thread closed the channel between our look and our call.
            raise CallFailed("CANCELLED", "", str(error)) from None
        assert isinstance(answer, reply)  # the stub decoded it
        return answer

    def check_process(self) -> None:
        """Raise ForkedClient in a child of the process that opened the connections."""
        if self._process not in (0, os.getpid()):
            raise ForkedClient(
                f"{self.target}: this client was used in process {self._process} before process {os.getpid()}"
                " was forked from it; make a new Client after the fork"
            )

    def _connect(self) -> _Connection:
        return _Connection(self.target, self._options, self._access)

    def close(self) -> None:
        """Close every connection; calls under way end as CANCELLED."""
        with self._lock:
            self._closed = True
            connections, self._open = self._open, ()
        for connection in connections:
            connection.channel.close()

    def _next(self) -> _Connection:
        connections = self._open
        if not connections:
            with self._lock:
                if self._closed:
                    raise CallFailed("CANCELLED", "", "the client is closed")
                if not self._open:
                    self._process = os.getpid()
                    self._open = tuple(
                        _Connection(self.target, self._options, self._access) for _ in range(self._wanted)
                    )
                connections = self._open
        return connections[next(self._turns) % len(connections)]


def _failure(error: grpc.RpcError) -> CallFailed:
    code, text = error.code(), error.details() or ""
    return CallFailed(code.name, _reason(error), text)


def _reason(error: grpc.RpcError) -> str:
    """Return ErrorInfo's reason, or nothing where the core or a proxy made the error."""
    try:
        status = rpc_status.from_call(cast("grpc.Call", error))  # every error of a call is the call itself
    except ValueError:  # the attached status contradicts the call's own
        return ""
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
            return str(info.reason)
    return ""
