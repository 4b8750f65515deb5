"""The gate in front of the handlers: key, role, placements and rate of every call, and the audit log.

One table says which role an RPC needs; an RPC without an entry can't be served. Without a gate (loopback,
nothing configured) handlers are called directly and pay nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import grpc
from google.protobuf.message import DecodeError

from offer_optimizer.api.caller import KEY_NAME
from offer_optimizer.api.handlers import Call
from offer_optimizer.core.access import Allowance, Key, KeyRing, Role, check_placements, check_role
from offer_optimizer.core.errors import KeyLimit, StorageUnavailable
from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import insight_service_pb2 as insight_pb
from offer_optimizer.v1 import offer_service_pb2 as pb

ROLES: Final[Mapping[str, Role]] = {
    "OfferService.Decide": Role.DECIDE,
    "OfferService.BatchDecide": Role.DECIDE,
    "OfferService.RecordFeedback": Role.FEEDBACK,
    "OfferService.MergeVisitor": Role.FEEDBACK,
    "OfferService.Explain": Role.READ,
    "OfferService.EraseVisitor": Role.ADMIN,
    "OfferService.ExportVisitor": Role.ADMIN,
    "CatalogService.GetCatalog": Role.READ,
    "CatalogService.ApplyCatalog": Role.ADMIN,
    "CatalogService.DisableOffer": Role.ADMIN,
    "CatalogService.SetLearning": Role.ADMIN,
    "CatalogService.RollBackModel": Role.ADMIN,
    "CatalogService.Quarantine": Role.ADMIN,
    "CatalogService.StartEpoch": Role.ADMIN,
    "CatalogService.AcceptClock": Role.ADMIN,
    "InsightService.GetModel": Role.READ,
    "InsightService.ListModels": Role.READ,
    "InsightService.GetPlacementReport": Role.READ,
    "InsightService.GetLoopHealth": Role.READ,
    "InsightService.ListShadows": Role.READ,
}

NO_KEY: Final = "no key"
"""The actor in the audit log where the service asks for none."""
_EVERYTHING: Final = ("",)


def _placements_of_batch(data: bytes) -> Iterable[str]:
    return {request.placement for request in pb.BatchDecideRequest.FromString(data).requests}


def _placements_of_feedback(data: bytes) -> Iterable[str]:
    items = pb.RecordFeedbackRequest.FromString(data).items
    # A decision id can't be guessed: who has one was given it.
    return {item.visitor_placement.placement for item in items if item.HasField("visitor_placement")}


ASKED: Final[Mapping[str, Callable[[bytes], Iterable[str]]]] = {
    "OfferService.Decide": lambda data: (pb.DecideRequest.FromString(data).placement,),
    "OfferService.BatchDecide": _placements_of_batch,
    "OfferService.RecordFeedback": _placements_of_feedback,
    "OfferService.MergeVisitor": lambda _data: (),
    "CatalogService.SetLearning": lambda data: (catalog_pb.SetLearningRequest.FromString(data).placement,),
    "CatalogService.RollBackModel": lambda data: (
        catalog_pb.RollBackModelRequest.FromString(data).placement,
    ),
    "CatalogService.Quarantine": lambda data: (catalog_pb.QuarantineRequest.FromString(data).placement,),
    "CatalogService.StartEpoch": lambda data: (catalog_pb.StartEpochRequest.FromString(data).placement,),
    "InsightService.ListModels": lambda data: (insight_pb.ListModelsRequest.FromString(data).placement,),
    "InsightService.GetModel": lambda data: (insight_pb.GetModelRequest.FromString(data).placement,),
    "InsightService.GetPlacementReport": lambda data: (
        insight_pb.GetPlacementReportRequest.FromString(data).placement,
    ),
    "InsightService.ListShadows": lambda data: (insight_pb.ListShadowsRequest.FromString(data).placement,),
    "InsightService.GetLoopHealth": lambda data: (
        insight_pb.GetLoopHealthRequest.FromString(data).placement,
    ),
}
"""Which placements a request speaks of. What has no entry here or in ANSWERED speaks of all of them."""

ANSWERED: Final[Mapping[str, Callable[[bytes], Iterable[str]]]] = {
    "OfferService.Explain": lambda data: (pb.ExplainResponse.FromString(data).placement,),
}
"""Which placements an answer speaks of, where the request can't say."""


