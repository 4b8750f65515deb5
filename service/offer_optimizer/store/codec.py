"""Core values to stored records and back. Equal values give equal bytes in every process and release.

The only module that knows the layout of ledger.v1 records (segments and snapshots know their headers).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from offer_optimizer.core.control import (
    Control,
    Learning,
    Promotion,
    Quarantine,
    Retention,
    Rollback,
    Steering,
    Thinning,
)
from offer_optimizer.core.decision import (
    Consent,
    Decision,
    InlineCandidate,
    ModelVersion,
    Pmf32,
    Reason,
    SlotChoice,
)
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.ledger.v1 import records_pb2 as pb
from offer_optimizer.store.control_codec import control_entry, decode_steering, load_control


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


STEERING_KINDS: Final[dict[RecordKind, type[Steering]]] = {
    RecordKind.LEARNING: Learning,
    RecordKind.ROLLBACK: Rollback,
    RecordKind.QUARANTINE: Quarantine,
    RecordKind.PROMOTION: Promotion,
    RecordKind.THINNING: Thinning,
    RecordKind.RETENTION: Retention,
}
"""Which body each kind of record that steers learning has."""


@dataclass(frozen=True, slots=True)
class StoredCatalog:
    """A catalog revision as the ledger keeps it; `canonical` is the validated catalog as JSON."""

    revision: int
    apply_time_us: int
    document: str
    canonical: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """What a policy epoch (16 bytes) stands for; `description` is canonical JSON."""

    placement_id: str
    catalog_revision: int
    policy_epoch: bytes
    description: str


@dataclass(frozen=True, slots=True)
class Salt:
    """A salt of a keyed hash; `purpose` is `draw` or `holdout`."""

    salt_id: int
    purpose: str
    salt: bytes


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


Body = Decision | Feedback | Tick | StoredCatalog | Epoch | Salt | Merge | Steering
Change = StoredCatalog | MergeChange | Control
"""What a control segment brings."""


def encode_decision(decision: Decision) -> bytes:
    """Serialise a decision; maps are already sorted in Features."""
    version = decision.model_version
    record = pb.DecisionRecord(
        decision_id=decision.decision_id,
        decide_time_us=decision.decide_time_us,
        catalog_revision=decision.catalog_revision,
        placement_id=decision.placement_id,
        candidates=decision.candidates,
        excluded=decision.excluded,
        exclusion_reasons=decision.exclusion_reasons,
        context=_store_features(decision.context) if decision.context != EMPTY else None,
        policy_epoch=version.epoch if version else b"",
        model_position=version.position if version else 0,
        reason=decision.reason,
        deferred=decision.deferred,
        holdout=decision.holdout,
        ramp=decision.ramp,
        floor=decision.floor,
        baseline=decision.baseline,
        draw_salt_id=decision.draw_salt_id,
        consent=decision.consent,
        model_pmf=decision.model_pmf.tolist() if decision.model_pmf is not None else None,
        holdout_u=decision.holdout_u,
        excluded_by_caller=decision.excluded_by_caller,
        request_digest=decision.request_digest,
        body_digest=decision.body_digest,
        imported=decision.imported,
    )
    for slot in decision.slots:
        record.slots.add(pmf=slot.pmf.tolist(), chosen=slot.chosen, propensity=slot.propensity)
    for cap, count in decision.cap_counts:
        record.cap_counts.add(cap=cap, count=count)
    for budget, spent in decision.budget_spent:
        record.budget_spent.add(budget=budget, spent=spent)
    for inline in decision.inline:
        record.inline_candidates.add(offer_id=inline.offer_id, attributes=_store_features(inline.attributes))
    return record.SerializeToString(deterministic=True)


def decode_decision(data: bytes) -> Decision:
    """Parse what encode_decision wrote."""
    record = pb.DecisionRecord.FromString(data)
    return Decision(
        decision_id=record.decision_id,
        decide_time_us=record.decide_time_us,
        catalog_revision=record.catalog_revision,
        placement_id=record.placement_id,
        candidates=tuple(record.candidates),
        excluded=tuple(record.excluded),
        exclusion_reasons=tuple(record.exclusion_reasons),
        slots=tuple(SlotChoice(_pmf(slot.pmf), slot.chosen, slot.propensity) for slot in record.slots),
        context=load_features(record.context) if record.HasField("context") else EMPTY,
        model_version=ModelVersion(record.policy_epoch, record.model_position)
        if record.policy_epoch
        else None,
        reason=Reason(record.reason),
        deferred=record.deferred,
        holdout=record.holdout,
        ramp=record.ramp,
        floor=record.floor,
        baseline=record.baseline if record.HasField("baseline") else None,
        draw_salt_id=record.draw_salt_id,
        consent=Consent(record.consent),
        model_pmf=_pmf(record.model_pmf) if record.model_pmf else None,
        holdout_u=record.holdout_u if record.HasField("holdout_u") else None,
        cap_counts=tuple((read.cap, read.count) for read in record.cap_counts),
        budget_spent=tuple((read.budget, read.spent) for read in record.budget_spent),
        inline=tuple(
            InlineCandidate(inline.offer_id, load_features(inline.attributes))
            for inline in record.inline_candidates
        ),
        excluded_by_caller=tuple(record.excluded_by_caller),
        request_digest=record.request_digest,
        body_digest=record.body_digest,
        imported=record.imported,
    )


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


def encode_catalog(catalog: StoredCatalog) -> bytes:
    """Serialise a catalog revision."""
    return _catalog_record(catalog).SerializeToString(deterministic=True)


def decode_catalog(data: bytes) -> StoredCatalog:
    """Parse what encode_catalog wrote."""
    return _load_catalog(pb.CatalogRecord.FromString(data))


def encode_control(change: Change) -> bytes:
    """Serialise an entry of a control segment."""
    match change:
        case MergeChange():
            merge = pb.MergeEntry(from_digest=change.from_digest, into_digest=change.into_digest)
            entry = pb.ControlEntry(merge=merge)
        case StoredCatalog():
            entry = pb.ControlEntry(catalog=_catalog_record(change))
        case _:
            entry = control_entry(change)
    return entry.SerializeToString(deterministic=True)


def decode_control(data: bytes) -> Change:
    """Parse an entry of a control segment."""
    entry = pb.ControlEntry.FromString(data)
    if entry.HasField("merge"):
        return MergeChange(entry.merge.from_digest, entry.merge.into_digest)
    return load_control(entry) or _load_catalog(entry.catalog)


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
    return pb.JournalEntry(visitor_digest=visitor_digest, decision=decision).SerializeToString()


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


def _pmf(values: object) -> Pmf32:
    return np.array(values, dtype=np.float32)


def _store_features(features: Features) -> pb.StoredFeatures:
    stored = pb.StoredFeatures()
    if features.categories:
        names, texts = zip(*features.categories, strict=True)
        stored.category_names.extend(names)
        stored.category_values.extend(texts)
    if features.numbers:
        names, numbers = zip(*features.numbers, strict=True)
        stored.number_names.extend(names)
        stored.number_values.extend(numbers)
    for name, values in features.tags:
        stored.tags.add(name=name, values=values)
    return stored


def load_features(stored: pb.StoredFeatures) -> Features:
    """Parse stored features."""
    return Features(
        categories=tuple(zip(stored.category_names, stored.category_values, strict=True)),
        numbers=tuple(zip(stored.number_names, stored.number_values, strict=True)),
        tags=tuple((tags.name, tuple(tags.values)) for tags in stored.tags),
    )


def _catalog_record(catalog: StoredCatalog) -> pb.CatalogRecord:
    return pb.CatalogRecord(
        revision=catalog.revision,
        apply_time_us=catalog.apply_time_us,
        document=catalog.document,
        canonical=catalog.canonical,
    )


def _load_catalog(record: pb.CatalogRecord) -> StoredCatalog:
    return StoredCatalog(record.revision, record.apply_time_us, record.document, record.canonical)
