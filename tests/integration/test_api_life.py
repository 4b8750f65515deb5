"""The edge over a real connection: health, reflection, sharing a port, draining."""

from __future__ import annotations

import subprocess
import sys
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2

from offer_optimizer.api.graceful import drain
from offer_optimizer.api.health import LIVENESS
from offer_optimizer.api.server import SERVICE_NAMES, ServerOptions, bind, build_server
from offer_optimizer.core.errors import CannotStart
from tests.integration.served_edge import (
    HOME,
    WAIT_S,
    Service,
    health,
    health_stub,
)
from tests.unit.api.fakes import (
    DECISION_TEXT,
    FakePorts,
)


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
    service = Service(ServerOptions(threads=5))
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
import sys, time, grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
channel = grpc.insecure_channel(sys.argv[1])
def patiently(ask):
    # One stream at a time is served, and the library opens the next before the last has ended.
    while True:
        try:
            return ask()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
        time.sleep(0.05)
class Patient(ProtoReflectionDescriptorDatabase):
    def _do_one_request(self, *arguments, **options):
        return patiently(lambda: super(Patient, self)._do_one_request(*arguments, **options))
database = Patient(channel)
print(",".join(sorted(patiently(database.get_services))))
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
    ports = service.fakes.ports()
    with pytest.raises(CannotStart, match="the port is taken"):
        bind(build_server(ports, ServerOptions()).server, service.address)


def test_servers_that_share_a_port_on_purpose_both_start() -> None:
    ports = FakePorts().ports()
    first, second = (build_server(ports, ServerOptions(reuse_port=True)).server for _ in range(2))
    port = bind(first, "127.0.0.1:0")
    assert bind(second, f"127.0.0.1:{port}") == port
    first.stop(0)
    second.stop(0)


def test_draining_lets_a_running_call_end_and_takes_no_new_one(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, release, stopping = threading.Event(), threading.Event(), threading.Event()
    stop = service.edge.server.stop

    def tell_and_stop(grace_s: float | None) -> threading.Event:
        ended = stop(grace_s)
        stopping.set()
        return ended

    # Readiness goes off a moment before the server turns calls away: only this tells when it does.
    monkeypatch.setattr(service.edge.server, "stop", tell_and_stop)

    def stall(request: object) -> None:
        started.set()
        release.wait(WAIT_S)

    service.decisions.hook = stall
    running = service.offers.Decide.future(HOME, timeout=WAIT_S)
    assert started.wait(WAIT_S)
    draining = threading.Thread(target=drain, args=(service.edge, WAIT_S))
    draining.start()
    assert stopping.wait(WAIT_S)
    assert not service.edge.readiness.ready
    assert draining.is_alive()
    # Which code the caller sees depends on the race with the closing connection: CANCELLED is one of them.
    with pytest.raises(grpc.RpcError):
        service.offers.Decide(HOME, timeout=1.0)
    release.set()
    assert running.result().decision_id == DECISION_TEXT
    draining.join(WAIT_S)
    assert not draining.is_alive()
    assert len(service.decisions.asked) == 1
