"""The handlers: what reaches the ports, in which order, and what a caller gets back."""

from __future__ import annotations

import math

import grpc
import pytest

from offer_optimizer.api.admission import Share
from offer_optimizer.api.handlers import guarded, service_handlers
from offer_optimizer.api.refusals import FeedbackBusy, TooLate
from offer_optimizer.api.server import OFFER_SERVICE
from offer_optimizer.api.servicer import CatalogServicer, OfferServicer
from offer_optimizer.api.status import FailureBook
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.decision import Reason
from offer_optimizer.core.errors import InvalidInput, NotServedYet, StorageUnavailable, UnknownPlacement
from offer_optimizer.decide.requests import DecideInput, Outcome
from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.unit.api.fakes import (
    CATALOG,
    DECISION_ID,
    DECISION_TEXT,
    Aborted,
    FakeContext,
    FakeDecisions,
    FakeDesk,
    FakeIntake,
    FakeLog,
    error_id,
)

CLICK = pb.Feedback(feedback_id="f", kind="click", decision_id=DECISION_TEXT)


class Bench:
    """A servicer with fakes behind it."""

    def __init__(self) -> None:
        self.decisions, self.intake, self.desk, self.log = (
            FakeDecisions(),
            FakeIntake(),
            FakeDesk(),
            FakeLog(),
        )
        self.share = Share("feedback", 2, FeedbackBusy)
        self.failures = FailureBook(self.log, error_id, lambda: 0)
        self.offers = OfferServicer(self.decisions, self.intake, self.desk, self.share, self.failures)
        self.catalogs = CatalogServicer(self.desk, Share("catalog", 1))

    def decide(self, request: pb.DecideRequest, context: FakeContext | None = None) -> pb.DecideResponse:
        data = self.offers.decide(request.SerializeToString(), context or FakeContext())
        return pb.DecideResponse.FromString(data)

    def batch(
        self, *requests: pb.DecideRequest, context: FakeContext | None = None
    ) -> pb.BatchDecideResponse:
        data = pb.BatchDecideRequest(requests=requests).SerializeToString()
        return pb.BatchDecideResponse.FromString(self.offers.batch_decide(data, context or FakeContext()))

    def feedback(self, *items: pb.Feedback) -> pb.RecordFeedbackResponse:
        data = pb.RecordFeedbackRequest(items=items).SerializeToString()
        return pb.RecordFeedbackResponse.FromString(self.offers.record_feedback(data, FakeContext()))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_decide_answers_with_what_was_chosen(bench: Bench) -> None:
    reply = bench.decide(pb.DecideRequest(placement="home"))
    assert (reply.decision_id, reply.slots[0].offer_id) == (DECISION_TEXT, "coupon")


def test_a_placement_without_offers_answers_without_slots(bench: Bench) -> None:
    reply = bench.decide(pb.DecideRequest(placement="bare"))
    assert (len(reply.slots), reply.reason) == (0, pb.DECISION_REASON_NO_ELIGIBLE_OFFER)


def test_an_unknown_placement_is_an_error(bench: Bench) -> None:
    with pytest.raises(UnknownPlacement):
        bench.decide(pb.DecideRequest(placement="attic"))


@pytest.mark.parametrize("context", [FakeContext(0.0), FakeContext(-1.0), FakeContext(active=False)])
def test_late_work_is_not_executed(bench: Bench, context: FakeContext) -> None:
    with pytest.raises(TooLate):
        bench.decide(pb.DecideRequest(placement="home"), context)
    with pytest.raises(TooLate, match="nothing was done"):
        bench.batch(pb.DecideRequest(placement="home"), context=context)
    assert bench.decisions.asked == []


def test_a_call_without_a_deadline_is_served(bench: Bench) -> None:
    assert bench.decide(pb.DecideRequest(placement="home"), FakeContext(9.2e18)).decision_id


def test_the_rest_of_a_batch_is_not_decided_once_its_deadline_has_passed(bench: Bench) -> None:
    context = FakeContext(1.0)

    def pass_time(request: DecideInput) -> None:
        context.remaining_s -= 0.5

    bench.decisions.hook = pass_time
    # What became of those is known once the batch has ended, which is behind this.
    with pytest.raises(TooLate, match=r"2 of 5 items\. The first 2 were begun: .* unless the disk refused"):
        bench.batch(*[pb.DecideRequest(placement="home")] * 5, context=context)
    assert len(bench.decisions.asked) == 2
    # Whoever repeats these requests is answered with the first decisions: they have to be written.
    assert bench.decisions.ended_batches == 1


