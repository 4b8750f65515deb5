"""GetLoopHealth: what reaches the desk, and that alarms and figures arrive whole, at the caller too."""

from __future__ import annotations

import json

import pytest

from offer_optimizer.api.admission import Share
from offer_optimizer.api.history import LoopHealthServicer
from offer_optimizer.api.refusals import ShareBusy
from offer_optimizer.client import wire
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.health import LoopHealth
from offer_optimizer.store.rollup_tables import Measure
from offer_optimizer.v1 import insight_service_pb2 as pb
from tests.unit.api.fakes import FakeContext, FakeHealth
from tests.unit.evaluate.health_worlds import health, rollups

ILL: LoopHealth = health(rollups({(Measure.FEEDBACK, "INVALID (other)"): 60}))


def ask(desk: FakeHealth, placement: str = "", share: Share | None = None) -> pb.GetLoopHealthResponse:
    servicer = LoopHealthServicer(desk, share or Share("report", 1))
    data = pb.GetLoopHealthRequest(placement=placement).SerializeToString()
    return pb.GetLoopHealthResponse.FromString(servicer.get_loop_health(data, FakeContext(remaining_s=7.0)))


def test_alarms_and_figures_arrive_at_the_caller_as_they_were_found() -> None:
    """Every field, by way of the message and the client: the same values as the command line reads."""
    found = ILL.to_dict()
    told = wire.loop_health(ask(FakeHealth(found)))
    assert json.loads(json.dumps(told)) == json.loads(json.dumps(found))
    assert [alarm["name"] for alarm in told["alarms"]] == ["invalid_feedback"]


def test_what_is_absent_stays_absent() -> None:
    told = wire.loop_health(ask(FakeHealth(health([], published_us=None).to_dict())))
    assert told["join_share"] is None
    assert told["placements"][0]["model_age_s"] is None
    assert told["placements"][0]["delay_s_p99"] is None


def test_the_desk_hears_the_placement_and_how_long_the_caller_waits() -> None:
    desk = FakeHealth(ILL.to_dict())
    ask(desk)
    ask(desk, "home")
    assert desk.asked == [("", 7.0), ("home", 7.0)]


def test_health_is_refused_while_its_share_is_taken_and_a_wrong_placement_is_the_callers() -> None:
    share = Share("report", 1)
    with share.hold(), pytest.raises(ShareBusy):
        ask(FakeHealth(ILL.to_dict()), share=share)
    with pytest.raises(InvalidInput, match="placement"):
        ask(FakeHealth(ILL.to_dict()), "x" * 1000)
