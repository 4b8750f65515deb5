"""A service on loopback that answers as a test tells it: real gRPC, nothing behind it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import catalog_service_pb2_grpc, insight_service_pb2_grpc, offer_service_pb2_grpc
from offer_optimizer.v1 import insight_service_pb2 as insight_pb
from offer_optimizer.v1 import offer_service_pb2 as pb


class Refusal(Exception):
    """What a scripted answer raises to make the call fail with a code and a reason."""

    def __init__(self, code: str, reason: str = "", message: str = "refused") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message


class FakeService(
    offer_service_pb2_grpc.OfferServiceServicer,
    catalog_service_pb2_grpc.CatalogServiceServicer,
    insight_service_pb2_grpc.InsightServiceServicer,
):
    """Keeps what it was sent. `choose` answers decisions; `judge` looks at feedback batches first."""

    def __init__(self) -> None:
        self.choose: Callable[[pb.DecideRequest], str] = lambda request: "only"
        self.judge: Callable[[pb.RecordFeedbackRequest], None] = lambda request: None
        self.invalid_kinds: set[str] = set()
        self.questions: list[pb.DecideRequest] = []
        self.feedback: list[pb.Feedback] = []
        self.batch_sizes: list[int] = []
        self.merged: list[tuple[str, str]] = []
        self.revision = 1
        self.document = ""
        self.conflicts_left = 0
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def answer(self, request: pb.DecideRequest) -> pb.DecideResponse:
        offer_id = self.choose(request)
        with self._lock:
            self.questions.append(request)
            number = next(self._ids)
        return pb.DecideResponse(
            decision_id=f"d{number}",
            slots=[pb.Slot(offer_id=offer_id, propensity=0.5, payload="hello")],
            reason=pb.DECISION_REASON_MODEL,
            model_version=f"00ff:{number}",
        )

    def Decide(self, request: pb.DecideRequest, context: grpc.ServicerContext) -> pb.DecideResponse:
        with refusals(context):
            return self.answer(request)

    def BatchDecide(
        self, request: pb.BatchDecideRequest, context: grpc.ServicerContext
    ) -> pb.BatchDecideResponse:
        response = pb.BatchDecideResponse()
        for one in request.requests:
            try:
                response.results.add(response=self.answer(one))
            except Refusal as refusal:
                code = grpc.StatusCode[refusal.code].value[0]
                response.results.add(
                    error=pb.ItemError(code=code, message=refusal.message, reason=refusal.reason)
                )
        return response

    def RecordFeedback(
        self, request: pb.RecordFeedbackRequest, context: grpc.ServicerContext
    ) -> pb.RecordFeedbackResponse:
        with refusals(context), self._lock:
            self.batch_sizes.append(len(request.items))
            self.judge(request)
            response = pb.RecordFeedbackResponse()
            for item in request.items:
                if item.kind in self.invalid_kinds:
                    response.results.add(
                        status=pb.FEEDBACK_STATUS_INVALID, message=f"kind: {item.kind} is unknown"
                    )
                else:
                    self.feedback.append(item)
                    response.results.add(status=pb.FEEDBACK_STATUS_ACCEPTED)
            return response

    def MergeVisitor(
        self, request: pb.MergeVisitorRequest, context: grpc.ServicerContext
    ) -> pb.MergeVisitorResponse:
        with refusals(context), self._lock:
            if request.from_visitor_id == request.into_visitor_id:
                raise Refusal("INVALID_ARGUMENT", "INVALID_FIELD", "into_visitor_id: is the same")
            self.merged.append((request.from_visitor_id, request.into_visitor_id))
            return pb.MergeVisitorResponse()

    def Explain(self, request: pb.ExplainRequest, context: grpc.ServicerContext) -> pb.ExplainResponse:
        with refusals(context):
            if request.decision_id != "d1":
                raise Refusal("NOT_FOUND", "NOT_FOUND", "the decision is not in the ledger")
            return pb.ExplainResponse(
                decision_id="d1",
                candidates=[
                    pb.ExplainedCandidate(offer_id="only", probability=1.0, chosen=True),
                    pb.ExplainedCandidate(offer_id="loud", exclusion_reason="CAPPED"),
                ],
                explored=True,
                summary="explored",
                text="the whole story",
            )

    def GetModel(
        self, request: insight_pb.GetModelRequest, context: grpc.ServicerContext
    ) -> insight_pb.GetModelResponse:
        shown = sum(item.kind == "shown" for item in self.feedback)
        return insight_pb.GetModelResponse(policy="vw", model_version="00ff:1", learned_count=shown)

    def GetCatalog(
        self, request: catalog_pb.GetCatalogRequest, context: grpc.ServicerContext
    ) -> catalog_pb.GetCatalogResponse:
        return catalog_pb.GetCatalogResponse(revision=self.revision, document=self.document)

    def ApplyCatalog(
        self, request: catalog_pb.ApplyCatalogRequest, context: grpc.ServicerContext
    ) -> catalog_pb.ApplyCatalogResponse:
        with refusals(context), self._lock:
            if self.conflicts_left:
                self.conflicts_left -= 1
                self.revision += 1
            if request.expected_revision != self.revision:
                raise Refusal("ABORTED", "REVISION_CONFLICT", f"revision {self.revision} is in force")
            if "broken" in request.document:
                raise Refusal("INVALID_ARGUMENT", "INVALID_CATALOG", 'line 1: unknown key "broken"')
            self.revision += 1
            self.document = request.document
            return catalog_pb.ApplyCatalogResponse(revision=self.revision, changes=["something changed"])


@contextmanager
def refusals(context: grpc.ServicerContext) -> Iterator[None]:
    """Turn a Refusal into a status, with ErrorInfo where it has a reason."""
    try:
        yield
    except Refusal as refusal:
        status = status_pb2.Status(code=code_pb2.Code.Value(refusal.code), message=refusal.message)
        if refusal.reason:
            detail = any_pb2.Any()
            detail.Pack(error_details_pb2.ErrorInfo(reason=refusal.reason, domain="offer_optimizer"))
            status.details.append(detail)
        context.abort_with_status(rpc_status.to_status(status))


@contextmanager
def serving(service: FakeService, address: str = "127.0.0.1:0") -> Iterator[str]:
    """Serve on loopback; yield the target."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    offer_service_pb2_grpc.add_OfferServiceServicer_to_server(service, server)
    catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server(service, server)
    insight_service_pb2_grpc.add_InsightServiceServicer_to_server(service, server)
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=0).wait()
