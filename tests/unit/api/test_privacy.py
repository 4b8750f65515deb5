"""EraseVisitor and ExportVisitor: what reaches the desks, what is refused, and that no error quotes an id."""

from __future__ import annotations

import pytest

from offer_optimizer.api.admission import Share
from offer_optimizer.api.privacy import PrivacyServicer
from offer_optimizer.api.status import FailureBook
from offer_optimizer.core.access import Role
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.errors import HistoryUnreadable
from offer_optimizer.evaluate.story import StoryFeedback
from offer_optimizer.evaluate.visitor_history import CapEvents, VisitorPage
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.unit.api.fakes import (
    DECISION_TEXT,
    STORY,
    FakeContext,
    FakeErasures,
    FakeHistories,
    FakeLog,
    error_id,
)

WHO = "visitor-17"


@pytest.fixture
def erasures() -> FakeErasures:
    return FakeErasures()


@pytest.fixture
def histories() -> FakeHistories:
    return FakeHistories()


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


@pytest.fixture
def privacy(erasures: FakeErasures, histories: FakeHistories, log: FakeLog) -> PrivacyServicer:
    failures = FailureBook(log, error_id, lambda: 0)
    return PrivacyServicer(erasures, histories, Share("operator", 1), failures)


def erase(privacy: PrivacyServicer, **fields: str) -> pb.EraseVisitorResponse:
    request = pb.EraseVisitorRequest(**fields)
    return pb.EraseVisitorResponse.FromString(
        privacy.erase_visitor(request.SerializeToString(), FakeContext())
    )


def export(privacy: PrivacyServicer, **fields: object) -> pb.ExportVisitorResponse:
    request = pb.ExportVisitorRequest(**fields)  # type: ignore[arg-type]
    data = privacy.export_visitor(request.SerializeToString(), FakeContext())
    return pb.ExportVisitorResponse.FromString(data)


def test_an_erasure_is_asked_for_with_who_and_why(privacy: PrivacyServicer, erasures: FakeErasures) -> None:
    reply = erase(privacy, visitor_id=WHO, reason="asked by mail", actor="ann")
    assert reply.redacted_decision_count == len(WHO)
    assert erasures.asked == [(WHO, "ann at ipv4:127.0.0.1:40404", "asked by mail")]


def test_a_wish_is_kept_while_the_ledger_cannot_be_read_and_operators_hear_of_that(
    privacy: PrivacyServicer,
    histories: FakeHistories,
    erasures: FakeErasures,
    log: FakeLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreadable(_visitor_id: str) -> int:
        raise HistoryUnreadable("damaged")

    monkeypatch.setattr(histories, "decision_count", unreadable)
    assert erase(privacy, visitor_id=WHO, reason="r", actor="ann").redacted_decision_count == 0
    assert len(erasures.asked) == 1
    assert [(name, fields["call"], fields["error"]) for name, fields in log.events] == [
        ("history_unreadable", "OfferService.EraseVisitor", "damaged")
    ]


@pytest.mark.parametrize("name", ["reason", "actor"])
def test_an_id_is_not_taken_into_the_ledger_by_the_back_door(
    privacy: PrivacyServicer, erasures: FakeErasures, name: str
) -> None:
    with pytest.raises(InvalidInput, match="holds the visitor id") as caught:
        erase(privacy, visitor_id=WHO, **{name: f"erase {WHO}, please"})
    assert WHO not in str(caught.value)
    assert not erasures.asked


@pytest.mark.parametrize("visitor_id", ["", "x" * 129], ids=["empty", "long"])
def test_ids_have_a_limit_and_are_not_quoted(privacy: PrivacyServicer, visitor_id: str) -> None:
    for call in (erase, export):
        with pytest.raises(InvalidInput, match=r"visitor_id: (is required|129 bytes, at most 128)") as caught:
            call(privacy, visitor_id=visitor_id)
        assert "xxx" not in str(caught.value)


def test_a_page_holds_decisions_feedback_and_counts(
    privacy: PrivacyServicer, histories: FakeHistories
) -> None:
    told = StoryFeedback(STORY.feedback[0].item, STORY.feedback[0].fate)
    archived = {
        "decision_id": "00" * 16, "placement": "home", "time_us": 5_000_000, "reason": 1, "consent": 3,
        "categories": {"a": "b"}, "numbers": {"n": 1.5}, "tags": {"t": ["u"]}, "chosen": "coupon",
        "propensity": 0.25, "fate": "learned", "reward_final": None,
        "feedback": [
            {"feedback_id": "f", "kind": "click", "value": 1.0, "time_us": 6_000_000, "fate": "applied"}
        ],
    }  # fmt: skip
    histories.found = VisitorPage((STORY,), (told,), (CapEvents("few", (7_000_000,)),), (archived,), "l9")
    reply = export(privacy, visitor_id=WHO, page_token="l3")
    assert reply.decisions[0].decision_id == DECISION_TEXT
    assert reply.other_feedback[0].feedback_id == told.item.feedback_id
    assert (reply.caps[0].cap_id, reply.caps[0].event_times[0].seconds) == ("few", 7)
    assert reply.archived_decisions[0].context.tags["t"].values == ["u"]
    assert not reply.archived_decisions[0].HasField("reward_final")
    assert reply.next_page_token == "l9"
    assert histories.asked == [(WHO, "l3", 100)]


@pytest.mark.parametrize("size", [-1, 1001])
def test_a_page_has_a_limit(privacy: PrivacyServicer, size: int) -> None:
    with pytest.raises(InvalidInput, match=r"page_size: .* must be 0 to 1000"):
        export(privacy, visitor_id=WHO, page_size=size)


def test_both_calls_are_for_admins() -> None:
    from offer_optimizer.api.access import ROLES

    assert ROLES["OfferService.EraseVisitor"] is ROLES["OfferService.ExportVisitor"] is Role.ADMIN
