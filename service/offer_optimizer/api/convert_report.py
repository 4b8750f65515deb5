"""Reports to messages: what `PlacementReport.to_dict` of evaluate.report returns. Pure.

Read as plain values, because a report is made in another process and its classes bring along what no decider
has the time to load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offer_optimizer.api.times import time_us, timestamp
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.v1 import insight_service_pb2 as pb

Values = Mapping[str, Any]


def report_range(request: pb.GetPlacementReportRequest) -> tuple[int | None, int | None]:
    """Return start and end in microseconds since the epoch, None where not given. Raises InvalidInput."""
    start_us = time_us(request.start_time, "start_time") if request.HasField("start_time") else None
    end_us = time_us(request.end_time, "end_time") if request.HasField("end_time") else None
    if start_us is not None and end_us is not None and end_us <= start_us:
        raise InvalidInput("end_time", "is not after start_time")
    return start_us, end_us


def report_response(found: Values) -> pb.GetPlacementReportResponse:
    """Build the reply."""
    shadow = found["shadow"]
    return pb.GetPlacementReportResponse(
        start_time=timestamp(found["start_us"]),
        end_time=timestamp(found["end_us"]),
        is_cut=found["is_cut"],
        decision_count=found["decision_count"],
        open_count=found["open_count"],
        left_out_count=found["left_out_count"],
        counted_count=found["counted_count"],
        learnable_count=found["learnable_count"],
        anonymous_count=found["anonymous_count"],
        reasons=found["reasons"],
        reward=_estimate(found["reward"]),
        interruption_count=found["interruption_count"],
        interruptions_per_reward=_estimate(found["interruptions_per_reward"]),
        uplift=_estimate(found["uplift"]),
        treated=_estimate(found["treated"]),
        holdout=_estimate(found["holdout"]),
        offers=[_offer(offer) for offer in found["offers"]],
        shadow=None if shadow is None else _shadow(shadow),
    )


def shadows_response(found: Values) -> pb.ListShadowsResponse:
    """Build the reply to ListShadows, of what ShadowDesk returns."""
    return pb.ListShadowsResponse(shadows=[_shadow_status(shadow) for shadow in found["shadows"]])


def _shadow_status(found: Values) -> pb.ShadowStatus:
    gate = found["gate"]
    return pb.ShadowStatus(
        placement=found["placement_id"],
        name=found["name"],
        policy=found["policy"],
        policy_epoch=found["policy_epoch"],
        incumbent_epoch=found["incumbent_epoch"],
        begin_time=None if found["begin_us"] is None else timestamp(found["begin_us"]),
        share=found["share"],
        learned_count=found["learned_count"],
        judged_count=found["judged_count"],
        lag_s=found["lag_us"] / 1e6,
        cost_us=found["cost_us"],
        incumbent=_estimate(found["incumbent"]),
        value=_estimate(found["dr"]),
        value_ips=_estimate(found["ips"]),
        value_snips=_estimate(found["snips"]),
        gain=_estimate(found["gain"]),
        gain_ips=_estimate(found["gain_ips"]),
        gate=None if gate is None else pb.ShadowGate(margin=gate["margin"], visitor_count=gate["visitors"]),
    )


def _estimate(found: Values) -> pb.Estimate:
    return pb.Estimate(
        value=found["value"],
        low=found["low"],
        high=found["high"],
        refused_reason=found["refused_reason"],
        decision_count=found["row_count"],
        visitor_count=found["visitor_count"],
        effective_sample_size=found["ess"],
        interval=found["interval"],
        confidence=found["confidence"],
    )


def _offer(found: Values) -> pb.OfferReport:
    return pb.OfferReport(
        offer_id=found["offer_id"],
        decision_count=found["decision_count"],
        eligible_count=found["eligible_count"],
        observed_mean_not_causal=_estimate(found["observed_mean_not_causal"]),
        value_if_shown=_estimate(found["value_if_shown"]),
        value_if_shown_ips=_estimate(found["value_if_shown_ips"]),
    )


def _shadow(found: Values) -> pb.ShadowReport:
    return pb.ShadowReport(
        decision_count=found["decision_count"],
        differ_share=found["differ_share"],
        offers=[pb.OfferShare(**offer) for offer in found["offers"]],
        contexts=[pb.ContextDifference(**context) for context in found["contexts"]],
        model_value=_estimate(found["model_value"]),
        model_value_ips=_estimate(found["model_value_ips"]),
        baseline_value=_estimate(found["baseline_value"]),
        gain=_estimate(found["gain"]),
    )