def test_what_could_not_be_recorded_is_answered_without_an_id(bench: Bench) -> None:
    bench.decisions.lost = {DECISION_ID: Outcome(None, (), Reason.UNRECORDED, None)}
    result = bench.batch(pb.DecideRequest(placement="home")).results[0]
    assert (result.response.decision_id, result.response.reason) == ("", pb.DECISION_REASON_UNRECORDED)


def test_items_that_share_a_context_and_items_that_do_not_are_each_asked_with_their_own(bench: Bench) -> None:
    phone, desktop = (pb.Features(categories={"device": device}) for device in ("phone", "desktop"))
    bench.batch(*[pb.DecideRequest(placement="home", context=one) for one in (phone, phone, desktop, phone)])
    devices = [asked.context.categories[0][1] for asked in bench.decisions.asked]
    assert devices == ["phone", "phone", "desktop", "phone"]


def test_items_of_a_batch_fail_alone_and_in_order(bench: Bench) -> None:
    good = pb.DecideRequest(placement="home")
    results = bench.batch(
        good,
        pb.DecideRequest(placement="attic"),
        pb.DecideRequest(placement="home", request_id="r" * 129),
        pb.DecideRequest(placement="home", context=pb.Features(numbers={"x": math.nan})),
        good,
    ).results
    assert [result.WhichOneof("result") for result in results] == [
        "response",
        "error",
        "error",
        "error",
        "response",
    ]
    assert [result.error.code for result in results] == [0, 5, 3, 3, 0]
    assert [result.error.reason for result in results[1:4]] == [
        "UNKNOWN_PLACEMENT",
        "INVALID_FIELD",
        "INVALID_FIELD",
    ]
    assert results[2].error.message.startswith("requests[2].request_id: ")
    assert results[3].error.message == "requests[3].context.numbers['x']: nan is not finite"


def test_a_fault_in_one_item_stays_there(bench: Bench) -> None:
    def fail_once(request: DecideInput) -> None:
        if len(bench.decisions.asked) == 1:
            raise KeyError(request.visitor_id)

    bench.decisions.hook = fail_once
    asked = pb.DecideRequest(placement="home", visitor=pb.Visitor(visitor_id="visitor-17"))
    first, second = bench.batch(asked, asked).results
    assert (first.error.code, first.error.reason) == (13, "INTERNAL")
    assert "visitor-17" not in first.error.message + str(bench.log.events)
    assert second.response.decision_id == DECISION_TEXT


@pytest.mark.parametrize("count", [0, 500, 501])
def test_a_batch_may_have_500_questions_and_not_one_more(bench: Bench, count: int) -> None:
    requests = [pb.DecideRequest(placement="home")] * count
    if count <= 500:
        assert len(bench.batch(*requests).results) == count
    else:
        with pytest.raises(InvalidInput, match="requests: 501 items, at most 500"):
            bench.batch(*requests)
        assert bench.decisions.asked == []


def test_feedback_is_judged_item_by_item_and_only_the_valid_is_recorded(bench: Bench) -> None:
    results = bench.feedback(
        CLICK,
        pb.Feedback(feedback_id="g", kind="clicks", decision_id=DECISION_TEXT),
        pb.Feedback(feedback_id="h", kind="click", decision_id="nonsense"),
        pb.Feedback(feedback_id="i", kind="stars", value=4.0, decision_id=DECISION_TEXT),
    ).results
    accepted, invalid = pb.FEEDBACK_STATUS_ACCEPTED, pb.FEEDBACK_STATUS_INVALID
    assert [result.status for result in results] == [accepted, invalid, invalid, accepted]
    assert results[2].message == "items[2].decision_id: is 8 characters, a decision_id has 36"
    assert [(item.feedback_id, item.value) for item in bench.intake.items] == [("f", 1.0), ("i", 4.0)]


