"""Core values to stored records and back. Equal values give equal bytes in every process and release.

With `decision_codec` and `control_codec` the only modules that know the layout of ledger.v1 records (segments
and snapshots know their headers).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

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
    Steering,
    Thinning,
)
from offer_optimizer.core.decision import (
    Decision,
)
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.ledger.v1 import records_pb2 as pb
from offer_optimizer.store.catalog_file import StoredCatalog as StoredCatalog  # noqa: PLC0414  (a body, too)
from offer_optimizer.store.catalog_file import catalog_record, decode_catalog, load_catalog
from offer_optimizer.store.control_codec import (
    control_entry,
    decode_steering,
    load_audit,
    load_control,
    store_audit,
)
from offer_optimizer.store.decision_codec import decode_decision
from offer_optimizer.store.salts import Salt as Salt  # noqa: PLC0414  (a body, too)
from offer_optimizer.store.wire import BYTES, sized, tag

_DIGEST: Final = tag(pb.JournalEntry.VISITOR_DIGEST_FIELD_NUMBER, BYTES)
_DECISION: Final = tag(pb.JournalEntry.DECISION_FIELD_NUMBER, BYTES)


class RecordKind(IntEnum):
    """Kinds of ledger records. Numbers are stored: never change one."""

    DECISION = 1
    FEEDBACK = 2
    TICK = 3
    CATALOG = 4
    EPOCH = 5
    SALT = 6
    MERGE = 7
    LEARNING = 8
    ROLLBACK = 9
    QUARANTINE = 10
    PROMOTION = 11
    THINNING = 12
    RETENTION = 13
    CLOCK_ACCEPTED = 14
    ERASURE = 15


STEERING_KINDS: Final[dict[RecordKind, type[Steering]]] = {
    RecordKind.LEARNING: Learning,
    RecordKind.ROLLBACK: Rollback,
    RecordKind.QUARANTINE: Quarantine,
    RecordKind.PROMOTION: Promotion,
    RecordKind.THINNING: Thinning,
    RecordKind.RETENTION: Retention,
    RecordKind.CLOCK_ACCEPTED: ClockAccepted,
    RecordKind.ERASURE: Erasure,
}
"""Which body each kind of record that steers learning has."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What a policy epoch (16 bytes) stands for; `description` is canonical JSON."""

    placement_id: str
    catalog_revision: int
    policy_epoch: bytes
    description: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Ledger time advances to this instant, in microseconds."""

    time_us: int


@dataclass(frozen=True, slots=True)
class Merge:
    """One visitor stands for another; both are the ledger's keys."""

    from_key: int
    into_key: int


@dataclass(frozen=True, slots=True)
class MergeChange:
    """A merge on its way to the ledger, by the digests of both visitors."""

    from_digest: bytes
    into_digest: bytes


@dataclass(frozen=True, slots=True)
class EraseChange:
    """An erasure on its way to the ledger, by the visitor's digest."""

    digest: bytes
    audit: Audit


Body = Decision | Feedback | Tick | StoredCatalog | Epoch | Salt | Merge | Steering
Change = StoredCatalog | MergeChange | EraseChange | Control
"""What a control segment brings."""


def encode_feedback(feedback: Feedback) -> bytes:
    """Serialise an item of feedback."""
    return pb.FeedbackRecord(
        feedback_id=feedback.feedback_id,
        decision_id=feedback.decision_id,
        placement_id=feedback.placement_id,
        slot=feedback.slot,
        kind=feedback.kind,
        value=feedback.value,
        receive_time_us=feedback.receive_time_us,
        occur_time_us=feedback.occur_time_us,
        retracts_feedback_id=feedback.retracts_feedback_id,
        source=feedback.source,
    ).SerializeToString(deterministic=True)


def decode_feedback(data: bytes) -> Feedback:
    """Parse what encode_feedback wrote."""
    record = pb.FeedbackRecord.FromString(data)
    return Feedback(
        feedback_id=record.feedback_id,
        decision_id=record.decision_id,
        placement_id=record.placement_id,
        slot=record.slot,
        kind=record.kind,
        value=record.value,
        receive_time_us=record.receive_time_us,
        occur_time_us=record.occur_time_us if record.HasField("occur_time_us") else None,
        retracts_feedback_id=record.retracts_feedback_id,
        source=record.source,
    )


