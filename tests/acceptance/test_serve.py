"""The service as an operator and a backend engineer meet it: real processes, real sockets."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import catalog_service_pb2_grpc as catalog_rpc
from offer_optimizer.v1 import offer_service_pb2 as pb
from offer_optimizer.v1 import offer_service_pb2_grpc as rpc
from tests.conftest import REPOSITORY
from tests.running_service import RunningService

EXAMPLE = REPOSITORY / "examples" / "catalog.yaml"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One running service with the example catalog and two deciders."""
    running = RunningService(tmp_path_factory.mktemp("serve") / "data", EXAMPLE)
    try:
        running.start()
        yield running
    finally:
        running.end()


def run_python(code: str, *arguments: str) -> str:
    """Run a script in another process and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_raw_stub_in_another_process_gets_a_decision(service: RunningService) -> None:
    """No client library of ours, only generated code."""
    printed = run_python(
        """
        import sys, grpc
        from offer_optimizer.v1 import offer_service_pb2 as pb, offer_service_pb2_grpc as rpc
        with grpc.insecure_channel(sys.argv[1]) as channel:
            # Without an id a visitor is in neither arm of the holdout.
            request = pb.DecideRequest(placement="home-hero")
            reply = rpc.OfferServiceStub(channel).Decide(request, timeout=5)
        print(len(reply.decision_id), len(reply.slots), reply.slots[0].propensity > 0, reply.reason)
        """,
        service.target,
    )
    assert printed.split() == ["36", "1", "True", "1"]


def test_a_health_probe_in_another_process_says_serving(service: RunningService) -> None:
    """For the server as a whole and for each service; the command line agrees."""
    printed = run_python(
        """
        import sys, grpc
        from grpc_health.v1 import health_pb2 as pb, health_pb2_grpc as rpc
        with grpc.insecure_channel(sys.argv[1]) as channel:
            stub = rpc.HealthStub(channel)
            for name in ("", "offer_optimizer.v1.OfferService", "liveness"):
                reply = stub.Check(pb.HealthCheckRequest(service=name), timeout=5)
                print(pb.HealthCheckResponse.ServingStatus.Name(reply.status))
        """,
        service.target,
    )
    assert printed.split() == ["SERVING"] * 3
    assert service.run_command("health", "--target", service.target).returncode == 0


def test_reflection_lists_the_services_and_describes_decide(service: RunningService) -> None:
    """From another process, as grpcurl would ask."""
    printed = run_python(
        """
        import json, sys, grpc
        from google.protobuf.descriptor_pool import DescriptorPool
        from grpc_reflection.v1alpha import proto_reflection_descriptor_database as reflected
        # The reflection client sets neither a deadline nor wait_for_ready: a retry policy does as well.
        retry = {"maxAttempts": 4, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2,
                 "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]}
        config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": retry}]})
        with grpc.insecure_channel(sys.argv[1], [("grpc.service_config", config)]) as channel:
            database = reflected.ProtoReflectionDescriptorDatabase(channel)
            print(*sorted(database.get_services()))
            found = DescriptorPool(database).FindServiceByName("offer_optimizer.v1.OfferService")
            print(found.FindMethodByName("Decide").input_type.full_name)
        """,
        service.target,
    )
    names, described = printed.splitlines()
    assert {
        "offer_optimizer.v1.OfferService",
        "offer_optimizer.v1.CatalogService",
        "grpc.health.v1.Health",
    } <= set(names.split())
    assert described == "offer_optimizer.v1.DecideRequest"


def decide_error(service: RunningService, request: pb.DecideRequest) -> grpc.RpcError:
    """Return the error that a Decide meets."""
    with grpc.insecure_channel(service.target) as channel, pytest.raises(grpc.RpcError) as caught:
        rpc.OfferServiceStub(channel).Decide(request, timeout=5)
    return caught.value


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (pb.DecideRequest(placement="nowhere"), grpc.StatusCode.NOT_FOUND, ("placement", "nowhere")),
        (
            pb.DecideRequest(placement="home-hero", context=pb.Features(numbers={"n": float("nan")})),
            grpc.StatusCode.INVALID_ARGUMENT,
            ("context.numbers", "finite"),
        ),
        (
            pb.DecideRequest(placement="home-hero", context=pb.Features(numbers={"n": float("inf")})),
            grpc.StatusCode.INVALID_ARGUMENT,
            ("context.numbers", "finite"),
        ),
        (
            pb.DecideRequest(
                placement="home-hero", context=pb.Features(numbers={f"n{i}": 1.0 for i in range(10_000)})
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            ("context", "10000", "200"),
        ),
        (
            pb.DecideRequest(placement="home-hero", context=pb.Features(categories={"n": "x" * (5 << 20)})),
            grpc.StatusCode.INVALID_ARGUMENT,
            ("262144",),
        ),
    ],
    ids=["unknown placement", "nan", "infinity", "10,000 features", "5 MiB"],
)
def test_bad_input_is_refused_with_field_and_limit(
    service: RunningService, request_: pb.DecideRequest, code: grpc.StatusCode, words: tuple[str, ...]
) -> None:
    """The status comes from the one table and the message says what, where and the limit."""
    error = decide_error(service, request_)
    assert error.code() is code
    for word in words:
        assert word in str(error.details())


def test_a_field_that_is_not_served_yet_is_named(service: RunningService) -> None:
    """Never silently ignored."""
    item = pb.Feedback(
        feedback_id="f", visitor_placement=pb.VisitorPlacement(visitor_id="v", placement="home-hero")
    )
    item.kind, item.slot = "click", 1
    with grpc.insecure_channel(service.target) as channel, pytest.raises(grpc.RpcError) as caught:
        rpc.OfferServiceStub(channel).RecordFeedback(pb.RecordFeedbackRequest(items=[item]), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "items[0].slot" in str(caught.value.details())


def test_newlines_and_pipes_in_names_are_only_names(service: RunningService) -> None:
    """They decide like any other text; nothing is injected."""
    hostile = pb.Features(categories={"a|b\n0:-1:1 |x": "shared |\n", "c:d": "e f"}, numbers={"g\n|h": 1.0})
    with grpc.insecure_channel(service.target) as channel:
        reply = rpc.OfferServiceStub(channel).Decide(
            pb.DecideRequest(placement="home-hero", context=hostile), timeout=5
        )
    assert reply.reason == pb.DECISION_REASON_MODEL
    assert len(reply.slots) == 1


def decide_within(stub: rpc.OfferServiceStub, request: pb.DecideRequest, limit_s: float) -> pb.DecideResponse:
    """Ask until the deciders know the placement."""
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            reply: pb.DecideResponse = stub.Decide(request, timeout=5)
        except grpc.RpcError:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        else:
            return reply


def test_a_placement_whose_offers_are_all_paused_answers_without_slots(service: RunningService) -> None:
    """Zero eligible offers is an answer, not an error; deciders switch within a second of the apply."""
    with grpc.insecure_channel(service.target) as channel:
        desk = catalog_rpc.CatalogServiceStub(channel)
        current = desk.GetCatalog(catalog_pb.GetCatalogRequest(), timeout=5)
        document = current.document.replace(
            "\nplacements:",
            "\n  - {id: asleep, type: MESSAGE, status: PAUSED}\n"
            "\nplacements:\n  - {id: empty, offers: [asleep]}",
            1,
        )
        applied = desk.ApplyCatalog(
            catalog_pb.ApplyCatalogRequest(document=document, expected_revision=current.revision), timeout=5
        )
        assert applied.revision == current.revision + 1
        assert "placement empty: added" in applied.changes
        stub = rpc.OfferServiceStub(channel)
        reply = decide_within(stub, pb.DecideRequest(placement="empty"), 1.0)
        assert (reply.reason, len(reply.slots)) == (pb.DECISION_REASON_NO_ELIGIBLE_OFFER, 0)
        stale = catalog_pb.ApplyCatalogRequest(document=document + "\n", expected_revision=current.revision)
        with pytest.raises(grpc.RpcError) as caught:
            desk.ApplyCatalog(stale, timeout=5)
        assert caught.value.code() is grpc.StatusCode.ABORTED
        broken = catalog_pb.ApplyCatalogRequest(document="offers: [", expected_revision=applied.revision)
        with pytest.raises(grpc.RpcError) as caught:
            desk.ApplyCatalog(broken, timeout=5)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "line" in str(caught.value.details())


def test_a_second_server_on_the_same_directory_or_port_refuses_plainly(
    service: RunningService, tmp_path: Path
) -> None:
    """One line that says what to do, exit status 1, and the first server is untouched."""
    same_directory = service.run_command(
        "serve", "--data", str(service.directory), "--catalog", str(EXAMPLE), "--listen", "127.0.0.1:0"
    )
    assert same_directory.returncode == 1
    assert "in use by another server" in same_directory.stderr
    same_port = service.run_command(
        "serve", "--data", str(tmp_path / "other"), "--catalog", str(EXAMPLE), "--listen", service.target
    )
    assert same_port.returncode == 1
    assert "another program listens there" in same_port.stderr
    for refused in (same_directory, same_port):
        assert "Traceback" not in refused.stderr
    assert service.run_command("health", "--target", service.target).returncode == 0


def test_an_address_beyond_loopback_is_refused_without_the_flag(
    service: RunningService, tmp_path: Path
) -> None:
    """The message says why and how."""
    refused = service.run_command(
        "serve", "--data", str(tmp_path / "d"), "--catalog", str(EXAMPLE), "--listen", "0.0.0.0:0"
    )
    assert refused.returncode == 1
    assert "--insecure-listen" in refused.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "can't be read"), (b"\xff\xfe\x00", "can't be read"), (b"offers: [{id: 1}]", "line 1")],
    ids=["missing", "not text", "invalid"],
)
def test_an_unreadable_catalog_stops_the_start_with_its_reason(
    service: RunningService, tmp_path: Path, content: bytes | None, words: str
) -> None:
    """Nothing is started and nothing is seeded."""
    path = tmp_path / "catalog.yaml"
    if content is not None:
        path.write_bytes(content)
    refused = service.run_command(
        "serve", "--data", str(tmp_path / "d"), "--catalog", str(path), "--listen", "127.0.0.1:0"
    )
    assert refused.returncode == 1
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


@dataclass(frozen=True, slots=True)
class Lives:
    """What was seen of a data directory that was served three times, each time drained by SIGTERM.

    The second life was given another catalog file, the third one the flag that applies it as well.
    """

    directory: Path
    revisions: list[int]
    answered: set[str]
    counted: int
    log: str


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Lives:
    """Three lives with one decider; the first answers fifty decisions and ends at once."""
    folder = tmp_path_factory.mktemp("lives")
    first, second = folder / "first.yaml", folder / "second.yaml"
    placements = "placements: [{id: p, offers: [a], policy: uniform}]\n"
    first.write_text("offers: [{id: a, type: MESSAGE}]\n" + placements)
    second.write_text("offers: [{id: a, type: MESSAGE, status: PAUSED}]\n" + placements)
    revisions: list[int] = []
    answered: set[str] = set()
    counted = 0
    for path, extra in ((first, ()), (second, ()), (second, ("--apply-catalog",))):
        running = RunningService(folder / "data", path, workers=1, extra=extra)
        try:
            running.start()
            with grpc.insecure_channel(running.target) as channel:
                desk = catalog_rpc.CatalogServiceStub(channel)
                revisions.append(desk.GetCatalog(catalog_pb.GetCatalogRequest(), timeout=5).revision)
                stub = rpc.OfferServiceStub(channel)
                if not answered:
                    answered |= {
                        stub.Decide(pb.DecideRequest(placement="p"), timeout=5).decision_id for _ in range(50)
                    }
            if len(revisions) == 2:
                counted = decisions_within(running.directory, len(answered), 10.0)
            assert running.stop() == 0
        finally:
            running.end()
    return Lives(folder / "data", revisions, answered, counted, (folder / "serve.log").read_text())


def decisions_within(directory: Path, wanted: int, limit_s: float) -> int:
    """Return how many decisions the ledger has, once it has so many or at the end of the time."""
    deadline_s = time.monotonic() + limit_s
    while True:
        ledger = Ledger.open_for_reading(DataDirectory(directory).ledger_path)
        (count,) = ledger.connection.execute("SELECT COUNT(*) FROM decision_position").fetchone()
        ledger.connection.close()
        if count >= wanted or time.monotonic() > deadline_s:
            return int(count)
        time.sleep(0.05)


def test_another_catalog_file_is_shown_and_changes_nothing_without_the_flag(lives: Lives) -> None:
    """The diff is printed; `--apply-catalog` puts it in force."""
    assert lives.revisions == [1, 1, 2]
    assert "offer a: status LIVE -> PAUSED" in lives.log


def test_stopping_loses_nothing_and_the_ledger_has_it_all(lives: Lives) -> None:
    """SIGTERM drains; what the journal still holds is taken at the next start."""
    assert lives.counted == len(lives.answered) == 50
    assert decisions_within(lives.directory, 51, 0.0) == 50


def test_a_data_directory_that_lost_its_secret_is_refused(service: RunningService, lives: Lives) -> None:
    """A new secret would cut every visitor from their past."""
    secret = DataDirectory(lives.directory).secret_path
    kept = secret.read_bytes()
    secret.unlink()
    try:
        refused = service.run_command("serve", "--data", str(lives.directory), "--listen", "127.0.0.1:0")
    finally:
        secret.write_bytes(kept)
    assert refused.returncode == 1
    assert "secret is missing" in refused.stderr
