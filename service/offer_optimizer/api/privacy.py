"""OfferService's calls about what is stored of a visitor: EraseVisitor and ExportVisitor.

Both are for admins, and in the audit log without the visitor's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import grpc

from offer_optimizer.api import convert
from offer_optimizer.api.admission import Share
from offer_optimizer.api.convert_story import explain_response, explained_feedback
from offer_optimizer.api.deadline import refuse_late
from offer_optimizer.api.handlers import Call
from offer_optimizer.api.status import FailureBook
from offer_optimizer.api.steering import asker_of
from offer_optimizer.api.times import timestamp
from offer_optimizer.core import limits
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.decide.ports import VisitorErasure
from offer_optimizer.evaluate.errors import HistoryUnreadable
from offer_optimizer.evaluate.ports import VisitorHistory
from offer_optimizer.evaluate.visitor_history import VisitorPage
from offer_optimizer.v1 import offer_service_pb2 as pb

PAGE_RECORDS: Final = 100
PAGE_RECORDS_MOST: Final = 1000


class PrivacyServicer:
    """EraseVisitor and ExportVisitor."""

    def __init__(
        self, erasures: VisitorErasure, histories: VisitorHistory, share: Share, failures: FailureBook
    ) -> None:
        self._erasures = erasures
        self._histories = histories
        self._share = share
        self._failures = failures

    def calls(self) -> Mapping[str, Call]:
        """Return the served calls by method name."""
        return {"EraseVisitor": self.erase_visitor, "ExportVisitor": self.export_visitor}

    def erase_visitor(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve EraseVisitor: answered when it is durable that it will be done."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(pb.EraseVisitorRequest, data, limits.MESSAGE_BYTES)
            visitor_id = _visitor_id(request.visitor_id)
            for name in ("reason", "actor"):
                # It would stay in the ledger for ever.
                if visitor_id in getattr(request, name):
                    raise InvalidInput(name, "holds the visitor id, which nothing may keep")
            asker = asker_of(request, context)
            try:
                count = self._histories.decision_count(visitor_id)
            except HistoryUnreadable as error:
                count = 0  # the wish is what matters, and needs no ledger
                # The caller is told of no failure: operators have to hear of it.
                self._failures.describe(error, "OfferService.EraseVisitor")
            self._erasures.erase(visitor_id, asker.actor, asker.reason)
        return pb.EraseVisitorResponse(redacted_decision_count=count).SerializeToString()

    def export_visitor(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve ExportVisitor."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(pb.ExportVisitorRequest, data, limits.MESSAGE_BYTES)
            visitor_id = _visitor_id(request.visitor_id)
            if not 0 <= request.page_size <= PAGE_RECORDS_MOST:
                raise InvalidInput("page_size", f"{request.page_size}, must be 0 to {PAGE_RECORDS_MOST}")
            page = self._histories.page(
                visitor_id, request.page_token, request.page_size or PAGE_RECORDS, context.time_remaining()
            )
        return export_response(page).SerializeToString()


def _visitor_id(text: str) -> str:
    if not text:
        raise InvalidInput("visitor_id", "is required and empty")
    convert.check_visitor_id(text, "visitor_id")
    return text


def export_response(page: VisitorPage) -> pb.ExportVisitorResponse:
    """Build the reply."""
    return pb.ExportVisitorResponse(
        decisions=map(explain_response, page.stories),
        other_feedback=map(explained_feedback, page.feedback),
        caps=[
            pb.ExportedCap(cap_id=cap.cap_id, event_times=map(timestamp, cap.times_us)) for cap in page.caps
        ],
        archived_decisions=map(_archived, page.archived),
        next_page_token=page.next_token,
    )


def _archived(row: Mapping[str, Any]) -> pb.ArchivedDecision:
    return pb.ArchivedDecision(
        decision_id=format_decision_id(bytes.fromhex(row["decision_id"])),
        placement=row["placement"],
        decide_time=timestamp(row["time_us"]),
        reason=cast("pb.DecisionReason", row["reason"]),
        consent=cast("pb.Consent", row["consent"]),
        context=pb.Features(
            categories=row["categories"],
            numbers=row["numbers"],
            tags={name: pb.Tags(values=values) for name, values in row["tags"].items()},
        ),
        chosen_offer_id=row["chosen"],
        propensity=row["propensity"],
        fate=row["fate"],
        reward_final=row["reward_final"],
        feedback=[
            pb.ExplainedFeedback(
                feedback_id=item["feedback_id"],
                kind=item["kind"],
                value=item["value"],
                receive_time=timestamp(item["time_us"]),
                fate=item["fate"],
            )
            for item in row["feedback"]
        ],
    )
