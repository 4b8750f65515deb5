"""OfferService's calls about who a visitor is."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from offer_optimizer.api import convert
from offer_optimizer.api.admission import Share
from offer_optimizer.api.deadline import refuse_late
from offer_optimizer.api.handlers import Call
from offer_optimizer.core import limits
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.decide.ports import VisitorDesk
from offer_optimizer.v1 import offer_service_pb2 as pb


class VisitorServicer:
    """MergeVisitor. `share` is feedback's: a merge waits for an fsync, as often as visitors sign in."""

    def __init__(self, visitors: VisitorDesk, share: Share) -> None:
        self._visitors = visitors
        self._share = share

    def calls(self) -> Mapping[str, Call]:
        """Return the served calls by method name."""
        return {"MergeVisitor": self.merge_visitor}

    def merge_visitor(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve MergeVisitor: answered when the merge is durable."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(pb.MergeVisitorRequest, data, limits.MESSAGE_BYTES)
            for name in ("from_visitor_id", "into_visitor_id"):
                visitor_id = getattr(request, name)
                if not visitor_id:
                    raise InvalidInput(name, "is required and empty")
                convert.check_visitor_id(visitor_id, name)
            if request.from_visitor_id == request.into_visitor_id:
                raise InvalidInput("into_visitor_id", "is the same as from_visitor_id")
            self._visitors.merge(request.from_visitor_id, request.into_visitor_id)
        return pb.MergeVisitorResponse().SerializeToString()
