"""What an error is on the wire: the one table from error class to status code and reason.

A class without a row of its own takes its nearest ancestor's. What has no row, or an internal one, is
answered with a fixed sentence and an error id: its own text may hold paths or a visitor's data.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from offer_optimizer.api.refusals import FeedbackBusy, RequestTooLarge, ShareBusy, TooLate, UnreadableRequest
from offer_optimizer.api.unread_log import UnreadLog, WarningLog
from offer_optimizer.core import errors
from offer_optimizer.evaluate.errors import HistoryUnreadable, ReportTooLong

DOMAIN: Final = "offer_optimizer"

MESSAGE_BYTES: Final = 1500
"""Status text. It travels twice in the trailers, percent-encoded (3 bytes for 1) and in base64 (4 for 3),
and gRPC peers drop trailers over 8 KiB: a longer text would lose the whole status."""

FIELD_BYTES: Final = 300
"""Field path in the details; paths quote at most 40 characters of a caller's name."""

INTERNAL_TEXT: Final = "internal error {error_id}; the service's log has it under this id"


class ErrorReason(StrEnum):
    """The enumerated reason of `google.rpc.ErrorInfo`. Callers switch on it: never rename one."""

    INVALID_FIELD = "INVALID_FIELD"
    """Change the named field and call again."""
    UNREADABLE_REQUEST = "UNREADABLE_REQUEST"
    """The bytes are not the message: check the generated code."""
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    """Send less at once."""
    UNKNOWN_PLACEMENT = "UNKNOWN_PLACEMENT"
    """The catalog in force has no such placement."""
    INVALID_CATALOG = "INVALID_CATALOG"
    """The document has defects; the message has a line for each."""
    NOT_SERVED_YET = "NOT_SERVED_YET"
    """Leave the named field empty, or don't call the named RPC."""
    REVISION_CONFLICT = "REVISION_CONFLICT"
    """Read the catalog again and repeat."""
    NOT_FOUND = "NOT_FOUND"
    """What was named does not exist."""
    BUSY = "BUSY"
    """Retry later, with back-off."""
    FEEDBACK_BUSY = "FEEDBACK_BUSY"
    """Feedback holds all the threads it may: retry later, with back-off."""
    DEADLINE_PASSED = "DEADLINE_PASSED"
    """The call was late before the work began; nothing was done. Of a batch: the rest; see the message."""
    REPORT_TOO_LONG = "REPORT_TOO_LONG"
    """Ask for a shorter range, or wait longer."""
    UNAUTHENTICATED = "UNAUTHENTICATED"
    """Send a key that the service knows."""
    FORBIDDEN = "FORBIDDEN"
    """The key lacks the role, or is for other placements."""
    KEY_LIMIT = "KEY_LIMIT"
    """The key calls more often than it may: slow down."""
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    """Nothing was promised: retry."""
    INTERNAL = "INTERNAL"
    """A fault of ours: look the error id up in the log."""


@dataclass(frozen=True, slots=True)
class Row:
    """Code and reason of an error class. `text` replaces the error's own; `internal` ones are logged."""

    code: grpc.StatusCode
    reason: ErrorReason
    text: str | None = None
    internal: bool = False


_OURS: Final = Row(grpc.StatusCode.INTERNAL, ErrorReason.INTERNAL, INTERNAL_TEXT, internal=True)

