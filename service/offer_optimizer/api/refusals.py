"""Why the edge itself turns a call away, before any port was asked.

Each class has a row, its own or its parent's, in `api.status`.
"""

from __future__ import annotations

from offer_optimizer.core.errors import Busy, InvalidInput, NotServedYet, OfferOptimizerError


class UnreadableRequest(InvalidInput):
    """The bytes are not a message of the declared type."""


class RequestTooLarge(InvalidInput):
    """The request is over its limit in bytes: send less at once."""


class CallNotServedYet(NotServedYet):
    """The RPC is part of the API but this release doesn't serve it."""

    def __init__(self, call: str) -> None:
        OfferOptimizerError.__init__(self, f"{call}: not served by this release")
        self.field = call


class ShareBusy(Busy):
    """All the threads that one kind of call may hold are taken: retry with back-off."""

    def __init__(self, share: str, size: int) -> None:
        super().__init__(f"{share}: all {size} of its concurrent calls are taken; retry with back-off")
        self.share = share


class FeedbackBusy(ShareBusy):
    """Feedback holds all the threads it may: decisions go first."""


class Overloaded(Busy):
    """More calls wait than can be answered in time: retry later, with back-off."""

    def __init__(self) -> None:
        super().__init__("more calls wait than can be answered in time; retry with back-off")


class TooLate(OfferOptimizerError):
    """The deadline had passed, or the caller had gone, before the work began: it was not done.

    Of a batch the rest was not; the text says what was.
    """