def test_a_field_that_is_not_served_fails_the_whole_call_before_anything_is_recorded(bench: Bench) -> None:
    with pytest.raises(NotServedYet, match=r"items\[1\]\.slot"):
        bench.feedback(CLICK, pb.Feedback(slot=1))
    assert bench.intake.items == []


@pytest.mark.parametrize("count", [0, 1000, 1001])
def test_a_batch_may_have_1000_items_of_feedback_and_not_one_more(bench: Bench, count: int) -> None:
    if count <= 1000:
        assert len(bench.feedback(*[CLICK] * count).results) == count
    else:
        with pytest.raises(InvalidInput, match="items: 1001 items, at most 1000"):
            bench.feedback(*[CLICK] * count)
    assert len(bench.intake.items) == (count if count <= 1000 else 0)


def test_feedback_that_did_not_become_durable_is_not_acknowledged(bench: Bench) -> None:
    def fail() -> None:
        raise StorageUnavailable("disk")

    bench.intake.hook = fail
    with pytest.raises(StorageUnavailable):
        bench.feedback(CLICK)


def test_feedback_over_its_share_is_refused_and_decisions_go_on(bench: Bench) -> None:
    with bench.share.hold(), bench.share.hold():
        with pytest.raises(FeedbackBusy):
            bench.feedback(CLICK)
        assert bench.decide(pb.DecideRequest(placement="home")).decision_id
    assert bench.feedback(CLICK).results[0].status == pb.FEEDBACK_STATUS_ACCEPTED


def test_declared_kinds_follow_the_catalog_in_force(bench: Bench) -> None:
    stars = pb.Feedback(feedback_id="f", kind="stars", decision_id=DECISION_TEXT)
    assert bench.feedback(stars).results[0].status == pb.FEEDBACK_STATUS_ACCEPTED
    bench.desk.revision = CatalogRevision(4, "", 0, CATALOG.model_copy(update={"kinds": ()}))
    assert bench.feedback(stars).results[0].status == pb.FEEDBACK_STATUS_INVALID


@pytest.mark.parametrize("revision", [0, 3])
def test_a_catalog_is_read_with_its_time(bench: Bench, revision: int) -> None:
    data = catalog_pb.GetCatalogRequest(revision=revision).SerializeToString()
    found = catalog_pb.GetCatalogResponse.FromString(bench.catalogs.get_catalog(data, FakeContext()))
    assert (found.revision, found.document) == (3, "version: 1\n")
    assert (found.apply_time.seconds, found.apply_time.nanos) == (1_700_000_000, 123_456_000)


@pytest.mark.parametrize("size", [1024 * 1024, 1024 * 1024 + 1])
def test_a_document_may_be_a_mebibyte_and_not_one_byte_more(bench: Bench, size: int) -> None:
    document = "é" * (size // 2) + "x" * (size % 2)
    data = catalog_pb.ApplyCatalogRequest(document=document, expected_revision=3).SerializeToString()
    if size <= 1024 * 1024:
        bench.catalogs.apply_catalog(data, FakeContext())
        assert bench.desk.applied == [(document, 3, False)]
    else:
        with pytest.raises(InvalidInput, match="document: 1048577 bytes, at most 1048576"):
            bench.catalogs.apply_catalog(data, FakeContext())
        assert bench.desk.applied == []


def test_a_negative_revision_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="revision: -1, at least 0"):
        bench.catalogs.get_catalog(
            catalog_pb.GetCatalogRequest(revision=-1).SerializeToString(), FakeContext()
        )


def test_whatever_a_call_raises_ends_as_a_status(bench: Bench) -> None:
    def call(data: bytes, context: grpc.ServicerContext) -> bytes:
        raise KeyError("visitor-17")

    with pytest.raises(Aborted) as caught:
        guarded(call, "OfferService.Decide", bench.failures)(b"", FakeContext())
    assert caught.value.status.code is grpc.StatusCode.INTERNAL
    assert "visitor-17" not in caught.value.status.details


def test_a_handler_for_an_rpc_that_the_service_does_not_have_is_a_mistake(bench: Bench) -> None:
    with pytest.raises(ValueError, match="has no Dezide"):
        service_handlers(OFFER_SERVICE, {"Dezide": bench.offers.decide}, bench.failures)
