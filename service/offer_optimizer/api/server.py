"""The gRPC server of one decider: options, handlers, health and reflection, put together.

The sync server, on purpose: on one core it served about twice as many empty calls as grpc.aio
(docs/design.md, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from offer_optimizer.api.admission import PoolSplit, Share, split_pool
from offer_optimizer.api.handlers import NO_POOLS, Call, Guard, service_handlers, unguarded
from offer_optimizer.api.health import HealthServicer, Readiness
from offer_optimizer.api.history import LoopHealthServicer, ReportServicer, ShadowServicer, StoryServicer
from offer_optimizer.api.privacy import PrivacyServicer
from offer_optimizer.api.queueing import PATIENCES_S, Door, WaitingPool
from offer_optimizer.api.reflection import ReflectionServicer
from offer_optimizer.api.refusals import FeedbackBusy, Overloaded
from offer_optimizer.api.servicer import CatalogServicer, InsightServicer, OfferServicer
from offer_optimizer.api.status import EdgeLog, FailureBook, to_status
from offer_optimizer.api.steering import KeptModelsServicer, SteeringServicer
from offer_optimizer.api.visitors import VisitorServicer
from offer_optimizer.core.errors import CannotStart
from offer_optimizer.decide.ports import (
    CatalogDesk,
    DecisionMaker,
    FeedbackIntake,
    ModelDesk,
    VisitorDesk,
    VisitorErasure,
)
from offer_optimizer.evaluate.ports import HealthDesk, ReportDesk, ShadowDesk, StoryDesk, VisitorHistory
from offer_optimizer.learn.ports import LearningDesk
from offer_optimizer.v1 import catalog_service_pb2, insight_service_pb2, offer_service_pb2

OFFER_SERVICE: Final = offer_service_pb2.DESCRIPTOR.services_by_name["OfferService"]
CATALOG_SERVICE: Final = catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"]
INSIGHT_SERVICE: Final = insight_service_pb2.DESCRIPTOR.services_by_name["InsightService"]
SERVICE_NAMES: Final = (OFFER_SERVICE.full_name, CATALOG_SERVICE.full_name, INSIGHT_SERVICE.full_name)

TRANSPORT_BYTES: Final = 8 * 1024 * 1024
"""Above it the core itself answers RESOURCE_EXHAUSTED without details: twice our largest limit, so that
callers who overshoot hear field and limit from us."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server runs. `streams_per_connection` and `concurrent_rpcs` bound the queue before the pool.

    Streams keep excess in the client, where it costs us nothing: refusing costs almost as much as
    deciding. `streams_per_connection` must exceed the calls that may wait on a disk, or a stalled disk
    would hold back the decisions of a connection that also carries feedback. `reuse_port` lets several
    deciders listen on one port; without it a second server on the port is an error.
    """

    threads: int = 8
    deciding_threads: int = 2
    concurrent_rpcs: int = 64
    streams_per_connection: int = 8
    reuse_port: bool = False
    reflection: bool = True
    connection_age_s: float = 300.0
    connection_age_grace_s: float = 10.0
    keepalive_s: float = 30.0
    keepalive_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        blockable = split_pool(self.threads).blockable
        if self.streams_per_connection <= blockable:
            raise ValueError(
                f"streams_per_connection: {self.streams_per_connection}, at least {blockable + 1}"
            )
        if not 1 <= self.deciding_threads <= self.threads:
            raise ValueError(f"deciding_threads: {self.deciding_threads}, 1 to {self.threads}")

    def channel_args(self) -> list[tuple[str, Any]]:
        """Return gRPC core's options."""
        return [
            ("grpc.max_receive_message_length", TRANSPORT_BYTES),
            ("grpc.max_send_message_length", TRANSPORT_BYTES),
            ("grpc.max_concurrent_streams", self.streams_per_connection),
            ("grpc.so_reuseport", int(self.reuse_port)),
            # One connection sticks to one process: ageing spreads callers over the deciders again.
            ("grpc.max_connection_age_ms", int(self.connection_age_s * 1000)),
            ("grpc.max_connection_age_grace_ms", int(self.connection_age_grace_s * 1000)),
            ("grpc.keepalive_time_ms", int(self.keepalive_s * 1000)),
            ("grpc.keepalive_timeout_ms", int(self.keepalive_timeout_s * 1000)),
            # Callers may ping every 10 s, calls or not, without being sent away.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]


@dataclass(frozen=True, slots=True)
class Ports:
    """What the edge calls, where it logs, and where it gets error ids (short, unique) and the time.

    `clock` returns microseconds since the epoch.
    """

    decisions: DecisionMaker
    intake: FeedbackIntake
    desk: CatalogDesk
    models: ModelDesk
    visitors: VisitorDesk
    erasures: VisitorErasure
    histories: VisitorHistory
    stories: StoryDesk
    reports: ReportDesk
    learning: LearningDesk
    health: HealthDesk
    shadows: ShadowDesk
    log: EdgeLog
    make_error_id: Callable[[], str]
    clock: Callable[[], int]
    guard: Guard = unguarded


@dataclass(frozen=True, slots=True)
class Edge:
    """A server that isn't bound or started yet, and its readiness, which is off."""

    server: grpc.Server
    readiness: Readiness


def build_server(ports: Ports, options: ServerOptions) -> Edge:
    """Put a server together. Then `bind` it, start it, set readiness; end it with `graceful.drain`."""
    pool = WaitingPool(options.threads)
    waiting_least = options.threads - options.deciding_threads
    deciding = WaitingPool(options.deciding_threads, least=waiting_least, name="decide")
    server = grpc.server(
        pool,
        options=options.channel_args(),
        maximum_concurrent_rpcs=options.concurrent_rpcs,
    )
    failures = FailureBook(ports.log, ports.make_error_id, ports.clock)
    offers, *others = api_handlers(ports, options, {"OfferService.Decide": deciding})
    door = Door(OFFER_SERVICE.full_name, offers, (deciding, pool), turned_away(failures))
    server.add_generic_rpc_handlers([door, *others])
    checks = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    if options.reflection:
        listed = (*SERVICE_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        share = Share("ServerReflection", split_pool(options.threads).reflection)
        mirror = ReflectionServicer(listed, share)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(mirror, server)  # type: ignore[no-untyped-call]
    return Edge(server, Readiness(SERVICE_NAMES, checks.set))


def api_handlers(
    ports: Ports, options: ServerOptions, pools: Mapping[str, ThreadPoolExecutor] = NO_POOLS
) -> list[grpc.GenericRpcHandler]:
    """Return the handlers of our services, from bytes to bytes: all of the API that needs no socket.

    Calls that `pools` has, by names like OfferService.Decide, run there instead of in the server's pool.
    """
    failures = FailureBook(ports.log, ports.make_error_id, ports.clock)
    calls = _calls(ports, split_pool(options.threads), failures)
    return [
        service_handlers(service, served, failures, ports.guard, pools) for service, served in calls.items()
    ]


def turned_away(failures: FailureBook) -> dict[str, grpc.Status]:
    """Return, by method of OfferService, what callers who come too late for the queue are told."""
    return {
        method: to_status(failures.describe(Overloaded(), f"OfferService.{method}")) for method in PATIENCES_S
    }


def _calls(ports: Ports, split: PoolSplit, failures: FailureBook) -> dict[ServiceDescriptor, dict[str, Call]]:
    """Return the served calls of every service, with the share of the pool that each may hold."""
    durable = Share("feedback and merges", split.feedback, FeedbackBusy)
    operator = Share("CatalogService and Explain", split.operator)
    report = Share("reports and GetLoopHealth", split.report)
    return {
        OFFER_SERVICE: {
            **OfferServicer(ports.decisions, ports.intake, ports.desk, durable, failures).calls(),
            **VisitorServicer(ports.visitors, durable).calls(),
            **PrivacyServicer(ports.erasures, ports.histories, operator, failures).calls(),
            **StoryServicer(ports.stories, operator).calls(),
        },
        CATALOG_SERVICE: {
            **CatalogServicer(ports.desk, operator).calls(),
            **SteeringServicer(ports.learning, operator).calls(),
        },
        INSIGHT_SERVICE: {
            **InsightServicer(ports.models).calls(),
            **KeptModelsServicer(ports.learning, operator).calls(),
            **ReportServicer(ports.reports, report).calls(),
            **LoopHealthServicer(ports.health, report).calls(),
            **ShadowServicer(ports.shadows, report).calls(),
        },
    }


def bind(server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
    """Bind `host:port` (port 0: any free one), with TLS where there are credentials; return the port.

    Raises CannotStart.
    """
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if port == 0:
        raise CannotStart(
            f"can't listen on {address}: the port is taken, or the address is not this machine's"
        )
    return port
