"""Feedback items become core values within the limits, or an error that names item, field and limit."""

from __future__ import annotations

import math

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from offer_optimizer.api.convert_feedback import check_served, feedback_input, source_of
from offer_optimizer.core.errors import InvalidInput, NotServedYet
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.unit.api.fakes import DECISION_ID, DECISION_TEXT

KINDS = frozenset({"shown", "click", "stars"})


def item(**fields: object) -> pb.Feedback:
    address = {} if "visitor_placement" in fields else {"decision_id": DECISION_TEXT}
    return pb.Feedback(**({"feedback_id": "f", "kind": "click"} | address | fields))  # type: ignore[arg-type]


def by_visitor(visitor_id: str = "v", placement: str = "home") -> pb.Feedback:
    return item(visitor_placement=pb.VisitorPlacement(visitor_id=visitor_id, placement=placement))


def test_an_item_by_decision_has_the_decision_and_no_visitor() -> None:
    taken = feedback_input(item(), 0, KINDS)
    assert (taken.decision_id, taken.visitor_id, taken.placement_id) == (DECISION_ID, "", "")


def test_an_item_by_visitor_has_visitor_and_placement() -> None:
    taken = feedback_input(by_visitor(), 0, KINDS)
    assert (taken.decision_id, taken.visitor_id, taken.placement_id) == (b"", "v", "home")


def test_an_absent_value_is_one_and_a_zero_is_zero() -> None:
    assert feedback_input(item(), 0, KINDS).value == 1.0
    assert feedback_input(item(value=0.0), 0, KINDS).value == 0.0


def test_a_time_is_kept_in_microseconds_and_an_absent_one_is_none() -> None:
    assert feedback_input(item(), 0, KINDS).occur_time_us is None
    taken = feedback_input(item(occur_time=Timestamp(seconds=-2, nanos=999_999_999)), 0, KINDS)
    assert taken.occur_time_us == -1_000_001


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (item(feedback_id=""), "feedback_id"),
        (item(feedback_id="x" * 129), "feedback_id"),
        (item(kind=""), "kind"),
        (item(kind="clicks"), "kind"),
        (item(kind="x" * 129), "kind"),
        (item(value=math.nan), "value"),
        (item(value=math.inf), "value"),
        (item(value=-1.1e9), "value"),
        (item(decision_id="nonsense"), "decision_id"),
        (item(decision_id=""), "decision_id"),
        (pb.Feedback(feedback_id="f", kind="click"), "target"),
        (by_visitor(visitor_id=""), "visitor_placement.visitor_id"),
        (by_visitor(visitor_id="x" * 129), "visitor_placement.visitor_id"),
        (by_visitor(placement=""), "visitor_placement.placement"),
        (by_visitor(placement="x" * 129), "visitor_placement.placement"),
        (item(occur_time=Timestamp(seconds=1 << 60)), "occur_time"),
        (item(occur_time=Timestamp(seconds=1, nanos=-1)), "occur_time"),
        (item(retracts_feedback_id="x" * 129), "retracts_feedback_id"),
        (item(retracts_feedback_id="f"), "retracts_feedback_id"),
    ],
)
def test_a_bad_item_is_refused_by_path(bad: pb.Feedback, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        feedback_input(bad, 3, KINDS)
    assert caught.value.field == f"items[3].{field}"


def test_limits_are_inclusive() -> None:
    feedback_input(item(feedback_id="x" * 128, value=1e9), 0, KINDS)
    feedback_input(by_visitor(visitor_id="x" * 128, placement="y" * 128), 0, KINDS)


def test_an_undeclared_kind_is_told_what_is_declared() -> None:
    with pytest.raises(InvalidInput, match="'clicks' is not declared; one of click, shown, stars"):
        feedback_input(item(kind="clicks"), 0, KINDS)


def test_a_field_that_is_not_served_is_named_with_its_item() -> None:
    with pytest.raises(NotServedYet) as caught:
        check_served(item(slot=1), 3)
    assert caught.value.field == "items[3].slot"
    check_served(item(retracts_feedback_id="f0"), 3)


def test_what_is_taken_back_and_who_sends_it_are_kept() -> None:
    taken = feedback_input(item(retracts_feedback_id="f0"), 0, KINDS, "shop")
    assert (taken.retracts_feedback_id, taken.source) == ("f0", "shop")
    assert feedback_input(item(), 0, KINDS).retracts_feedback_id == ""


def test_a_source_may_be_empty_and_has_at_most_128_bytes() -> None:
    assert source_of(pb.RecordFeedbackRequest()) == ""
    assert source_of(pb.RecordFeedbackRequest(source="x" * 128)) == "x" * 128
    with pytest.raises(InvalidInput, match=r"source: .* is 129 bytes, at most 128"):
        source_of(pb.RecordFeedbackRequest(source="x" * 127 + "ü"))
