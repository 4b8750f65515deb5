"""The records that steer learning, to bytes and back. Equal values give equal bytes.

A body and its record name each field alike, so one rule moves them all; what `core.control` says of a field
holds for the record's.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, TypeVar

from offer_optimizer.core.control import (
    Audit,
    ClockAccepted,
    Control,
    Erasure,
    Learning,
    Promotion,
    Quarantine,
    Retention,
    Rollback,
    ShadowPolicy,
    Steering,
    Thinning,
)
from offer_optimizer.ledger.v1 import records_pb2 as pb

_Record = (
    pb.LearningRecord
    | pb.RollbackRecord
    | pb.QuarantineRecord
    | pb.PromotionRecord
    | pb.ThinningRecord
    | pb.RetentionRecord
    | pb.ErasureRecord
    | pb.ClockAcceptedRecord
    | pb.ShadowRecord
)

_Body = TypeVar("_Body", bound=Steering)

RECORDS: Final[dict[type[Steering], type[_Record]]] = {
    Learning: pb.LearningRecord,
    Rollback: pb.RollbackRecord,
    Quarantine: pb.QuarantineRecord,
    Promotion: pb.PromotionRecord,
    ClockAccepted: pb.ClockAcceptedRecord,
    Thinning: pb.ThinningRecord,
    Retention: pb.RetentionRecord,
    Erasure: pb.ErasureRecord,
    ShadowPolicy: pb.ShadowRecord,
}
"""What each is stored as."""

_ENTRIES: Final[dict[str, type[Control]]] = {
    "learning": Learning,
    "rollback": Rollback,
    "quarantine": Quarantine,
    "promotion": Promotion,
    "clock_accepted": ClockAccepted,
}
"""What comes through a control segment, by its field of the entry."""


def encode_steering(body: Steering) -> bytes:
    """Serialise one as the ledger keeps it."""
    return _store(body).SerializeToString(deterministic=True)


def decode_steering(kind: type[Steering], data: bytes) -> Steering:
    """Parse one, of the kind that it was encoded from."""
    return _load(kind, RECORDS[kind].FromString(data))


def control_entry(control: Control) -> pb.ControlEntry:
    """Return the entry of a control segment that asks for a change."""
    for name, kind in _ENTRIES.items():
        if isinstance(control, kind):
            entry: dict[str, Any] = {name: _store(control)}
            return pb.ControlEntry(**entry)
    raise TypeError(f"{type(control).__name__} does not come through a control segment")


def load_control(entry: pb.ControlEntry) -> Control | None:
    """Return what an entry of a control segment asks for; None where it is of another sort."""
    name = entry.WhichOneof("change")
    kind = _ENTRIES.get(name or "")
    return None if kind is None or name is None else _load(kind, getattr(entry, name))


def store_audit(audit: Audit) -> pb.Audit:
    """Return who and why as a message."""
    return pb.Audit(actor=audit.actor, reason=audit.reason, time_us=audit.time_us)


def load_audit(record: pb.Audit) -> Audit:
    """Return who and why."""
    return Audit(record.actor, record.reason, record.time_us)


def _store(body: Steering) -> _Record:
    values = {field.name: getattr(body, field.name) for field in dataclasses.fields(body)}
    if "audit" in values:
        values["audit"] = store_audit(values["audit"])
    return RECORDS[type(body)](**values)


def _load(kind: type[_Body], record: _Record) -> _Body:
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(kind)}
    if "audit" in values:
        values["audit"] = load_audit(values["audit"])
    return kind(**values)