TABLE: Final[Mapping[type[errors.OfferOptimizerError], Row]] = {
    errors.OfferOptimizerError: _OURS,
    errors.InvalidInput: Row(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.INVALID_FIELD),
    UnreadableRequest: Row(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.UNREADABLE_REQUEST),
    RequestTooLarge: Row(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.REQUEST_TOO_LARGE),
    # It depends on the catalog in force, and INVALID_ARGUMENT means wrong whatever the state.
    errors.UnknownPlacement: Row(grpc.StatusCode.NOT_FOUND, ErrorReason.UNKNOWN_PLACEMENT),
    errors.InvalidCatalog: Row(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.INVALID_CATALOG),
    errors.NotServedYet: Row(grpc.StatusCode.UNIMPLEMENTED, ErrorReason.NOT_SERVED_YET),
    errors.RevisionConflict: Row(grpc.StatusCode.ABORTED, ErrorReason.REVISION_CONFLICT),
    errors.NotFound: Row(grpc.StatusCode.NOT_FOUND, ErrorReason.NOT_FOUND),
    errors.Busy: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.BUSY),
    ShareBusy: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.BUSY),
    FeedbackBusy: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.FEEDBACK_BUSY),
    errors.Unauthenticated: Row(grpc.StatusCode.UNAUTHENTICATED, ErrorReason.UNAUTHENTICATED),
    errors.Forbidden: Row(grpc.StatusCode.PERMISSION_DENIED, ErrorReason.FORBIDDEN),
    errors.KeyLimit: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.KEY_LIMIT),
    TooLate: Row(grpc.StatusCode.DEADLINE_EXCEEDED, ErrorReason.DEADLINE_PASSED),
    # The error's own text may name a path.
    errors.StorageUnavailable: Row(
        grpc.StatusCode.UNAVAILABLE,
        ErrorReason.STORAGE_UNAVAILABLE,
        "storage did not take the write, nothing was promised; retry with back-off",
    ),
    HistoryUnreadable: Row(
        grpc.StatusCode.UNAVAILABLE,
        ErrorReason.STORAGE_UNAVAILABLE,
        "the ledger could not be read just now; retry with back-off",
    ),
    ReportTooLong: Row(grpc.StatusCode.DEADLINE_EXCEEDED, ErrorReason.REPORT_TOO_LONG),
    # Deciding and taking feedback go on without the cache: these end below the edge.
    errors.CacheUnready: Row(grpc.StatusCode.UNAVAILABLE, ErrorReason.STORAGE_UNAVAILABLE),
    errors.CacheBusy: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.BUSY),
    # A retry will not mend these, so they are not UNAVAILABLE.
    errors.DamagedFile: _OURS,
    errors.CannotStart: _OURS,
    errors.PolicyFault: _OURS,
    # Excludes an offer; no call of the API ever fails with it.
    errors.RuleFault: _OURS,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the caller sees it."""

    code: grpc.StatusCode
    reason: ErrorReason
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class EdgeLog(WarningLog, Protocol):
    """The methods of a structlog logger that are needed here."""

    def error(self, event: str, **fields: object) -> object:
        """Log one event."""
        ...


class FailureBook:
    """Turns exceptions into failures and logs those that are ours, and what keeps history from being read.

    `clock` returns microseconds since the epoch.
    """

    def __init__(self, log: EdgeLog, make_error_id: Callable[[], str], clock: Callable[[], int]) -> None:
        self._log = log
        self._unread = UnreadLog(log, clock)
        self._make_error_id = make_error_id

    def describe(self, error: Exception, call: str) -> Failure:
        """Return what the caller of `call` (the RPC's name) is told."""
        row = row_of(type(error))
        if row.internal:
            return self._describe_ours(error, call, row)
        if isinstance(error, HistoryUnreadable):
            self._unread.note(error, call)
        message = shorten(str(error) if row.text is None else row.text)
        where = getattr(error, "field", None)
        metadata = {"field": shorten(where, FIELD_BYTES)} if isinstance(where, str) else {}
        return Failure(row.code, row.reason, message, metadata)

    def _describe_ours(self, error: Exception, call: str, row: Row) -> Failure:
        error_id = self._make_error_id()
        frames = [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ]
        # Class and frames only: the text of an exception may quote what a visitor's request held.
        fields = {
            "error_id": error_id,
            "call": call,
            "error_class": type(error).__qualname__,
            "frames": frames[-8:],
        }
        if isinstance(error, errors.DamagedFile):
            fields["path"] = error.path
        self._log.error("rpc_failed", **fields)
        message = (row.text or INTERNAL_TEXT).format(error_id=error_id)
        return Failure(row.code, row.reason, message, {"error_id": error_id})


def row_of(error_class: type[BaseException]) -> Row:
    """Return the row of a class or of its nearest ancestor with one; any other class is a fault of ours."""
    for ancestor in error_class.__mro__:
        row = TABLE.get(ancestor)
        if row is not None:
            return row
    return _OURS


def to_status(failure: Failure) -> grpc.Status:
    """Build the status with its ErrorInfo, for `ServicerContext.abort_with_status`."""
    info = error_details_pb2.ErrorInfo(reason=failure.reason.value, domain=DOMAIN, metadata=failure.metadata)
    status = status_pb2.Status(code=failure.code.value[0], message=failure.message)
    status.details.add().Pack(info)
    return rpc_status.to_status(status)


def shorten(text: str, limit: int = MESSAGE_BYTES) -> str:
    """Cut text to `limit` UTF-8 bytes, at a line's end where it has lines, and say how much is missing."""
    data = text.encode()
    if len(data) <= limit:
        return text
    head = data[: limit - 40].decode(errors="ignore")
    if "\n" in head:
        head = head[: head.rindex("\n")]
        return f"{head}\nand {text.count(chr(10)) - head.count(chr(10))} more lines"
    return f"{head}... ({len(data)} bytes)"
