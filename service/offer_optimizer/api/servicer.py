"""OfferService, CatalogService and InsightService: thin handlers from bytes to bytes.

They validate, ask a port and build the reply. Nothing here waits but feedback and catalog calls, each
within its share of the pool; nothing is logged per request.
"""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from offer_optimizer.api import convert
from offer_optimizer.api.admission import Share
from offer_optimizer.api.convert_batch import BatchItems, batch_response
from offer_optimizer.api.convert_feedback import check_served, feedback_input, source_of
from offer_optimizer.api.deadline import refuse_late, refuse_rest
from offer_optimizer.api.disable import disable_offer
from offer_optimizer.api.handlers import Call
from offer_optimizer.api.reply import decide_reply
from offer_optimizer.api.status import FailureBook
from offer_optimizer.api.times import timestamp
from offer_optimizer.core import limits
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.feedback import BUILT_IN_KINDS
from offer_optimizer.decide.ports import CatalogDesk, DecisionMaker, FeedbackIntake, ModelDesk
from offer_optimizer.decide.requests import Outcome
from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import insight_service_pb2 as insight_pb
from offer_optimizer.v1 import offer_service_pb2 as pb

_ACCEPTED = pb.FeedbackResult(status=pb.FEEDBACK_STATUS_ACCEPTED)


class OfferServicer:
    """The hot path of OfferService."""

    def __init__(
        self,
        decisions: DecisionMaker,
        intake: FeedbackIntake,
        desk: CatalogDesk,
        share: Share,
        failures: FailureBook,
    ) -> None:
        self._decisions = decisions
        self._intake = intake
        self._desk = desk
        self._share = share
        self._failures = failures
        self._kinds: tuple[CatalogRevision | None, frozenset[str]] = (None, frozenset())

    def calls(self) -> Mapping[str, Call]:
        """Return the served calls by method name."""
        return {
            "Decide": self.decide,
            "BatchDecide": self.batch_decide,
            "RecordFeedback": self.record_feedback,
        }

    def decide(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve Decide."""
        refuse_late(context)
        request = convert.parse(pb.DecideRequest, data, limits.MESSAGE_BYTES)
        return decide_reply(self._decisions.decide(convert.decide_input(request)))

    def batch_decide(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve BatchDecide: items fail alone; the rest of a late batch is not decided."""
        batch = convert.parse(pb.BatchDecideRequest, data, limits.BATCH_BYTES)
        if len(batch.requests) > limits.BATCH_DECISIONS:
            raise InvalidInput("requests", f"{len(batch.requests)} items, at most {limits.BATCH_DECISIONS}")
        decided: list[Outcome | pb.ItemError] = []
        decisions, items = self._decisions.begin_batch(), BatchItems()
        try:
            for index, request in enumerate(batch.requests):
                refuse_rest(context, index, len(batch.requests))
                try:
                    decided.append(decisions.decide(items.decide_input(request, index)))
                except Exception as error:  # noqa: BLE001  (the RPC edge)
                    decided.append(self._item_error(error))
        finally:
            instead = decisions.end()
        return batch_response(decided, instead).SerializeToString()

    def _item_error(self, error: Exception) -> pb.ItemError:
        failure = self._failures.describe(error, "OfferService.BatchDecide")
        code: int = failure.code.value[0]
        return pb.ItemError(code=code, message=failure.message, reason=failure.reason.value)

    def record_feedback(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve RecordFeedback: answered when the valid items are durable."""
        # The share is held over parsing too: 4 MiB of feedback must not crowd decisions out of the pool.
        with self._share.hold():
            refuse_late(context)
            batch = convert.parse(pb.RecordFeedbackRequest, data, limits.BATCH_BYTES)
            if len(batch.items) > limits.BATCH_FEEDBACK:
                raise InvalidInput("items", f"{len(batch.items)} items, at most {limits.BATCH_FEEDBACK}")
            for index, item in enumerate(batch.items):
                check_served(item, index)
            source, kinds = source_of(batch), self._declared_kinds()
            accepted, results = [], []
            for index, item in enumerate(batch.items):
                try:
                    accepted.append(feedback_input(item, index, kinds, source))
                    results.append(_ACCEPTED)
                except InvalidInput as error:
                    message = self._failures.describe(error, "OfferService.RecordFeedback").message
                    results.append(pb.FeedbackResult(status=pb.FEEDBACK_STATUS_INVALID, message=message))
            if accepted:
                self._intake.record(accepted)
            return pb.RecordFeedbackResponse(results=results).SerializeToString()

    def _declared_kinds(self) -> frozenset[str]:
        """Return the kinds of the catalog in force, built once a revision."""
        current = self._desk.current()
        known, kinds = self._kinds
        if known is not current:
            kinds = frozenset(BUILT_IN_KINDS) | {kind.id for kind in current.catalog.kinds}
            self._kinds = (current, kinds)
        return kinds


class CatalogServicer:
    """The served calls of CatalogService."""

    def __init__(self, desk: CatalogDesk, share: Share) -> None:
        self._desk = desk
        self._share = share

    def calls(self) -> Mapping[str, Call]:
        """Return the served calls by method name."""
        return {
            "GetCatalog": self.get_catalog,
            "ApplyCatalog": self.apply_catalog,
            "DisableOffer": self.disable_offer,
        }

    def get_catalog(self, data: bytes, _context: grpc.ServicerContext) -> bytes:
        """Serve GetCatalog."""
        request = convert.parse(catalog_pb.GetCatalogRequest, data, limits.MESSAGE_BYTES)
        if request.revision < 0:
            raise InvalidInput("revision", f"{request.revision}, at least 0")
        with self._share.hold():
            found = self._desk.read(request.revision) if request.revision else self._desk.current()
        return catalog_pb.GetCatalogResponse(
            revision=found.revision,
            document=found.document,
            apply_time=timestamp(found.apply_time_us),
        ).SerializeToString()

    def apply_catalog(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve ApplyCatalog."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(catalog_pb.ApplyCatalogRequest, data, limits.BATCH_BYTES)
            size = len(request.document.encode())
            if size > limits.DOCUMENT_BYTES:
                raise InvalidInput("document", f"{size} bytes, at most {limits.DOCUMENT_BYTES}")
            if request.expected_revision < 0:
                raise InvalidInput("expected_revision", f"{request.expected_revision}, at least 0")
            change = self._desk.apply(
                request.document, request.expected_revision, validate_only=request.validate_only
            )
        return catalog_pb.ApplyCatalogResponse(
            revision=change.revision, changes=change.changes
        ).SerializeToString()

    def disable_offer(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve DisableOffer: deciders switch within 250 ms of the answer."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(catalog_pb.DisableOfferRequest, data, limits.MESSAGE_BYTES)
            revision = disable_offer(self._desk, convert.required_id(request.offer_id, "offer_id"))
        return catalog_pb.DisableOfferResponse(revision=revision).SerializeToString()


class InsightServicer:
    """The calls of InsightService about what is served now."""

    def __init__(self, models: ModelDesk) -> None:
        self._models = models

    def calls(self) -> Mapping[str, Call]:
        """Return the served calls by method name."""
        return {"GetModel": self.get_model}

    def get_model(self, data: bytes, _context: grpc.ServicerContext) -> bytes:
        """Serve GetModel."""
        request = convert.parse(insight_pb.GetModelRequest, data, limits.MESSAGE_BYTES)
        status = self._models.describe(request.placement)
        return insight_pb.GetModelResponse(
            policy=status.policy,
            model_version=str(status.version) if status.version else "",
            learned_count=status.learned_count,
        ).SerializeToString()
