"""The calls that steer learning, and the list of models that can be gone back to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from offer_optimizer.api import convert
from offer_optimizer.api.admission import Share
from offer_optimizer.api.caller import KEY_NAME
from offer_optimizer.api.deadline import refuse_late
from offer_optimizer.api.handlers import Call
from offer_optimizer.api.times import time_us, timestamp
from offer_optimizer.core import limits
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import check_text
from offer_optimizer.learn.ports import Asker, KeptModel, LearningDesk
from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import insight_service_pb2 as insight_pb


class Signed(Protocol):
    """A request that says who asks and why."""

    actor: str
    reason: str


class SteeringServicer:
    """The operator's verbs of CatalogService about learning: each ends as a record of the ledger."""

    def __init__(self, desk: LearningDesk, share: Share) -> None:
        self._desk = desk
        self._share = share

    def calls(self) -> Mapping[str, Call]:
        """Return the served calls by method name."""
        return {
            "SetLearning": self.set_learning,
            "RollBackModel": self.roll_back_model,
            "Quarantine": self.quarantine,
            "StartEpoch": self.start_epoch,
            "AcceptClock": self.accept_clock,
        }

    def set_learning(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve SetLearning."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(catalog_pb.SetLearningRequest, data, limits.MESSAGE_BYTES)
            check_text(request.placement, "placement")
            self._desk.set_learning(request.placement, asker_of(request, context), frozen=request.frozen)
        return catalog_pb.SetLearningResponse().SerializeToString()

    def roll_back_model(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve RollBackModel: deciders serve the old model within a second of the answer."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(catalog_pb.RollBackModelRequest, data, limits.MESSAGE_BYTES)
            placement_id = convert.required_id(request.placement, "placement")
            version = convert.required_id(request.model_version, "model_version")
            self._desk.roll_back(placement_id, version, asker_of(request, context))
        return catalog_pb.RollBackModelResponse().SerializeToString()

    def quarantine(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve Quarantine."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(catalog_pb.QuarantineRequest, data, limits.MESSAGE_BYTES)
            for name in ("placement", "offer_id", "source"):
                check_text(getattr(request, name), name)
            start_us = _required_time(request.start_time, "start_time")
            end_us = _required_time(request.end_time, "end_time")
            asker = asker_of(request, context)
            note = self._desk.quarantine(
                request.placement, start_us, end_us, request.offer_id, request.source, asker
            )
        return catalog_pb.QuarantineResponse(note=note).SerializeToString()

    def start_epoch(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve StartEpoch."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(catalog_pb.StartEpochRequest, data, limits.BATCH_BYTES)
            size = len(request.document.encode())
            if size > limits.DOCUMENT_BYTES:
                raise InvalidInput("document", f"{size} bytes, at most {limits.DOCUMENT_BYTES}")
            placement_id = convert.required_id(request.placement, "placement")
            asker = asker_of(request, context)
            started = self._desk.start_epoch(
                placement_id, request.document, asker, uses_final=request.uses_final
            )
        return catalog_pb.StartEpochResponse(
            policy_epoch=started.policy_epoch.hex(),
            promoted_versions=map(str, started.promoted_before),
        ).SerializeToString()

    def accept_clock(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve AcceptClock."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(catalog_pb.AcceptClockRequest, data, limits.MESSAGE_BYTES)
            self._desk.accept_clock(asker_of(request, context))
        return catalog_pb.AcceptClockResponse().SerializeToString()


class KeptModelsServicer:
    """ListModels of InsightService."""

    def __init__(self, desk: LearningDesk, share: Share) -> None:
        self._desk = desk
        self._share = share

    def calls(self) -> Mapping[str, Call]:
        """Return the served calls by method name."""
        return {"ListModels": self.list_models}

    def list_models(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve ListModels."""
        with self._share.hold():
            refuse_late(context)
            request = convert.parse(insight_pb.ListModelsRequest, data, limits.MESSAGE_BYTES)
            placement_id = convert.required_id(request.placement, "placement")
            kept = self._desk.kept(placement_id, _epoch(request.policy_epoch))
        return insight_pb.ListModelsResponse(models=map(_kept_model, kept)).SerializeToString()


def asker_of(request: Signed, context: grpc.ServicerContext) -> Asker:
    """Return who asks: in their words, and where they call from."""
    for name, text, limit in (
        ("reason", request.reason, limits.REASON_BYTES),
        ("actor", request.actor, limits.ACTOR_BYTES),
    ):
        if len(text.encode()) > limit:
            raise InvalidInput(name, f"{len(text.encode())} bytes, at most {limit}")
        if not text.isprintable():
            raise InvalidInput(name, "holds a character that can't be printed")
    key_name = KEY_NAME.get()
    proven = f" with key {key_name}" if key_name else ""
    return Asker(f"{request.actor or 'somebody'} at {context.peer()}{proven}", request.reason)


def _required_time(time: Timestamp, where: str) -> int:
    if time == Timestamp():
        raise InvalidInput(where, "is required")
    return time_us(time, where)


def _epoch(text: str) -> bytes | None:
    if not text:
        return None
    try:
        epoch = bytes.fromhex(text)
    except ValueError:
        epoch = b""
    if len(epoch) != 16:
        raise InvalidInput("policy_epoch", "must be 32 hexadecimal digits")
    return epoch


def _kept_model(kept: KeptModel) -> insight_pb.KeptModel:
    published_us = kept.publish_time_us
    return insight_pb.KeptModel(
        model_version=str(kept.version),
        learned_count=kept.learned_count,
        publish_time=None if published_us is None else timestamp(published_us),
        is_current=kept.is_current,
        is_promoted=kept.is_promoted,
    )
