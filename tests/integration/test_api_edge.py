"""The edge over a real connection: statuses, limits, overload, health, reflection, draining."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from offer_optimizer.api.graceful import drain
from offer_optimizer.api.health import LIVENESS
from offer_optimizer.api.server import SERVICE_NAMES, Edge, Ports, ServerOptions, bind, build_server
from offer_optimizer.core import limits
from offer_optimizer.core.errors import CannotStart, InvalidCatalog, StorageUnavailable
from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import catalog_service_pb2_grpc, insight_service_pb2, offer_service_pb2_grpc
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.unit.api.fakes import (
    DECISION_TEXT,
    FakeDecisions,
    FakeDesk,
    FakeIntake,
    FakeLog,
    FakeModels,
    error_id,
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
        self.decisions, self.intake, self.desk, self.log = (
            FakeDecisions(),
            FakeIntake(),
            FakeDesk(),
            FakeLog(),
        )
        ports = Ports(self.decisions, self.intake, self.desk, FakeModels(), self.log, error_id)
        self.edge: Edge = build_server(ports, options)
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


@pytest.fixture
def service() -> Iterator[Service]:
    served = Service(ServerOptions())
    yield served
    served.channel.close()
    served.edge.server.stop(0).wait()


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


def test_a_generated_stub_gets_decisions_and_gives_feedback(service: Service) -> None:
    assert service.offers.Decide(HOME, timeout=WAIT_S).decision_id == DECISION_TEXT
    assert service.offers.Decide(HOME).decision_id == DECISION_TEXT, "without a deadline"
    batch = service.offers.BatchDecide(pb.BatchDecideRequest(requests=[HOME, HOME]), timeout=WAIT_S)
    assert len(batch.results) == 2
    results = service.offers.RecordFeedback(CLICKS, timeout=WAIT_S).results
    assert results[0].status == pb.FEEDBACK_STATUS_ACCEPTED
    assert service.catalogs.GetCatalog(catalog_pb.GetCatalogRequest(), timeout=WAIT_S).revision == 3
    change = service.catalogs.ApplyCatalog(
        catalog_pb.ApplyCatalogRequest(expected_revision=3), timeout=WAIT_S
    )
    assert change.revision == 4


@pytest.mark.parametrize(
    ("name", "method"),
    [
        (OFFERS, "Decide"),
        (OFFERS, "BatchDecide"),
        (OFFERS, "RecordFeedback"),
        (CATALOGS, "GetCatalog"),
        (CATALOGS, "ApplyCatalog"),
    ],
)
def test_garbage_is_the_callers_error(service: Service, name: str, method: str) -> None:
    code, message, reason = refusal(lambda: service.raw(name, method, b"\xff\xfe\xfd"))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNREADABLE_REQUEST")
    assert message.endswith("the bytes are not such a message")


@pytest.mark.parametrize(
    ("name", "method", "limit"),
    [
        (OFFERS, "Decide", limits.MESSAGE_BYTES),
        (OFFERS, "BatchDecide", limits.BATCH_BYTES),
        (OFFERS, "RecordFeedback", limits.BATCH_BYTES),
        (CATALOGS, "ApplyCatalog", limits.BATCH_BYTES),
    ],
)
def test_five_mebibytes_are_refused_with_the_limit(
    service: Service, name: str, method: str, limit: int
) -> None:
    size = 5 * 1024 * 1024
    code, message, reason = refusal(lambda: service.raw(name, method, b"x" * size))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_TOO_LARGE")
    assert message.endswith(f"{size} bytes, at most {limit}")


def test_ten_thousand_features_are_refused_with_the_limit(service: Service) -> None:
    request = pb.DecideRequest(placement="home")
    for index in range(10_000):
        request.context.numbers[f"f{index}"] = 1.0
    assert refusal(lambda: service.offers.Decide(request)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "context: 10000 features, at most 200",
        "INVALID_FIELD",
    )


def test_an_unknown_placement_is_not_found(service: Service) -> None:
    code, message, reason = refusal(lambda: service.offers.Decide(pb.DecideRequest(placement="at\ntic")))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_PLACEMENT")
    assert message == "placement: 'at\\ntic' is not in the catalog"


def test_a_field_that_is_not_served_is_named(service: Service) -> None:
    request = pb.DecideRequest(placement="home", candidates=[pb.Candidate(offer_id="x")])
    code, message, reason = refusal(lambda: service.offers.Decide(request))
    assert (code, reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED_YET")
    assert message.startswith("candidates: ")


@pytest.mark.parametrize(
    ("name", "method"),
    [
        (OFFERS, "Explain"),
        (OFFERS, "MergeVisitor"),
        (OFFERS, "EraseVisitor"),
        (OFFERS, "ExportVisitor"),
        (CATALOGS, "DisableOffer"),
        (CATALOGS, "SetLearning"),
        (CATALOGS, "RollBackModel"),
        *[
            (INSIGHTS, method.name)
            for method in insight_service_pb2.DESCRIPTOR.services_by_name["InsightService"].methods
            if method.name != "GetModel"
        ],
    ],
)
def test_an_rpc_that_is_not_served_is_named(service: Service, name: str, method: str) -> None:
    code, message, reason = refusal(lambda: service.raw(name, method, b""))
    assert (code, reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED_YET")
    assert message.startswith(f"{name.rpartition('.')[2]}.{method}: ")


def test_the_model_that_a_placement_serves_is_told(service: Service) -> None:
    request = insight_service_pb2.GetModelRequest(placement="home").SerializeToString()
    reply = insight_service_pb2.GetModelResponse.FromString(service.raw(INSIGHTS, "GetModel", request))
    assert (reply.policy, reply.model_version, reply.learned_count) == ("vw", f"{bytes(16).hex()}:7", 41)
    code, _, reason = refusal(lambda: service.raw(INSIGHTS, "GetModel", b""))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_PLACEMENT")


def test_a_fault_tells_the_caller_an_id_and_nothing_else(service: Service) -> None:
    def fail(request: object) -> None:
        raise KeyError("visitor-17")

    service.decisions.hook = fail
    code, message, reason = refusal(lambda: service.offers.Decide(HOME))
    assert (code, reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert message == "internal error e-1; the service's log has it under this id"
    assert "visitor-17" not in str(service.log.events)


def test_a_catalog_with_hundreds_of_defects_gets_a_whole_status(service: Service) -> None:
    """Trailers over 8 KiB would be dropped on the caller's side, details and all."""

    def fail() -> None:
        raise InvalidCatalog(tuple(f"line {number}: «{'é' * 30}» ist falsch" for number in range(500)))

    service.desk.hook = fail
    for _ in range(20):  # between the soft and the hard limit peers drop at random
        code, message, reason = refusal(
            lambda: service.catalogs.ApplyCatalog(catalog_pb.ApplyCatalogRequest())
        )
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_CATALOG")
        assert message.endswith(" more lines")


