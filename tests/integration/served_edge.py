"""A served edge with fakes behind it, for the tests of the edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from offer_optimizer.api.server import SERVICE_NAMES, Edge, ServerOptions, bind, build_server
from offer_optimizer.v1 import catalog_service_pb2_grpc, offer_service_pb2_grpc
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.unit.api.fakes import (
    DECISION_TEXT,
    FakePorts,
)

OFFERS, CATALOGS, INSIGHTS = SERVICE_NAMES
WAIT_S = 20.0
HOME = pb.DecideRequest(placement="home")
CLICKS = pb.RecordFeedbackRequest(
    items=[pb.Feedback(feedback_id="f", kind="click", decision_id=DECISION_TEXT)]
)


class Service:
    """A served edge with fakes behind it, and a channel to it."""

    def __init__(self, options: ServerOptions) -> None:
        self.fakes = FakePorts()
        self.decisions, self.intake, self.desk, self.log = (
            self.fakes.decisions,
            self.fakes.intake,
            self.fakes.desk,
            self.fakes.log,
        )
        self.edge: Edge = build_server(self.fakes.ports(), options)
        self.address = f"127.0.0.1:{bind(self.edge.server, '127.0.0.1:0')}"
        self.edge.server.start()
        self.edge.readiness.set(True)
        self.channel = self.connect()
        self.offers = offer_service_pb2_grpc.OfferServiceStub(self.channel)
        self.catalogs = catalog_service_pb2_grpc.CatalogServiceStub(self.channel)

    def connect(self) -> grpc.Channel:
        return grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)])

    def raw(self, service: str, method: str, data: bytes) -> bytes:
        call: Any = self.channel.unary_unary(f"/{service}/{method}")
        answer: bytes = call(data, timeout=WAIT_S)
        return answer


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str, str]:
    """Return status code, text and enumerated reason of a call that has to fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    status = rpc_status.from_call(error)
    assert status is not None, caught.value
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "offer_optimizer"
    return error.code(), status.message, info.reason


def health_stub(channel: grpc.Channel) -> Any:  # noqa: ANN401  (the published stubs have no methods)
    return health_pb2_grpc.HealthStub(channel)


def health(channel: grpc.Channel, name: str) -> str:
    answer = health_stub(channel).Check(health_pb2.HealthCheckRequest(service=name), timeout=WAIT_S)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