def encode_control(change: Change) -> bytes:
    """Serialise an entry of a control segment."""
    match change:
        case MergeChange():
            merge = pb.MergeEntry(from_digest=change.from_digest, into_digest=change.into_digest)
            entry = pb.ControlEntry(merge=merge)
        case EraseChange():
            erase = pb.EraseEntry(visitor_digest=change.digest, audit=store_audit(change.audit))
            entry = pb.ControlEntry(erase=erase)
        case StoredCatalog():
            entry = pb.ControlEntry(catalog=catalog_record(change))
        case _:
            entry = control_entry(change)
    return entry.SerializeToString(deterministic=True)


def decode_control(data: bytes) -> Change:
    """Parse an entry of a control segment."""
    entry = pb.ControlEntry.FromString(data)
    if entry.HasField("merge"):
        return MergeChange(entry.merge.from_digest, entry.merge.into_digest)
    if entry.HasField("erase"):
        return EraseChange(entry.erase.visitor_digest, load_audit(entry.erase.audit))
    return load_control(entry) or load_catalog(entry.catalog)


def encode_body(body: Tick | Epoch | Salt | Merge) -> bytes:
    """Serialise one of the records that only the learner writes."""
    record: pb.TickRecord | pb.EpochRecord | pb.SaltRecord | pb.MergeRecord
    match body:
        case Tick():
            record = pb.TickRecord(time_us=body.time_us)
        case Epoch():
            record = pb.EpochRecord(
                placement_id=body.placement_id,
                catalog_revision=body.catalog_revision,
                policy_epoch=body.policy_epoch,
                description=body.description,
            )
        case Merge():
            record = pb.MergeRecord(from_key=body.from_key, into_key=body.into_key)
        case _:
            record = pb.SaltRecord(salt_id=body.salt_id, purpose=body.purpose, salt=body.salt)
    return record.SerializeToString(deterministic=True)


def decode_body(kind: RecordKind, data: bytes) -> Body:
    """Parse the body of a ledger record."""
    match kind:
        case RecordKind.DECISION:
            return decode_decision(data)
        case RecordKind.FEEDBACK:
            return decode_feedback(data)
        case RecordKind.TICK:
            return Tick(pb.TickRecord.FromString(data).time_us)
        case RecordKind.CATALOG:
            return decode_catalog(data)
        case RecordKind.EPOCH | RecordKind.SALT | RecordKind.MERGE:
            return _decode_rare(kind, data)
        case _:
            return decode_steering(STEERING_KINDS[kind], data)


def _decode_rare(kind: RecordKind, data: bytes) -> Epoch | Salt | Merge:
    match kind:
        case RecordKind.EPOCH:
            epoch = pb.EpochRecord.FromString(data)
            return Epoch(epoch.placement_id, epoch.catalog_revision, epoch.policy_epoch, epoch.description)
        case RecordKind.SALT:
            salt = pb.SaltRecord.FromString(data)
            return Salt(salt.salt_id, salt.purpose, salt.salt)
        case _:
            merge = pb.MergeRecord.FromString(data)
            return Merge(merge.from_key, merge.into_key)


def encode_journal_entry(visitor_digest: bytes, decision: bytes) -> bytes:
    """Frame payload of a journal: the digest stays outside of the record that the ledger keeps."""
    digest = sized(_DIGEST, visitor_digest) if visitor_digest else b""
    return digest + sized(_DECISION, decision)


def decode_journal_entry(data: bytes) -> tuple[bytes, bytes]:
    """Return the visitor digest (empty without an id) and the serialised decision."""
    entry = pb.JournalEntry.FromString(data)
    return entry.visitor_digest, entry.decision


def encode_inbox_entry(visitor_digest: bytes, feedback: bytes) -> bytes:
    """Frame payload of an inbox."""
    return pb.InboxEntry(visitor_digest=visitor_digest, feedback=feedback).SerializeToString()


def decode_inbox_entry(data: bytes) -> tuple[bytes, bytes]:
    """Return the visitor digest (empty when addressed by decision) and the serialised feedback."""
    entry = pb.InboxEntry.FromString(data)
    return entry.visitor_digest, entry.feedback
