"""Explain, GetPlacementReport and MergeVisitor: what reaches the desks and what a caller gets back."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from offer_optimizer.api.admission import Share
from offer_optimizer.api.convert_report import report_response
from offer_optimizer.api.convert_story import explain_response
from offer_optimizer.api.history import ReportServicer, StoryServicer
from offer_optimizer.api.refusals import FeedbackBusy, ShareBusy, TooLate
from offer_optimizer.api.visitors import VisitorServicer
from offer_optimizer.core.errors import InvalidInput, NotFound
from offer_optimizer.evaluate.estimators import Estimate
from offer_optimizer.evaluate.report import OfferReport, PlacementReport
from offer_optimizer.evaluate.shadow import ContextDifference, OfferShare, Shadow
from offer_optimizer.v1 import insight_service_pb2 as insight_pb
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.unit.api.fakes import (
    DECISION_TEXT,
    STORY,
    FakeContext,
    FakeReports,
    FakeStories,
    FakeVisitors,
)

FIGURE = Estimate(0.5, 0.25, 0.75, "", row_count=40, visitor_count=20, ess=30.0)
REFUSED = Estimate(None, None, None, "only 3 visitors, at least 400")


def report_of(shadow: Shadow | None = None) -> PlacementReport:
    offer = OfferReport("coupon", 30, 35, FIGURE, REFUSED, replace(FIGURE, value=0.625))
    return PlacementReport(
        placement_id="home",
        start_us=1_000_000,
        end_us=2_500_000,
        is_cut=True,
        decision_count=50,
        open_count=4,
        left_out_count=6,
        counted_count=40,
        learnable_count=30,
        anonymous_count=2,
        reasons={"HOLDOUT": 5, "MODEL": 45},
        reward=FIGURE,
        interruption_count=25,
        interruptions_per_reward=REFUSED,
        uplift=REFUSED,
        treated=FIGURE,
        holdout=FIGURE,
        offers=(offer,),
        shadow=shadow,
    )


SHADOW = Shadow(
    decision_count=10,
    differ_share=0.25,
    offers=(OfferShare("coupon", 0.75, 0.25),),
    contexts=(ContextDifference("device", "phone", 8, 0.5),),
    model_value=FIGURE,
    model_value_ips=replace(FIGURE, value=0.375),
    baseline_value=replace(FIGURE, value=0.3125),
    gain=REFUSED,
)


def explain(decision_id: str, share: Share | None = None) -> pb.ExplainResponse:
    servicer = StoryServicer(FakeStories(), share or Share("operator", 1))
    data = pb.ExplainRequest(decision_id=decision_id).SerializeToString()
    return pb.ExplainResponse.FromString(servicer.explain(data, FakeContext()))


def test_a_story_is_told_in_full() -> None:
    told = explain(DECISION_TEXT)
    assert (told.decision_id, told.placement, told.catalog_revision) == (DECISION_TEXT, "home", 3)
    assert [(c.offer_id, c.exclusion_reason, c.probability, c.chosen) for c in told.candidates] == [
        ("coupon", "", 0.04, True),
        ("loud", "CAPPED", 0.0, False),
        ("nothing", "", 0.96, False),
    ]
    assert [c.HasField("model_probability") for c in told.candidates] == [True, False, True]
    assert told.explored
    assert (told.cap_counts[0].cap_id, told.cap_counts[0].count, told.cap_counts[0].limit) == ("daily", 2, 2)
    assert (told.budgets[0].budget_id, told.budgets[0].spent, told.budgets[0].limit) == ("month", 12.5, 100.0)
    assert (told.draw.salt_id, told.draw.number) == (1, 0.015625)
    assert (told.mix.ramp, told.mix.floor, told.mix.baseline_offer_id) == (0.5, 0.02, "nothing")
    assert (told.holdout.held_out, told.holdout.share, told.holdout.number) == (False, 0.1, 0.75)
    assert dict(told.context.numbers) == {"cart": 41.5}


def test_a_story_tells_what_came_of_the_decision() -> None:
    told = explain(DECISION_TEXT)
    assert [(item.kind, item.fate) for item in told.feedback] == [
        ("click", "applied"),
        ("click", "duplicate"),
    ]
    assert (told.fate, told.reward_learned, told.reward_final) == ("learned", 1.0, 0.25)
    assert told.close_time.seconds - told.decide_time.seconds == 60
    (weighed,) = told.contributions.contributions
    assert (weighed.feature, weighed.change) == ("device", -0.03125)
    assert told.contributions.model_version != told.model_version
    assert "explored, p = 0.04" in told.summary
    assert told.summary in told.text


def test_what_is_not_known_is_absent_rather_than_zero() -> None:
    bare = replace(
        STORY,
        candidates=tuple(replace(candidate, is_chosen=False) for candidate in STORY.candidates),
        draw_number=None,
        holdout_u=None,
        closing=None,
        contributions=None,
    )
    told = explain_response(bare)
    assert not told.HasField("draw")
    assert not told.HasField("contributions")
    assert not told.HasField("reward_learned")
    assert not told.HasField("reward_final")
    assert not told.HasField("close_time")
    assert not told.holdout.HasField("number")
    assert told.fate == "open"


def test_an_unknown_decision_is_not_found_and_a_malformed_id_is_the_callers() -> None:
    with pytest.raises(NotFound):
        explain("0192f0a1-b2c3-7def-8123-000000000000")
    with pytest.raises(InvalidInput, match="decision_id: is 3 characters"):
        explain("abc")


def test_explain_is_refused_while_its_share_is_taken() -> None:
    share = Share("operator", 1)
    with share.hold(), pytest.raises(ShareBusy):
        explain(DECISION_TEXT, share)


@pytest.mark.parametrize("shadow", [None, SHADOW])
def test_a_report_has_every_figure_or_its_refusal(shadow: Shadow | None) -> None:
    made = report_of(shadow)
    told = report_response(made.to_dict())
    for count in [field.name for field in fields(PlacementReport) if field.name.endswith("_count")]:
        assert getattr(told, count) == getattr(made, count), count
    assert (told.start_time.seconds, told.end_time.nanos, told.is_cut) == (1, 500_000_000, True)
    assert dict(told.reasons) == {"HOLDOUT": 5, "MODEL": 45}
    assert (told.reward.value, told.reward.low, told.reward.high) == (0.5, 0.25, 0.75)
    assert (told.reward.decision_count, told.reward.visitor_count, told.reward.interval) == (40, 20, "normal")
    assert not told.uplift.HasField("value")
    assert told.uplift.refused_reason == "only 3 visitors, at least 400"
    assert (told.offers[0].offer_id, told.offers[0].eligible_count) == ("coupon", 35)
    assert told.offers[0].observed_mean_not_causal.value == 0.5
    assert not told.offers[0].value_if_shown.HasField("value")
    assert told.offers[0].value_if_shown_ips.value == 0.625
    assert told.HasField("shadow") is (shadow is not None)


def test_a_shadow_is_reported_whole() -> None:
    told = report_response(report_of(SHADOW).to_dict()).shadow
    assert (told.decision_count, told.differ_share) == (10, 0.25)
    assert (told.offers[0].model_share, told.offers[0].baseline_share) == (0.75, 0.25)
    assert (told.contexts[0].value, told.contexts[0].differ_share) == ("phone", 0.5)
    values = (told.model_value.value, told.model_value_ips.value, told.baseline_value.value)
    assert values == (0.5, 0.375, 0.3125)
    assert told.gain.refused_reason


def ask(
    reports: FakeReports, request: insight_pb.GetPlacementReportRequest, remaining_s: float = 5.0
) -> None:
    servicer = ReportServicer(reports, Share("report", 1))
    servicer.get_placement_report(request.SerializeToString(), FakeContext(remaining_s))


def test_a_report_is_asked_for_with_its_range_and_the_time_there_is() -> None:
    reports = FakeReports(report_of().to_dict())
    ask(reports, insight_pb.GetPlacementReportRequest(placement="home"))
    request = insight_pb.GetPlacementReportRequest(placement="home")
    request.start_time.seconds, request.end_time.nanos = -1, 5_000
    ask(reports, request)
    assert reports.asked == [("home", None, None, 5.0), ("home", -1_000_000, 5, 5.0)]


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    request = insight_pb.GetPlacementReportRequest(placement="home")
    request.start_time.seconds = request.end_time.seconds = 7
    reports = FakeReports()
    with pytest.raises(InvalidInput, match="end_time: is not after start_time"):
        ask(reports, request)
    with pytest.raises(InvalidInput, match="placement: is required and empty"):
        ask(reports, insight_pb.GetPlacementReportRequest())
    with pytest.raises(TooLate):
        ask(reports, insight_pb.GetPlacementReportRequest(placement="home"), 0.0)
    assert reports.asked == []


def merge(visitors: FakeVisitors, from_id: str, into_id: str, share: Share | None = None) -> None:
    servicer = VisitorServicer(visitors, share or Share("durable", 1, FeedbackBusy))
    request = pb.MergeVisitorRequest(from_visitor_id=from_id, into_visitor_id=into_id)
    servicer.merge_visitor(request.SerializeToString(), FakeContext())


def test_a_merge_reaches_the_desk_the_right_way_round() -> None:
    visitors = FakeVisitors()
    merge(visitors, "anonymous", "known")
    assert visitors.merged == [("anonymous", "known")]


@pytest.mark.parametrize(
    ("from_id", "into_id", "problem"),
    [
        ("", "known", "from_visitor_id: is required"),
        ("anonymous", "", "into_visitor_id: is required"),
        ("same", "same", "into_visitor_id: is the same"),
        ("x" * 129, "known", "from_visitor_id: 129 bytes, at most 128"),
        ("anonymous", "x" * 129, "into_visitor_id: 129 bytes, at most 128"),
    ],
)
def test_a_merge_that_says_nothing_is_refused(from_id: str, into_id: str, problem: str) -> None:
    visitors = FakeVisitors()
    with pytest.raises(InvalidInput, match=problem) as caught:
        merge(visitors, from_id, into_id)
    assert visitors.merged == []
    assert "xxx" not in str(caught.value)


def test_merges_wait_for_a_disk_within_feedbacks_share() -> None:
    share = Share("durable", 1, FeedbackBusy)
    with share.hold(), pytest.raises(FeedbackBusy):
        merge(FakeVisitors(), "anonymous", "known", share)
