"""RecordFeedback's items to core values. An item is judged alone; a field not served fails the whole call.

The difference is deliberate: a bad item is data, but an unserved field is a caller built for another release,
which must hear of it at once rather than lose one kind of feedback quietly.
"""

from __future__ import annotations

from collections.abc import Collection

from offer_optimizer.api.convert import check_visitor_id, required_id
from offer_optimizer.api.times import time_us
from offer_optimizer.core.errors import InvalidInput, NotServedYet
from offer_optimizer.core.features import check_number, check_text, show
from offer_optimizer.core.ids import parse_decision_id
from offer_optimizer.decide.requests import FeedbackInput
from offer_optimizer.v1 import offer_service_pb2 as pb


def check_served(item: pb.Feedback, index: int) -> None:
    """Raise NotServedYet, which fails the whole call, when a field is set that this release doesn't serve."""
    if item.slot:
        raise NotServedYet(f"items[{index}].slot")


def source_of(request: pb.RecordFeedbackRequest) -> str:
    """Return who sends a request, as it says; may be empty. Raises InvalidInput."""
    check_text(request.source, "source")
    return request.source


def feedback_input(item: pb.Feedback, index: int, kinds: Collection[str], source: str = "") -> FeedbackInput:
    """Validate one item of a `source` against the declared `kinds`. Raises InvalidInput: field and limit.

    A placement is not looked up: it may have left the catalog while its decisions' windows are still open.
    """
    where = f"items[{index}]."
    feedback_id = required_id(item.feedback_id, f"{where}feedback_id")
    decision_id, visitor_id, placement_id = _target(item, where)
    kind = required_id(item.kind, f"{where}kind")
    if kind not in kinds:
        raise InvalidInput(f"{where}kind", f"{show(kind)} is not declared; one of {', '.join(sorted(kinds))}")
    value = item.value if item.HasField("value") else 1.0
    check_number(value, f"{where}value")
    return FeedbackInput(
        feedback_id=feedback_id,
        decision_id=decision_id,
        visitor_id=visitor_id,
        placement_id=placement_id,
        slot=0,
        kind=kind,
        value=value + 0.0,
        occur_time_us=time_us(item.occur_time, f"{where}occur_time") if item.HasField("occur_time") else None,
        retracts_feedback_id=_retracted(item, feedback_id, where),
        source=source,
    )


def _retracted(item: pb.Feedback, feedback_id: str, where: str) -> str:
    if not item.retracts_feedback_id:
        return ""
    retracted = required_id(item.retracts_feedback_id, f"{where}retracts_feedback_id")
    if retracted == feedback_id:
        raise InvalidInput(f"{where}retracts_feedback_id", "is the item's own id: give the item another one")
    return retracted


def _target(item: pb.Feedback, where: str) -> tuple[bytes, str, str]:
    """Return decision id, visitor id and placement id: the first, or else the other two, are not empty."""
    target = item.WhichOneof("target")
    if target == "decision_id":
        return parse_decision_id(item.decision_id, f"{where}decision_id"), "", ""
    if target is None:
        raise InvalidInput(f"{where}target", "give decision_id, or visitor_placement")
    visitor_id = item.visitor_placement.visitor_id
    if not visitor_id:
        raise InvalidInput(f"{where}visitor_placement.visitor_id", "is required and empty")
    check_visitor_id(visitor_id, f"{where}visitor_placement.visitor_id")
    return (
        b"",
        visitor_id,
        required_id(item.visitor_placement.placement, f"{where}visitor_placement.placement"),
    )
