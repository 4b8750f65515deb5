"""Values become messages and come back; what can't be encoded is the caller's bug and says which."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from offer_optimizer.client import wire
from offer_optimizer.client.errors import RequestRejected
from offer_optimizer.client.values import Candidate, FeedbackItem, Question
from offer_optimizer.core.decision import Consent, Reason
from offer_optimizer.v1 import offer_service_pb2 as pb


def test_a_question_keeps_every_field() -> None:
    question = Question(
        "home-hero",
        "v1",
        {"device": "phone"},
        {"cart": 4.5},
        {"seen": ["b", "a"]},
        Consent.SERVE_ONLY,
        deferred=True,
    )
    request = wire.decide_request(question)
    assert (request.placement, request.visitor.visitor_id, request.deferred) == ("home-hero", "v1", True)
    assert request.visitor.consent == pb.Consent.CONSENT_SERVE_ONLY
    assert dict(request.context.categories) == {"device": "phone"}
    assert dict(request.context.numbers) == {"cart": 4.5}
    assert list(request.context.tags["seen"].values) == ["b", "a"]


def test_a_question_keeps_candidates_exclusions_and_request_id() -> None:
    candidate = Candidate("mine", {"colour": "red"}, {"cost": 2.5}, {"topics": ["a"]})
    request = wire.decide_request(
        Question("p", candidates=[candidate], exclude_offer_ids=["other"], request_id="r")
    )
    (sent,) = request.candidates
    assert (sent.offer_id, dict(sent.attributes.categories)) == ("mine", {"colour": "red"})
    assert (dict(sent.attributes.numbers), list(sent.attributes.tags["topics"].values)) == (
        {"cost": 2.5},
        ["a"],
    )
    assert (list(request.exclude_offer_ids), request.request_id) == (["other"], "r")


def test_a_candidate_that_can_not_be_encoded_is_rejected() -> None:
    wrong = Candidate("mine", numbers={"cost": "much"})  # type: ignore[dict-item]
    with pytest.raises(RequestRejected, match="UNENCODABLE"):
        wire.decide_request(Question("p", candidates=[wrong]))


@pytest.mark.parametrize("consent", list(Consent))
def test_every_consent_has_the_number_of_the_wire(consent: Consent) -> None:
    assert wire.decide_request(Question("p", consent=consent)).visitor.consent == int(consent)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_the_name_of_the_wire(reason: Reason) -> None:
    assert wire.reason_name(int(reason)) == reason.name


def test_a_reason_of_a_later_release_is_shown_by_number() -> None:
    assert wire.reason_name(99) == "UNKNOWN_99"


def test_a_reply_without_slots_shows_nothing() -> None:
    decision = wire.decision(
        pb.DecideResponse(decision_id="d", reason=pb.DECISION_REASON_NO_ELIGIBLE_OFFER), 0.5
    )
    assert (decision.decision_id, decision.offer_id, decision.propensity) == ("d", None, None)
    assert (decision.reason, decision.latency_s, decision.served_by) == ("NO_ELIGIBLE_OFFER", 0.5, "service")


@pytest.mark.parametrize("numbers", [{"cart": "a lot"}, {"cart": None}, {1: 2.0}])
def test_a_value_of_the_wrong_type_is_a_rejection(numbers: dict[str, float]) -> None:
    with pytest.raises(RequestRejected, match="decide request") as caught:
        wire.decide_request(Question("p", numbers=numbers))
    assert caught.value.reason == "UNENCODABLE"


def test_feedback_by_decision_and_by_visitor_set_one_target() -> None:
    by_decision = wire.feedback_message(
        FeedbackItem("click", "f", decision_id="d", visitor_id="v", placement="p")
    )
    assert by_decision.WhichOneof("target") == "decision_id"
    by_visitor = wire.feedback_message(FeedbackItem("click", "f", visitor_id="v", placement="p"))
    assert (by_visitor.visitor_placement.visitor_id, by_visitor.visitor_placement.placement) == ("v", "p")


def test_what_is_taken_back_and_who_sends_it_are_on_the_wire() -> None:
    refund = FeedbackItem("conversion", "r", decision_id="d", retracts_feedback_id="f")
    request = wire.feedback_request([refund], "shop")
    assert (request.source, request.items[0].retracts_feedback_id) == ("shop", "f")


def test_an_absent_value_stays_absent_and_zero_stays_zero() -> None:
    assert not wire.feedback_message(FeedbackItem("click", "f", decision_id="d")).HasField("value")
    zero = wire.feedback_message(FeedbackItem("click", "f", decision_id="d", value=0.0))
    assert zero.HasField("value")
    assert zero.value == 0.0


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None)
    with pytest.raises(RequestRejected, match="no time zone"):
        wire.feedback_message(FeedbackItem("click", "f", decision_id="d", occur_time=naive))
    aware = wire.feedback_message(
        FeedbackItem("click", "f", decision_id="d", occur_time=datetime(2026, 1, 2, tzinfo=UTC))
    )
    assert aware.occur_time.seconds == 1767312000


def test_a_failed_item_of_a_batch_gets_the_name_of_its_code() -> None:
    failure = wire.item_failure(pb.ItemError(code=5, message="no such placement", reason="UNKNOWN_PLACEMENT"))
    assert (failure.code, failure.reason) == ("NOT_FOUND", "UNKNOWN_PLACEMENT")
