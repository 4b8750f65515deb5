"""Restarts under load: a client that retries loses no call, and nothing that was answered is lost."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.v1 import offer_service_pb2 as pb
from offer_optimizer.v1 import offer_service_pb2_grpc as rpc
from tests.conftest import REPOSITORY
from tests.running_service import RunningService

EXAMPLE: Final = REPOSITORY / "examples" / "catalog.yaml"
RETRYING: Final = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "waitForReady": True,
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
                },
            }
        ]
    }
)
"""What gRPC's own clients offer: retries with back-off of what the API says to retry, within the deadline.

CANCELLED is what gRPC's core tells a call that reaches a server in the instant in which it stops."""
OPTIONS: Final = (
    ("grpc.service_config", RETRYING),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
)
DEADLINE_S: Final = 20.0


class Load:
    """Four threads that decide and send feedback; `failures` should stay empty."""

    def __init__(self, target: str) -> None:
        self.decided: set[bytes] = set()
        self.recorded: set[str] = set()
        self.failures: list[str] = []
        self._target = target
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(4)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        with grpc.insecure_channel(self._target, options=OPTIONS) as channel:
            stub = rpc.OfferServiceStub(channel)
            count = 0
            while not self._stop.is_set():
                count += 1
                try:
                    reply = stub.Decide(pb.DecideRequest(placement="home-hero"), timeout=DEADLINE_S)
                    self.decided.add(uuid.UUID(reply.decision_id).bytes)
                    name = f"{number}-{count}"
                    item = pb.Feedback(feedback_id=name, decision_id=reply.decision_id, kind="click")
                    stub.RecordFeedback(pb.RecordFeedbackRequest(items=[item]), timeout=DEADLINE_S)
                    self.recorded.add(name)
                except grpc.RpcError as error:
                    self.failures.append(f"{error.code()}: {error.details()}")
                time.sleep(0.01)

    def end(self) -> None:
        """Stop, and wait for every answer."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_rolling_restart_under_load_fails_no_call_and_loses_no_answer(tmp_path: Path) -> None:
    """Each decider by its own SIGTERM while the other serves, then all: the next release on the same port."""
    service = RunningService(tmp_path / "data", EXAMPLE, workers=2)
    try:
        service.start()
        load = Load(service.target)
        try:
            time.sleep(0.5)
            for pid in [pid for pid, role in service.children().items() if role == "decider"]:
                os.kill(pid, signal.SIGTERM)
                service.wait_gone([pid], 8.0)
                wait_for_deciders(service, 2)
            answered = len(load.decided)
            assert service.stop() == 0
            service.start(service.port)
            wait_until(lambda: len(load.decided) > answered + 20)
        finally:
            load.end()
        assert load.failures == []
        assert service.stop() == 0
        service.start()
        wait_until(lambda: ledger_has(service, load))
        service.check_rebuild()
    finally:
        service.end()


def test_readiness_goes_off_before_the_first_call_is_turned_away(tmp_path: Path) -> None:
    """Whoever watches it is told while calls are still served."""
    service = RunningService(tmp_path / "data", EXAMPLE, workers=1)
    try:
        service.start()
        with grpc.insecure_channel(service.target) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest(service=""), timeout=30)
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            os.kill(service.supervisor, signal.SIGTERM)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            reply = rpc.OfferServiceStub(channel).Decide(pb.DecideRequest(placement="home-hero"), timeout=5)
            assert reply.decision_id
        assert service.stop() == 0
    finally:
        service.end()


def wait_until(is_so: object, limit_s: float = 30.0) -> None:
    """Wait for a condition; fail after `limit_s` seconds."""
    assert callable(is_so)
    deadline_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def wait_for_deciders(service: RunningService, count: int) -> None:
    """Wait until so many deciders listen."""
    port = f":{service.port:04X} "

    def listening() -> int:
        # gRPC binds addresses of IPv4 as those of IPv6 where it can.
        tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
        lines = [line for table in tables for line in table.splitlines()[1:]]
        return sum(port in line.split()[1] + " " and line.split()[3] == "0A" for line in lines)

    wait_until(lambda: listening() >= count)


def ledger_has(service: RunningService, load: Load) -> bool:
    """Return whether all that was answered is in the ledger."""
    ledger = Ledger.open_for_reading(DataDirectory(service.directory).ledger_path)
    try:
        found = {row[0] for row in ledger.connection.execute("SELECT decision_id FROM decision_position")}
        (items,) = ledger.connection.execute("SELECT COUNT(*) FROM record WHERE kind = 2").fetchone()
    finally:
        ledger.connection.close()
    return load.decided <= found and items >= len(load.recorded)
