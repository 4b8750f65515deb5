"""Raw-bytes gRPC handlers: one place where exceptions become statuses.

Handlers get bytes and parse inside, because under generated registration garbage is the core's INTERNAL.
Every RPC of a service has a handler: those that are not implemented name themselves in UNIMPLEMENTED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from offer_optimizer.api.refusals import CallNotServedYet
from offer_optimizer.api.status import FailureBook, to_status

Call = Callable[[bytes, grpc.ServicerContext], bytes]
NO_POOLS: Final[Mapping[str, ThreadPoolExecutor]] = {}
Guard = Callable[[Call, str], Call]
"""Wraps a call, given its name, so that only those may make it who may."""


def unguarded(call: Call, _name: str) -> Call:
    """Let everybody make every call."""
    return call


def service_handlers(
    service: ServiceDescriptor,
    calls: Mapping[str, Call],
    failures: FailureBook,
    guard: Guard = unguarded,
    pools: Mapping[str, ThreadPoolExecutor] = NO_POOLS,
) -> grpc.GenericRpcHandler:
    """Build the handlers of one service from its implemented calls, by method name, each behind `guard`.

    Calls that `pools` has, by names like OfferService.Decide, run there instead of in the server's pool.
    """
    unknown = calls.keys() - {method.name for method in service.methods}
    if unknown:
        raise ValueError(f"{service.full_name} has no {', '.join(sorted(unknown))}")
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
    for method in service.methods:
        name = f"{service.name}.{method.name}"
        call = guard(calls.get(method.name) or _not_served(name), name)
        handle = guarded(call, name, failures)
        if name in pools:
            handle.experimental_thread_pool = pools[name]  # type: ignore[attr-defined]
        handlers[method.name] = grpc.unary_unary_rpc_method_handler(handle, None, None)
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _not_served(name: str) -> Call:
    def refuse(_data: bytes, _context: grpc.ServicerContext) -> bytes:
        raise CallNotServedYet(name)

    return refuse


def guarded(call: Call, name: str, failures: FailureBook) -> Call:
    """Wrap a call so that whatever it raises ends as a status from the table, never as its own text."""

    def handle(data: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return call(data, context)
        except Exception as error:  # noqa: BLE001  (the RPC edge)
            failure = failures.describe(error, name)
        # Outside of the try: aborting works by raising.
        context.abort_with_status(to_status(failure))
        raise AssertionError("unreachable: abort raises")

    return handle
