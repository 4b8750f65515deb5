"""What a caller of the client can meet, one class for each thing to do about it.

`CallFailed` never leaves the package: it is how the transport tells the client what a call came to.
"""

from __future__ import annotations

from typing import Final

from offer_optimizer.core.errors import OfferOptimizerError

REJECTIONS: Final = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED"})
"""Codes of a request that will never be taken as it is: the caller has to change it."""
PASSING: Final = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED"})
"""Codes after which the same call may well succeed; CANCELLED is what gRPC's core tells calls that reach a
server in the instant in which it stops."""

OUTAGES: Final = PASSING | {"UNKNOWN", "INTERNAL", "DATA_LOSS"}
"""Codes that say nothing about the request: the service, or the way to it, failed."""


class RequestRejected(OfferOptimizerError):
    """The service will not take this request: change it. `code` is gRPC's name, `reason` is ErrorInfo's."""

    def __init__(self, code: str, reason: str, message: str) -> None:
        super().__init__(f"{code}{f' ({reason})' if reason else ''}: {message}")
        self.code = code
        self.reason = reason
        self.message = message


class RevisionConflict(RequestRejected):
    """Somebody else changed the catalog first: read it again and repeat."""


class ServiceUnavailable(OfferOptimizerError):
    """The service could not be asked, or not in time: try again later."""

    def __init__(self, target: str, code: str, message: str) -> None:
        super().__init__(f"{target}: {code}: {message}")
        self.target = target
        self.code = code


class ForkedClient(OfferOptimizerError):
    """The client was used before this process was forked, which gRPC does not survive: make one after it."""


class CallFailed(Exception):
    """A call that came to nothing: gRPC's code name, ErrorInfo's reason (may be empty) and the text."""

    def __init__(self, code: str, reason: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
