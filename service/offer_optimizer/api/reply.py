"""The reply to Decide as bytes, joined from serialised parts of which those that come again are remembered.

What always holds: `decide_reply` writes what `convert.decide_response` would serialise to, byte for byte. A
page waits for it, and of a reply only the id and the propensity are new each time.

Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from offer_optimizer.api.convert import decide_response
from offer_optimizer.core.decision import ModelVersion, Reason
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.decide.requests import Outcome
from offer_optimizer.store.wire import BYTES, FIXED64, sized, tag
from offer_optimizer.v1 import offer_service_pb2 as pb

_DECISION_ID: Final = tag(pb.DecideResponse.DECISION_ID_FIELD_NUMBER, BYTES)
_SLOTS: Final = tag(pb.DecideResponse.SLOTS_FIELD_NUMBER, BYTES)
_PROPENSITY: Final = tag(pb.Slot.PROPENSITY_FIELD_NUMBER, FIXED64)
_DOUBLE: Final = struct.Struct("<d")
_PARTS: Final = 1024
"""Parts of a kind that are remembered: 16 MiB where every payload is as long as it may be."""


def decide_reply(outcome: Outcome) -> bytes:
    """Serialise the reply."""
    version = outcome.model_version
    parts = []
    if outcome.decision_id is not None:
        parts.append(sized(_DECISION_ID, format_decision_id(outcome.decision_id).encode()))
    for slot in outcome.slots:
        id_part, payload_part = _offer(slot.offer_id, slot.payload)
        # What is zero is left out on the wire.
        propensity = _PROPENSITY + _DOUBLE.pack(slot.propensity) if slot.propensity else b""
        parts.append(sized(_SLOTS, id_part + propensity + payload_part))
    # Plain numbers: those of an enum and of a dataclass are hashed in Python.
    epoch, position = (version.epoch, version.position) if version else (None, 0)
    parts.append(_end(int(outcome.reason), epoch, position))
    return b"".join(parts)


@lru_cache(maxsize=_PARTS)
def _offer(offer_id: str, payload: str) -> tuple[bytes, bytes]:
    """Return what stands in a slot before the propensity and behind it."""
    return pb.Slot(offer_id=offer_id).SerializeToString(), pb.Slot(payload=payload).SerializeToString()


@lru_cache(maxsize=_PARTS)
def _end(reason: int, epoch: bytes | None, position: int) -> bytes:
    """Return what stands behind the slots."""
    version = ModelVersion(epoch, position) if epoch is not None else None
    return decide_response(Outcome(None, (), Reason(reason), version)).SerializeToString()
