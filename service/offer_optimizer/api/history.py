"""The calls that look back: Explain; GetPlacementReport, GetLoopHealth and ListShadows of InsightService."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from offer_optimizer.api import convert
from offer_optimizer.api.admission import Share
from offer_optimizer.api.convert_health import health_response
from offer_optimizer.api.convert_report import report_range, report_response, shadows_response
from offer_optimizer.api.convert_story import explain_response
from offer_optimizer.api.deadline import refuse_late
from offer_optimizer.api.handlers import Call
from offer_optimizer.core import limits
from offer_optimizer.core.ids import parse_decision_id
from offer_optimizer.evaluate.ports import HealthDesk, ReportDesk, ShadowDesk, StoryDesk
from offer_optimizer.v1 import insight_service_pb2 as insight_pb
from offer_optimizer.v1 import offer_service_pb2 as pb


class StoryServicer:
    """Explain."""

    def __init__(self, stories: StoryDesk, share: Share) -> None:
        self._stories = stories
        self._share = share

    def calls(self) -> Mapping[str, Call]:
        """Return the served calls by method name."""
        return {"Explain": self.explain}

    def explain(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve Explain."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(pb.ExplainRequest, data, limits.MESSAGE_BYTES)
            story = self._stories.explain(parse_decision_id(request.decision_id, "decision_id"))
        return explain_response(story).SerializeToString()


class ReportServicer:
    """GetPlacementReport."""

    def __init__(self, reports: ReportDesk, share: Share) -> None:
        self._reports = reports
        self._share = share

    def calls(self) -> Mapping[str, Call]:
        """Return the served calls by method name."""
        return {"GetPlacementReport": self.get_placement_report}

    def get_placement_report(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve GetPlacementReport: may take as long as the caller waits."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(insight_pb.GetPlacementReportRequest, data, limits.MESSAGE_BYTES)
            placement_id = convert.required_id(request.placement, "placement")
            start_us, end_us = report_range(request)
            found = self._reports.report(placement_id, start_us, end_us, context.time_remaining())
        return report_response(found).SerializeToString()


class LoopHealthServicer:
    """GetLoopHealth."""

    def __init__(self, desk: HealthDesk, share: Share) -> None:
        self._desk = desk
        self._share = share

    def calls(self) -> Mapping[str, Call]:
        """Return the served calls by method name."""
        return {"GetLoopHealth": self.get_loop_health}

    def get_loop_health(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve GetLoopHealth: may take as long as the caller waits."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(insight_pb.GetLoopHealthRequest, data, limits.MESSAGE_BYTES)
            placement_id = convert.required_id(request.placement, "placement") if request.placement else ""
            found = self._desk.health(placement_id, context.time_remaining())
        return health_response(found).SerializeToString()


class ShadowServicer:
    """ListShadows."""

    def __init__(self, desk: ShadowDesk, share: Share) -> None:
        self._desk = desk
        self._share = share

    def calls(self) -> Mapping[str, Call]:
        """Return the served calls by method name."""
        return {"ListShadows": self.list_shadows}

    def list_shadows(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve ListShadows: may take as long as the caller waits."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(insight_pb.ListShadowsRequest, data, limits.MESSAGE_BYTES)
            placement_id = convert.required_id(request.placement, "placement") if request.placement else ""
            found = self._desk.shadows(placement_id, context.time_remaining())
        return shadows_response(found).SerializeToString()
