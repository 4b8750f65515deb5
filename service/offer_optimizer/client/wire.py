"""Between the client's values and protobuf messages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from offer_optimizer.client.errors import CallFailed, RequestRejected
from offer_optimizer.client.values import (
    Candidate,
    Decision,
    Explanation,
    FeedbackItem,
    FeedbackResult,
    Question,
)
from offer_optimizer.v1 import insight_service_pb2 as insight_pb
from offer_optimizer.v1 import offer_service_pb2 as pb


def decide_request(question: Question) -> pb.DecideRequest:
    """Build a request. Raises RequestRejected when a value is not of the declared type."""
    try:
        return pb.DecideRequest(
            placement=question.placement,
            visitor=pb.Visitor(visitor_id=question.visitor_id, consent=pb.Consent.Name(question.consent)),
            context=_features(question),
            deferred=question.deferred,
            candidates=[
                pb.Candidate(offer_id=candidate.offer_id, attributes=_features(candidate))
                for candidate in question.candidates
            ],
            exclude_offer_ids=question.exclude_offer_ids,
            request_id=question.request_id,
        )
    except (TypeError, ValueError) as error:
        raise RequestRejected("INVALID_ARGUMENT", "UNENCODABLE", f"decide request: {error}") from error


def _features(source: Question | Candidate) -> pb.Features:
    return pb.Features(
        categories=source.categories,
        numbers=source.numbers,
        tags={name: pb.Tags(values=values) for name, values in source.tags.items()},
    )


def explanation(response: pb.ExplainResponse) -> Explanation:
    """Read the story of a decision."""
    excluded = {
        candidate.offer_id: candidate.exclusion_reason
        for candidate in response.candidates
        if candidate.exclusion_reason
    }
    return Explanation(response.decision_id, response.explored, excluded, response.summary, response.text)


def decision(response: pb.DecideResponse, latency_s: float) -> Decision:
    """Read a reply; only the first slot is served in this release."""
    slot = response.slots[0] if response.slots else None
    return Decision(
        decision_id=response.decision_id or None,
        offer_id=slot.offer_id if slot is not None else None,
        propensity=slot.propensity if slot is not None else None,
        payload=slot.payload if slot is not None else "",
        reason=reason_name(response.reason),
        model_version=response.model_version,
        latency_s=latency_s,
        served_by="service",
    )


def item_failure(error: pb.ItemError) -> CallFailed:
    """Read the failure of one item of a batch."""
    names = {code.value[0]: code.name for code in grpc.StatusCode}
    return CallFailed(names.get(error.code, "UNKNOWN"), error.reason, error.message)


def reason_name(number: int) -> str:
    """Return the name without its prefix; a number that this release doesn't know becomes `UNKNOWN_9`."""
    if number not in pb.DecisionReason.values():
        return f"UNKNOWN_{number}"
    return pb.DecisionReason.Name(pb.DecisionReason.ValueType(number)).removeprefix("DECISION_REASON_")


def feedback_request(items: Sequence[FeedbackItem], source: str = "") -> pb.RecordFeedbackRequest:
    """Build a request. Raises RequestRejected when a value is not of the declared type."""
    return pb.RecordFeedbackRequest(items=[feedback_message(item) for item in items], source=source)


def feedback_message(item: FeedbackItem) -> pb.Feedback:
    """Build one item. Raises RequestRejected when a value is not of the declared type."""
    try:
        message = pb.Feedback(
            feedback_id=item.feedback_id,
            slot=item.slot,
            kind=item.kind,
            value=item.value,
            retracts_feedback_id=item.retracts_feedback_id,
        )
        if item.decision_id:
            message.decision_id = item.decision_id
        else:
            message.visitor_placement.visitor_id = item.visitor_id
            message.visitor_placement.placement = item.placement
        if item.occur_time is not None:
            message.occur_time.CopyFrom(timestamp(item.occur_time))
    except (TypeError, ValueError) as error:
        raise RequestRejected(
            "INVALID_ARGUMENT", "UNENCODABLE", f"feedback {item.kind!r}: {error}"
        ) from error
    return message


def timestamp(time: datetime) -> Timestamp:
    """Convert a time with a zone. Raises ValueError without one: guessing would shift it by hours."""
    if time.tzinfo is None:
        raise ValueError("occur_time has no time zone")
    converted = Timestamp()
    converted.FromDatetime(time)
    return converted


def feedback_results(response: pb.RecordFeedbackResponse) -> list[FeedbackResult]:
    """Read the verdicts."""
    accepted = pb.FeedbackStatus.FEEDBACK_STATUS_ACCEPTED
    return [FeedbackResult(result.status == accepted, result.message) for result in response.results]


def loop_health(response: insight_pb.GetLoopHealthResponse) -> dict[str, Any]:
    """Read alarms and figures as plain values."""
    found = plain(response)
    time = found.pop("ledger_time") or {"seconds": 0, "nanos": 0}
    return found | {"ledger_time_us": time["seconds"] * 1_000_000 + time["nanos"] // 1000}


def plain(message: Message) -> dict[str, Any]:
    """Return the fields of a message by name; an optional one that is absent is None."""
    return {field.name: _plain_field(message, field) for field in message.DESCRIPTOR.fields}


def _plain_field(message: Message, field: Any) -> Any:  # noqa: ANN401  (descriptors differ by runtime)
    value = getattr(message, field.name)
    if field.is_repeated:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return dict(sorted(value.items()))
        return [plain(item) for item in value] if field.message_type is not None else list(value)
    if field.has_presence and not message.HasField(field.name):
        return None
    return plain(value) if field.message_type is not None else value
