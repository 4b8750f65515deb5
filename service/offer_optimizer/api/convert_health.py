"""The health of the loop to messages: what `LoopHealth.to_dict` of evaluate.health returns. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offer_optimizer.api.times import timestamp
from offer_optimizer.v1 import insight_service_pb2 as pb


def health_response(found: Mapping[str, Any]) -> pb.GetLoopHealthResponse:
    """Build the reply. Alarms and placements go by the names that their messages have."""
    return pb.GetLoopHealthResponse(
        alarms=[pb.Alarm(**alarm) for alarm in found["alarms"]],
        learner_lag_s=found["learner_lag_s"],
        ledger_time=timestamp(found["ledger_time_us"]),
        join_share=found["join_share"],
        unknown_count=found["unknown_count"],
        placements=[pb.PlacementHealth(**placement) for placement in found["placements"]],
    )