def test_somebody_elses_revision_aborts(service: Service) -> None:
    request = catalog_pb.ApplyCatalogRequest(expected_revision=2)
    assert refusal(lambda: service.catalogs.ApplyCatalog(request)) == (
        grpc.StatusCode.ABORTED,
        "expected_revision: 2, but revision 3 is in force",
        "REVISION_CONFLICT",
    )


def test_a_disk_that_does_not_take_feedback_is_unavailable(service: Service) -> None:
    def fail() -> None:
        raise StorageUnavailable("disk full")

    service.intake.hook = fail
    code, _, reason = refusal(lambda: service.offers.RecordFeedback(CLICKS))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")


def test_a_stalled_disk_fails_no_decision() -> None:
    """Feedback, an apply and a reflection stream hold all they may, on the very connection that decides."""
    service = Service(ServerOptions(threads=4))
    stalled, release = threading.Semaphore(0), threading.Event()

    def stall() -> None:
        stalled.release()
        release.wait(WAIT_S)

    service.intake.hook = service.desk.hook = stall
    clicks = [service.offers.RecordFeedback.future(CLICKS, timeout=WAIT_S)]
    applies = [
        service.catalogs.ApplyCatalog.future(
            catalog_pb.ApplyCatalogRequest(expected_revision=3), timeout=WAIT_S
        )
    ]
    for _ in range(2):
        assert stalled.acquire(timeout=WAIT_S)
    asked: Iterator[reflection_pb2.ServerReflectionRequest] = iter(lambda: _wait(release), None)
    mirror: Any = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    stream = mirror.ServerReflectionInfo(asked, timeout=WAIT_S)
    while list_is_served(mirror):
        time.sleep(0.01)

    for _ in range(100):
        service.offers.Decide(HOME, timeout=WAIT_S)
    code, _, reason = refusal(lambda: service.offers.RecordFeedback(CLICKS, timeout=WAIT_S))
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "FEEDBACK_BUSY")
    assert not clicks[0].done()

    release.set()
    assert clicks[0].result().results[0].status == pb.FEEDBACK_STATUS_ACCEPTED
    assert applies[0].result().revision == 4
    stream.cancel()
    service.intake.hook = lambda: None
    assert service.offers.RecordFeedback(CLICKS, timeout=WAIT_S).results
    service.channel.close()
    service.edge.server.stop(0).wait()


