"""The edge over a real connection: statuses, limits, overload."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from offer_optimizer.api.server import ServerOptions
from offer_optimizer.core import limits
from offer_optimizer.core.errors import InvalidCatalog, StorageUnavailable
from offer_optimizer.evaluate.errors import ReportTooLong
from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import insight_service_pb2
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.integration.served_edge import (
    CATALOGS,
    CLICKS,
    HOME,
    INSIGHTS,
    OFFERS,
    WAIT_S,
    Service,
    refusal,
)
from tests.unit.api.fakes import (
    DECISION_TEXT,
)

DECIDING = ServerOptions().deciding_threads


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
        (OFFERS, "Explain"),
        (OFFERS, "MergeVisitor"),
        (CATALOGS, "GetCatalog"),
        (CATALOGS, "ApplyCatalog"),
        (CATALOGS, "DisableOffer"),
        (INSIGHTS, "GetPlacementReport"),
        (INSIGHTS, "GetLoopHealth"),
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
    request = pb.RecordFeedbackRequest(items=[pb.Feedback(slot=1)])
    code, message, reason = refusal(lambda: service.offers.RecordFeedback(request))
    assert (code, reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED_YET")
    assert message.startswith("items[0].slot: ")


def test_inline_candidates_exclusions_and_request_id_reach_the_decision(service: Service) -> None:
    request = pb.DecideRequest(
        placement="home",
        candidates=[pb.Candidate(offer_id="x")],
        exclude_offer_ids=["y"],
        request_id="r",
    )
    service.offers.Decide(request, timeout=WAIT_S)
    (asked,) = service.decisions.asked
    assert [candidate.offer_id for candidate in asked.candidates] == ["x"]
    assert (asked.exclude_offer_ids, asked.request_id) == (("y",), "r")


def test_a_story_is_told_and_an_unknown_one_is_not_found(service: Service) -> None:
    told = service.offers.Explain(pb.ExplainRequest(decision_id=DECISION_TEXT), timeout=WAIT_S)
    assert "explored, p = 0.04" in told.summary
    other = pb.ExplainRequest(decision_id="0192f0a1-b2c3-7def-8123-000000000000")
    code, _, reason = refusal(lambda: service.offers.Explain(other))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


def test_visitors_are_merged_and_what_can_not_be_merged_is_refused(service: Service) -> None:
    request = pb.MergeVisitorRequest(from_visitor_id="a", into_visitor_id="b")
    service.offers.MergeVisitor(request, timeout=WAIT_S)
    assert service.fakes.visitors.merged == [("a", "b")]
    code, message, reason = refusal(lambda: service.offers.MergeVisitor(pb.MergeVisitorRequest()))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert message == "from_visitor_id: is required and empty"


def test_an_offer_that_nobody_knows_can_not_be_disabled(service: Service) -> None:
    request = catalog_pb.DisableOfferRequest(offer_id="nobody")
    assert refusal(lambda: service.catalogs.DisableOffer(request)) == (
        grpc.StatusCode.NOT_FOUND,
        "offer 'nobody' is not in the catalog, revision 3",
        "NOT_FOUND",
    )


def test_reports_under_way_hold_up_neither_decisions_nor_stories(service: Service) -> None:
    started, release = threading.Event(), threading.Event()

    def stall() -> None:
        started.set()
        release.wait(WAIT_S)
        raise ReportTooLong(1.0)

    service.fakes.reports.hook = stall
    request = insight_service_pb2.GetPlacementReportRequest(placement="home").SerializeToString()
    call: Any = service.channel.unary_unary(f"/{INSIGHTS}/GetPlacementReport")
    running = call.future(request, timeout=WAIT_S)
    assert started.wait(WAIT_S)
    code, _, reason = refusal(lambda: service.raw(INSIGHTS, "GetPlacementReport", request))
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUSY")
    for _ in range(50):
        service.offers.Decide(HOME, timeout=WAIT_S)
    assert service.offers.Explain(pb.ExplainRequest(decision_id=DECISION_TEXT), timeout=WAIT_S).text
    release.set()
    code, _, reason = refusal(running.result)
    assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "REPORT_TOO_LONG")


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
    """Feedback, an apply, a report and reflection hold all they may, on the connection that decides."""
    service = Service(ServerOptions(threads=5))
    stalled, release = threading.Semaphore(0), threading.Event()

    def stall() -> None:
        stalled.release()
        release.wait(WAIT_S)

    service.intake.hook = service.desk.hook = service.fakes.reports.hook = stall
    report: Any = service.channel.unary_unary(f"/{INSIGHTS}/GetPlacementReport")
    asked_report = insight_service_pb2.GetPlacementReportRequest(placement="home").SerializeToString()
    reporting = report.future(asked_report, timeout=WAIT_S)
    clicks = [service.offers.RecordFeedback.future(CLICKS, timeout=WAIT_S)]
    applies = [
        service.catalogs.ApplyCatalog.future(
            catalog_pb.ApplyCatalogRequest(expected_revision=3), timeout=WAIT_S
        )
    ]
    for _ in range(3):
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
    assert reporting.exception() is not None, "the fake has no figures"
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
    service = Service(ServerOptions(threads=5))
    started, release = threading.Semaphore(0), threading.Event()

    def stall(request: object) -> None:
        started.release()
        release.wait(WAIT_S)

    service.decisions.hook = stall
    running = [service.offers.Decide.future(HOME, timeout=WAIT_S) for _ in range(DECIDING)]
    for _ in range(DECIDING):
        assert started.acquire(timeout=WAIT_S)
    late = [service.offers.Decide.future(HOME, timeout=0.1) for _ in range(3)]
    for call in late:
        assert call.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    release.set()
    for call in running:
        call.result()
    service.decisions.hook = lambda _: None
    service.offers.Decide(HOME, timeout=WAIT_S)
    assert len(service.decisions.asked) == DECIDING + 1
    service.channel.close()
    service.edge.server.stop(0).wait()


def test_calls_over_the_limit_are_refused_at_once() -> None:
    service = Service(ServerOptions(threads=5, concurrent_rpcs=6, streams_per_connection=8))
    started, release = threading.Semaphore(0), threading.Event()

    def stall(request: object) -> None:
        started.release()
        release.wait(WAIT_S)

    service.decisions.hook = stall
    calls = [service.offers.Decide.future(HOME, timeout=WAIT_S) for _ in range(8)]
    for _ in range(DECIDING):
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
