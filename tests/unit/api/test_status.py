"""Every error has one status; nothing internal reaches a caller, and nothing of a visitor reaches the log."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from offer_optimizer.api import refusals, status
from offer_optimizer.core import errors
from offer_optimizer.evaluate.errors import HistoryUnreadable, ReportTooLong
from tests.unit.api.fakes import FakeLog, error_id


def book() -> tuple[status.FailureBook, FakeLog]:
    log = FakeLog()
    return status.FailureBook(log, error_id, lambda: 0), log


def descendants(error_class: type[Exception]) -> Iterator[type[Exception]]:
    yield error_class
    for child in error_class.__subclasses__():
        yield from descendants(child)


def test_every_class_of_core_errors_has_a_row_of_its_own() -> None:
    ours = {found for found in descendants(errors.OfferOptimizerError) if found.__module__ == errors.__name__}
    assert len(ours) >= 12
    assert ours <= set(status.TABLE)


def test_every_error_class_of_the_package_finds_a_row_that_is_not_the_last_resort() -> None:
    for found in descendants(errors.OfferOptimizerError):
        if found is not errors.OfferOptimizerError and found.__module__.startswith("offer_optimizer."):
            assert any(ancestor in status.TABLE for ancestor in found.__mro__[:-3]), found


def test_a_class_without_a_row_takes_its_parents() -> None:
    assert status.row_of(refusals.CallNotServedYet).reason is status.ErrorReason.NOT_SERVED_YET
    assert status.row_of(ZeroDivisionError).code is grpc.StatusCode.INTERNAL


def test_only_storage_is_unavailable_because_only_there_a_retry_is_right() -> None:
    unavailable = {found for found, row in status.TABLE.items() if row.code is grpc.StatusCode.UNAVAILABLE}
    assert unavailable == {errors.StorageUnavailable, errors.CacheUnready, HistoryUnreadable}


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (errors.InvalidInput("a.b", "bad"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        (errors.UnknownPlacement("placement", "unknown"), grpc.StatusCode.NOT_FOUND, "UNKNOWN_PLACEMENT"),
        (errors.NotServedYet("request_id"), grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED_YET"),
        (errors.RevisionConflict(1, 2), grpc.StatusCode.ABORTED, "REVISION_CONFLICT"),
        (refusals.FeedbackBusy("x", 2), grpc.StatusCode.RESOURCE_EXHAUSTED, "FEEDBACK_BUSY"),
        (refusals.TooLate("x"), grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_PASSED"),
        (ReportTooLong(1.0), grpc.StatusCode.DEADLINE_EXCEEDED, "REPORT_TOO_LONG"),
    ],
)
def test_a_failure_has_the_text_of_its_error_and_is_not_logged(
    error: Exception, code: grpc.StatusCode, reason: str
) -> None:
    failures, log = book()
    failure = failures.describe(error, "OfferService.Decide")
    assert (failure.code, failure.reason, failure.message) == (code, reason, str(error))
    assert log.events == []


def test_the_field_travels_in_the_metadata() -> None:
    failures, _ = book()
    assert failures.describe(errors.InvalidInput("a.b", "bad"), "X").metadata == {"field": "a.b"}


@pytest.mark.parametrize(
    "error",
    [KeyError("visitor-17"), errors.PolicyFault("visitor-17"), errors.OfferOptimizerError("visitor-17")],
)
def test_a_fault_of_ours_says_an_id_outside_and_class_and_place_inside(error: Exception) -> None:
    failures, log = book()
    try:
        raise error
    except Exception as raised:  # noqa: BLE001
        failure = failures.describe(raised, "OfferService.Decide")
    assert (failure.code, failure.metadata) == (grpc.StatusCode.INTERNAL, {"error_id": "e-1"})
    assert failure.message == "internal error e-1; the service's log has it under this id"
    ((event, fields),) = log.events
    assert (event, fields["error_id"], fields["error_class"]) == ("rpc_failed", "e-1", type(error).__name__)
    assert "test_status.py" in str(fields["frames"])
    assert "visitor-17" not in str(fields)


def test_a_path_of_ours_is_logged_but_never_sent() -> None:
    failures, log = book()
    assert "secret" not in failures.describe(errors.DamagedFile("/secret/x", "bad"), "X").message
    assert log.events[0][1]["path"] == "/secret/x"
    assert "/secret" not in failures.describe(errors.StorageUnavailable("/secret/x: EIO"), "X").message
    assert "/secret" not in failures.describe(HistoryUnreadable("/secret/x: EIO"), "X").message


def test_the_status_carries_an_error_info() -> None:
    failures, _ = book()
    wire = status.to_status(failures.describe(errors.InvalidInput("a.b", "bad"), "X"))
    (trailer,) = wire.trailing_metadata
    sent = status_pb2.Status.FromString(trailer[1])
    info = error_details_pb2.ErrorInfo()
    assert sent.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "INVALID_FIELD",
        "offer_optimizer",
        {"field": "a.b"},
    )
    assert (wire.code, wire.details) == (grpc.StatusCode.INVALID_ARGUMENT, "a.b: bad")


def test_a_long_list_of_problems_is_cut_at_a_line_and_says_how_many_are_missing() -> None:
    text = "\n".join(f"line {number}: wrong" for number in range(500))
    cut = status.shorten(text)
    assert len(cut.encode()) <= status.MESSAGE_BYTES
    kept = cut.splitlines()[:-1]
    assert text.splitlines()[: len(kept)] == kept
    assert cut.endswith(f"and {500 - len(kept)} more lines")


@pytest.mark.parametrize("size", [1500, 1501, 100_000])
def test_text_is_cut_at_the_limit_in_bytes(size: int) -> None:
    text = "x" * size
    cut = status.shorten(text)
    assert len(cut) <= 1500
    assert (cut == text) is (size <= 1500)