def list_is_served(mirror: Any) -> bool:  # noqa: ANN401  (as above)
    """Return whether one more reflection stream, without a request in it, is let in."""
    try:
        list(mirror.ServerReflectionInfo(iter(()), timeout=WAIT_S))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017
        return False
    return True


def _wait(release: threading.Event) -> None:
    """End the request stream when released: until then the server's thread waits for a request."""
    release.wait(WAIT_S)


def test_work_that_is_late_when_its_turn_comes_is_not_done() -> None:
    service = Service(ServerOptions(threads=4))
    started, release = threading.Semaphore(0), threading.Event()

    def stall(request: object) -> None:
        started.release()
        release.wait(WAIT_S)

    service.decisions.hook = stall
    running = [service.offers.Decide.future(HOME, timeout=WAIT_S) for _ in range(4)]
    for _ in range(4):
        assert started.acquire(timeout=WAIT_S)
    late = [service.offers.Decide.future(HOME, timeout=0.1) for _ in range(3)]
    for call in late:
        assert call.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    release.set()
    for call in running:
        call.result()
    service.decisions.hook = lambda _: None
    service.offers.Decide(HOME, timeout=WAIT_S)
    assert len(service.decisions.asked) == 4 + 1
    service.channel.close()
    service.edge.server.stop(0).wait()


def test_calls_over_the_limit_are_refused_at_once() -> None:
    service = Service(ServerOptions(threads=4, concurrent_rpcs=6, streams_per_connection=8))
    started, release = threading.Semaphore(0), threading.Event()

    def stall(request: object) -> None:
        started.release()
        release.wait(WAIT_S)

    service.decisions.hook = stall
    calls = [service.offers.Decide.future(HOME, timeout=WAIT_S) for _ in range(8)]
    for _ in range(4):
        assert started.acquire(timeout=WAIT_S)
    with ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(call.exception) for call in calls]
        deadline = time.monotonic() + WAIT_S
        while sum(wait.done() for wait in waits) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        refused = [wait.result().code() for wait in waits if wait.done()]
        release.set()
        codes = [error.code() if error else None for error in (wait.result() for wait in waits)]
    assert refused == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2
    assert codes.count(None) == 6
    service.channel.close()
    service.edge.server.stop(0).wait()


