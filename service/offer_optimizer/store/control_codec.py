"""The records that steer learning, to bytes and back. Equal values give equal bytes."""

from __future__ import annotations

from collections.abc import Callable
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


def encode_steering(body: Steering) -> bytes:
    """Serialise one as the ledger keeps it."""
    return _record(body).SerializeToString(deterministic=True)


def decode_steering(kind: type[Steering], data: bytes) -> Steering:
    """Parse one, of the kind that it was encoded from."""
    return _LOADERS[kind](data)


def control_entry(control: Control) -> pb.ControlEntry:
    """Return the entry of a control segment that asks for a change."""
    match _record(control):
        case pb.LearningRecord() as learning:
            return pb.ControlEntry(learning=learning)
        case pb.RollbackRecord() as rollback:
            return pb.ControlEntry(rollback=rollback)
        case pb.QuarantineRecord() as quarantine:
            return pb.ControlEntry(quarantine=quarantine)
        case pb.PromotionRecord() as promotion:
            return pb.ControlEntry(promotion=promotion)
        case pb.ClockAcceptedRecord() as accepted:
            return pb.ControlEntry(clock_accepted=accepted)
        case _:
            raise TypeError(f"{type(control).__name__} does not come through a control segment")


def load_control(entry: pb.ControlEntry) -> Control | None:
    """Return what an entry of a control segment asks for; None where it is of another sort."""
    match entry.WhichOneof("change"):
        case "learning":
            return load_learning(entry.learning)
        case "rollback":
            return load_rollback(entry.rollback)
        case "quarantine":
            return load_quarantine(entry.quarantine)
        case "promotion":
            return load_promotion(entry.promotion)
        case "clock_accepted":
            return load_clock_accepted(entry.clock_accepted)
        case _:
            return None


def load_learning(record: pb.LearningRecord) -> Learning:
    """Return a freeze or a resumption."""
    return Learning(record.placement_id, record.frozen, load_audit(record.audit))


def load_rollback(record: pb.RollbackRecord) -> Rollback:
    """Return a rollback."""
    return Rollback(
        record.placement_id,
        record.policy_epoch,
        record.model_position,
        record.close_time_us,
        record.close_position,
        record.learned_count,
        load_audit(record.audit),
        record.ledger_time_us,
    )


def load_quarantine(record: pb.QuarantineRecord) -> Quarantine:
    """Return a quarantine."""
    return Quarantine(
        record.placement_id,
        record.start_us,
        record.end_us,
        record.offer_id,
        record.source,
        load_audit(record.audit),
    )


def load_promotion(record: pb.PromotionRecord) -> Promotion:
    """Return a promotion."""
    return Promotion(
        record.placement_id,
        record.policy_epoch,
        record.description,
        record.close_time_us,
        record.close_position,
        record.uses_final,
        load_audit(record.audit),
    )


def load_clock_accepted(record: pb.ClockAcceptedRecord) -> ClockAccepted:
    """Return an accepted jump of the clock."""
    return ClockAccepted(load_audit(record.audit))


def _record(body: Steering) -> _Record:
    match body:
        case Learning():
            return pb.LearningRecord(
                placement_id=body.placement_id, frozen=body.frozen, audit=store_audit(body.audit)
            )
        case Rollback():
            return pb.RollbackRecord(
                placement_id=body.placement_id,
                policy_epoch=body.policy_epoch,
                model_position=body.model_position,
                close_time_us=body.close_time_us,
                close_position=body.close_position,
                learned_count=body.learned_count,
                audit=store_audit(body.audit),
                ledger_time_us=body.ledger_time_us,
            )
        case Quarantine():
            return pb.QuarantineRecord(
                placement_id=body.placement_id,
                start_us=body.start_us,
                end_us=body.end_us,
                offer_id=body.offer_id,
                source=body.source,
                audit=store_audit(body.audit),
            )
        case Promotion():
            return pb.PromotionRecord(
                placement_id=body.placement_id,
                policy_epoch=body.policy_epoch,
                description=body.description,
                close_time_us=body.close_time_us,
                close_position=body.close_position,
                uses_final=body.uses_final,
                audit=store_audit(body.audit),
            )
        case ClockAccepted():
            return pb.ClockAcceptedRecord(audit=store_audit(body.audit))
        case _:
            return _own_record(body)


def _own_record(
    body: Thinning | Retention | Erasure | ShadowPolicy,
) -> pb.ThinningRecord | pb.RetentionRecord | pb.ErasureRecord | pb.ShadowRecord:
    """Return what the learner alone writes as a record."""
    if isinstance(body, ShadowPolicy):
        return pb.ShadowRecord(
            placement_id=body.placement_id,
            name=body.name,
            policy_epoch=body.policy_epoch,
            description=body.description,
            incumbent_epoch=body.incumbent_epoch,
            share=body.share,
            time_us=body.time_us,
        )
    if isinstance(body, Erasure):
        return pb.ErasureRecord(
            base_position=body.base_position,
            base_sha256=body.base_sha256,
            decision_count=body.decision_count,
            audit=store_audit(body.audit),
        )
    if isinstance(body, Thinning):
        return pb.ThinningRecord(placement_id=body.placement_id, probability=body.probability)
    return pb.RetentionRecord(position=body.position, base_sha256=body.base_sha256)


def store_audit(audit: Audit) -> pb.Audit:
    """Return who and why as a message."""
    return pb.Audit(actor=audit.actor, reason=audit.reason, time_us=audit.time_us)


def load_audit(record: pb.Audit) -> Audit:
    """Return who and why."""
    return Audit(record.actor, record.reason, record.time_us)


def _load_thinning(record: pb.ThinningRecord) -> Thinning:
    return Thinning(record.placement_id, record.probability)


def _load_retention(record: pb.RetentionRecord) -> Retention:
    return Retention(record.position, record.base_sha256)


def _load_erasure(record: pb.ErasureRecord) -> Erasure:
    audit = load_audit(record.audit)
    return Erasure(record.base_position, record.base_sha256, record.decision_count, audit)


def _load_shadow(record: pb.ShadowRecord) -> ShadowPolicy:
    return ShadowPolicy(
        record.placement_id,
        record.name,
        record.policy_epoch,
        record.description,
        record.incumbent_epoch,
        record.share,
        record.time_us,
    )


_LOADERS: Final[dict[type[Steering], Callable[[bytes], Steering]]] = {
    Learning: lambda data: load_learning(pb.LearningRecord.FromString(data)),
    Rollback: lambda data: load_rollback(pb.RollbackRecord.FromString(data)),
    Quarantine: lambda data: load_quarantine(pb.QuarantineRecord.FromString(data)),
    Promotion: lambda data: load_promotion(pb.PromotionRecord.FromString(data)),
    ClockAccepted: lambda data: load_clock_accepted(pb.ClockAcceptedRecord.FromString(data)),
    Erasure: lambda data: _load_erasure(pb.ErasureRecord.FromString(data)),
    Thinning: lambda data: _load_thinning(pb.ThinningRecord.FromString(data)),
    ShadowPolicy: lambda data: _load_shadow(pb.ShadowRecord.FromString(data)),
    Retention: lambda data: _load_retention(pb.RetentionRecord.FromString(data)),
}