class AuditLog(Protocol):
    """Where admin actions are kept. One that was asked for and has no end in it may have been done."""

    def note(self, actor: str, peer: str, call: str, verdict: str) -> None:
        """Keep one action durably. Raises StorageUnavailable."""
        ...


@dataclass
class Gate:
    """Checks every call. `keys` is asked each time, so that a keys file may change while we serve.

    Without `keys` everybody may call everything, and admin actions are kept all the same. `clock_s`
    is monotonic, in seconds.
    """

    keys: Callable[[], KeyRing] | None
    audit: AuditLog
    clock_s: Callable[[], float]
    _allowances: dict[str, Allowance] = field(default_factory=dict)

    def guard(self, call: Call, name: str) -> Call:
        """Return a call that is made only for keys that are good for it. Raises KeyError for a new name."""
        role, keys = ROLES[name], self.keys
        if keys is None:
            return self._open(call, name) if role is Role.ADMIN else call
        asked, answered = ASKED.get(name), ANSWERED.get(name)

        def checked(data: bytes, context: grpc.ServicerContext) -> bytes:
            key = keys().find(*_presented(context))
            self._admit(key)
            check_role(key, role, name)
            if key.placements and answered is None:
                check_placements(key, _placements(asked, data), name)
            if role is Role.ADMIN:
                token = KEY_NAME.set(key.name)
                try:
                    return self._audited(call, name, key.name, data, context)
                finally:
                    KEY_NAME.reset(token)
            answer = call(data, context)
            if key.placements and answered is not None:
                check_placements(key, answered(answer), name)
            return answer

        return checked

    def _admit(self, key: Key) -> None:
        if key.calls_per_second is None:
            return
        allowance = self._allowances.get(key.name)
        if allowance is None or allowance.rate != key.calls_per_second:
            allowance = self._allowances[key.name] = Allowance(key.calls_per_second)
        if not allowance.take(self.clock_s()):
            raise KeyLimit(
                f"key {key.name!r}: at most {key.calls_per_second:g} calls a second at one decider"
            )

    def _open(self, call: Call, name: str) -> Call:
        return lambda data, context: self._audited(call, name, NO_KEY, data, context)

    def _audited(
        self, call: Call, name: str, actor: str, data: bytes, context: grpc.ServicerContext
    ) -> bytes:
        # Noted first: what can't be noted is not done.
        self.audit.note(actor, context.peer(), name, "asked")
        try:
            answer = call(data, context)
        except Exception as error:
            self._note_end(actor, context.peer(), name, type(error).__name__)
            raise
        self._note_end(actor, context.peer(), name, "done")
        return answer

    def _note_end(self, actor: str, peer: str, name: str, verdict: str) -> None:
        # It is done, or has failed: whatever the disk says now, the caller has to hear of that.
        with suppress(StorageUnavailable):
            self.audit.note(actor, peer, name, verdict)


def _presented(context: grpc.ServicerContext) -> tuple[str | None, str | None]:
    """Return the authorization header and the client certificate's common name, where there are any."""
    header = None
    for name, value in context.invocation_metadata() or ():
        if name == "authorization":
            header = value if isinstance(value, str) else value.decode("ascii", "replace")
    names = context.auth_context().get("x509_common_name") or ()
    certificate = next((bytes(name).decode("utf-8", "replace") for name in names), None)
    return header, certificate


def _placements(asked: Callable[[bytes], Iterable[str]] | None, data: bytes) -> Iterable[str]:
    if asked is None:
        return _EVERYTHING
    try:
        return asked(data)
    except DecodeError:
        return ()  # the handler says what is wrong with it