def test_readiness_is_told_for_every_service_and_liveness_apart(service: Service) -> None:
    for name in ("", *SERVICE_NAMES):
        assert health(service.channel, name) == "SERVING"
    service.edge.readiness.set(False)
    for name in ("", *SERVICE_NAMES):
        assert health(service.channel, name) == "NOT_SERVING"
    assert health(service.channel, LIVENESS) == "SERVING"
    with pytest.raises(grpc.RpcError) as caught:
        health(service.channel, "nobody")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_watchers_hold_no_thread_and_are_limited() -> None:
    service = Service(ServerOptions(threads=4))
    channels = [service.connect() for _ in range(9)]
    watches = []
    for channel in channels[:8]:
        watch = health_stub(channel).Watch(health_pb2.HealthCheckRequest(service=""), timeout=WAIT_S)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watches.append(watch)
    ninth = health_stub(channels[8]).Watch(health_pb2.HealthCheckRequest(service=""), timeout=WAIT_S)
    with pytest.raises(grpc.RpcError) as caught:
        next(ninth)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert service.offers.Decide(HOME, timeout=WAIT_S).decision_id
    service.edge.readiness.set(False)
    assert next(watches[0]).status == health_pb2.HealthCheckResponse.NOT_SERVING
    for channel in (*channels, service.channel):
        channel.close()
    service.edge.server.stop(0).wait()


PROBE = """
import sys, grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
channel = grpc.insecure_channel(sys.argv[1])
database = ProtoReflectionDescriptorDatabase(channel)
print(",".join(sorted(database.get_services())))
pool = DescriptorPool(database)
decide = pool.FindServiceByName("offer_optimizer.v1.OfferService").FindMethodByName("Decide")
print(",".join(field.name for field in decide.input_type.fields))
print(health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20).status)
"""


def test_another_process_lists_the_services_by_reflection_and_probes_health(service: Service) -> None:
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, service.address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert probe.returncode == 0, probe.stderr
    services, fields, status = probe.stdout.splitlines()
    assert set(services.split(",")) == {
        *SERVICE_NAMES,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert fields == "placement,visitor,context,candidates,exclude_offer_ids,deferred,request_id"
    assert status == "1"


def test_a_second_server_on_the_port_does_not_start(service: Service) -> None:
    ports = Ports(service.decisions, service.intake, service.desk, FakeModels(), service.log, error_id)
    with pytest.raises(CannotStart, match="the port is taken"):
        bind(build_server(ports, ServerOptions()).server, service.address)


def test_servers_that_share_a_port_on_purpose_both_start() -> None:
    ports = Ports(FakeDecisions(), FakeIntake(), FakeDesk(), FakeModels(), FakeLog(), error_id)
    first, second = (build_server(ports, ServerOptions(reuse_port=True)).server for _ in range(2))
    port = bind(first, "127.0.0.1:0")
    assert bind(second, f"127.0.0.1:{port}") == port
    first.stop(0)
    second.stop(0)


def test_draining_lets_a_running_call_end_and_takes_no_new_one(service: Service) -> None:
    started, release = threading.Event(), threading.Event()

    def stall(request: object) -> None:
        started.set()
        release.wait(WAIT_S)

    service.decisions.hook = stall
    running = service.offers.Decide.future(HOME, timeout=WAIT_S)
    assert started.wait(WAIT_S)
    draining = threading.Thread(target=drain, args=(service.edge, WAIT_S))
    draining.start()
    deadline = time.monotonic() + WAIT_S
    while service.edge.readiness.ready and time.monotonic() < deadline:
        time.sleep(0.01)
    assert draining.is_alive()
    # Which code the caller sees depends on the race with the closing connection: CANCELLED is one of them.
    with pytest.raises(grpc.RpcError):
        service.offers.Decide(HOME, timeout=1.0)
    release.set()
    assert running.result().decision_id == DECISION_TEXT
    draining.join(WAIT_S)
    assert not draining.is_alive()
    assert len(service.decisions.asked) == 1
