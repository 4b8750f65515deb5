from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoredFeatures(_message.Message):
    __slots__ = ("category_names", "category_values", "number_names", "number_values", "tags")
    CATEGORY_NAMES_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_VALUES_FIELD_NUMBER: _ClassVar[int]
    NUMBER_NAMES_FIELD_NUMBER: _ClassVar[int]
    NUMBER_VALUES_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    category_names: _containers.RepeatedScalarFieldContainer[str]
    category_values: _containers.RepeatedScalarFieldContainer[str]
    number_names: _containers.RepeatedScalarFieldContainer[str]
    number_values: _containers.RepeatedScalarFieldContainer[float]
    tags: _containers.RepeatedCompositeFieldContainer[StoredTags]
    def __init__(self, category_names: _Optional[_Iterable[str]] = ..., category_values: _Optional[_Iterable[str]] = ..., number_names: _Optional[_Iterable[str]] = ..., number_values: _Optional[_Iterable[float]] = ..., tags: _Optional[_Iterable[_Union[StoredTags, _Mapping]]] = ...) -> None: ...

class StoredTags(_message.Message):
    __slots__ = ("name", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class StoredSlot(_message.Message):
    __slots__ = ("pmf", "chosen", "propensity")
    PMF_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    pmf: _containers.RepeatedScalarFieldContainer[float]
    chosen: int
    propensity: float
    def __init__(self, pmf: _Optional[_Iterable[float]] = ..., chosen: _Optional[int] = ..., propensity: _Optional[float] = ...) -> None: ...

class StoredCount(_message.Message):
    __slots__ = ("cap", "count")
    CAP_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    cap: int
    count: int
    def __init__(self, cap: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class StoredSpent(_message.Message):
    __slots__ = ("budget", "spent")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    budget: int
    spent: float
    def __init__(self, budget: _Optional[int] = ..., spent: _Optional[float] = ...) -> None: ...

class StoredCandidate(_message.Message):
    __slots__ = ("offer_id", "attributes")
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    attributes: StoredFeatures
    def __init__(self, offer_id: _Optional[str] = ..., attributes: _Optional[_Union[StoredFeatures, _Mapping]] = ...) -> None: ...

class DecisionRecord(_message.Message):
    __slots__ = ("decision_id", "decide_time_us", "catalog_revision", "placement_id", "candidates", "excluded", "exclusion_reasons", "slots", "context", "policy_epoch", "model_position", "reason", "deferred", "holdout", "ramp", "floor", "baseline", "draw_salt_id", "consent", "cap_counts", "inline_candidates", "model_pmf", "budget_spent", "holdout_u", "excluded_by_caller", "request_digest", "body_digest", "imported", "erased")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CATALOG_REVISION_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    EXCLUSION_REASONS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    POLICY_EPOCH_FIELD_NUMBER: _ClassVar[int]
    MODEL_POSITION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DEFERRED_FIELD_NUMBER: _ClassVar[int]
    HOLDOUT_FIELD_NUMBER: _ClassVar[int]
    RAMP_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    DRAW_SALT_ID_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    CAP_COUNTS_FIELD_NUMBER: _ClassVar[int]
    INLINE_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    MODEL_PMF_FIELD_NUMBER: _ClassVar[int]
    BUDGET_SPENT_FIELD_NUMBER: _ClassVar[int]
    HOLDOUT_U_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_BY_CALLER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BODY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    decision_id: bytes
    decide_time_us: int
    catalog_revision: int
    placement_id: str
    candidates: _containers.RepeatedScalarFieldContainer[int]
    excluded: _containers.RepeatedScalarFieldContainer[int]
    exclusion_reasons: _containers.RepeatedScalarFieldContainer[int]
    slots: _containers.RepeatedCompositeFieldContainer[StoredSlot]
    context: StoredFeatures
    policy_epoch: bytes
    model_position: int
    reason: int
    deferred: bool
    holdout: bool
    ramp: float
    floor: float
    baseline: int
    draw_salt_id: int
    consent: int
    cap_counts: _containers.RepeatedCompositeFieldContainer[StoredCount]
    inline_candidates: _containers.RepeatedCompositeFieldContainer[StoredCandidate]
    model_pmf: _containers.RepeatedScalarFieldContainer[float]
    budget_spent: _containers.RepeatedCompositeFieldContainer[StoredSpent]
    holdout_u: float
    excluded_by_caller: _containers.RepeatedScalarFieldContainer[str]
    request_digest: bytes
    body_digest: bytes
    imported: bool
    erased: bool
    def __init__(self, decision_id: _Optional[bytes] = ..., decide_time_us: _Optional[int] = ..., catalog_revision: _Optional[int] = ..., placement_id: _Optional[str] = ..., candidates: _Optional[_Iterable[int]] = ..., excluded: _Optional[_Iterable[int]] = ..., exclusion_reasons: _Optional[_Iterable[int]] = ..., slots: _Optional[_Iterable[_Union[StoredSlot, _Mapping]]] = ..., context: _Optional[_Union[StoredFeatures, _Mapping]] = ..., policy_epoch: _Optional[bytes] = ..., model_position: _Optional[int] = ..., reason: _Optional[int] = ..., deferred: _Optional[bool] = ..., holdout: _Optional[bool] = ..., ramp: _Optional[float] = ..., floor: _Optional[float] = ..., baseline: _Optional[int] = ..., draw_salt_id: _Optional[int] = ..., consent: _Optional[int] = ..., cap_counts: _Optional[_Iterable[_Union[StoredCount, _Mapping]]] = ..., inline_candidates: _Optional[_Iterable[_Union[StoredCandidate, _Mapping]]] = ..., model_pmf: _Optional[_Iterable[float]] = ..., budget_spent: _Optional[_Iterable[_Union[StoredSpent, _Mapping]]] = ..., holdout_u: _Optional[float] = ..., excluded_by_caller: _Optional[_Iterable[str]] = ..., request_digest: _Optional[bytes] = ..., body_digest: _Optional[bytes] = ..., imported: _Optional[bool] = ..., erased: _Optional[bool] = ...) -> None: ...

class FeedbackRecord(_message.Message):
    __slots__ = ("feedback_id", "decision_id", "placement_id", "slot", "kind", "value", "receive_time_us", "occur_time_us", "retracts_feedback_id", "source")
    FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_TIME_US_FIELD_NUMBER: _ClassVar[int]
    OCCUR_TIME_US_FIELD_NUMBER: _ClassVar[int]
    RETRACTS_FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    feedback_id: str
    decision_id: bytes
    placement_id: str
    slot: int
    kind: str
    value: float
    receive_time_us: int
    occur_time_us: int
    retracts_feedback_id: str
    source: str
    def __init__(self, feedback_id: _Optional[str] = ..., decision_id: _Optional[bytes] = ..., placement_id: _Optional[str] = ..., slot: _Optional[int] = ..., kind: _Optional[str] = ..., value: _Optional[float] = ..., receive_time_us: _Optional[int] = ..., occur_time_us: _Optional[int] = ..., retracts_feedback_id: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class CatalogRecord(_message.Message):
    __slots__ = ("revision", "apply_time_us", "document", "canonical")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    APPLY_TIME_US_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    CANONICAL_FIELD_NUMBER: _ClassVar[int]
    revision: int
    apply_time_us: int
    document: str
    canonical: str
    def __init__(self, revision: _Optional[int] = ..., apply_time_us: _Optional[int] = ..., document: _Optional[str] = ..., canonical: _Optional[str] = ...) -> None: ...

class SaltRecord(_message.Message):
    __slots__ = ("salt_id", "purpose", "salt")
    SALT_ID_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    salt_id: int
    purpose: str
    salt: bytes
    def __init__(self, salt_id: _Optional[int] = ..., purpose: _Optional[str] = ..., salt: _Optional[bytes] = ...) -> None: ...

class EpochRecord(_message.Message):
    __slots__ = ("placement_id", "catalog_revision", "policy_epoch", "description")
    PLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CATALOG_REVISION_FIELD_NUMBER: _ClassVar[int]
    POLICY_EPOCH_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    placement_id: str
    catalog_revision: int
    policy_epoch: bytes
    description: str
    def __init__(self, placement_id: _Optional[str] = ..., catalog_revision: _Optional[int] = ..., policy_epoch: _Optional[bytes] = ..., description: _Optional[str] = ...) -> None: ...

class MergeRecord(_message.Message):
    __slots__ = ("from_key", "into_key")
    FROM_KEY_FIELD_NUMBER: _ClassVar[int]
    INTO_KEY_FIELD_NUMBER: _ClassVar[int]
    from_key: int
    into_key: int
    def __init__(self, from_key: _Optional[int] = ..., into_key: _Optional[int] = ...) -> None: ...

class Audit(_message.Message):
    __slots__ = ("actor", "reason", "time_us")
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    actor: str
    reason: str
    time_us: int
    def __init__(self, actor: _Optional[str] = ..., reason: _Optional[str] = ..., time_us: _Optional[int] = ...) -> None: ...

class LearningRecord(_message.Message):
    __slots__ = ("placement_id", "frozen", "audit")
    PLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    placement_id: str
    frozen: bool
    audit: Audit
    def __init__(self, placement_id: _Optional[str] = ..., frozen: _Optional[bool] = ..., audit: _Optional[_Union[Audit, _Mapping]] = ...) -> None: ...

class RollbackRecord(_message.Message):
    __slots__ = ("placement_id", "policy_epoch", "model_position", "close_time_us", "close_position", "learned_count", "audit", "ledger_time_us")
    PLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_EPOCH_FIELD_NUMBER: _ClassVar[int]
    MODEL_POSITION_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CLOSE_POSITION_FIELD_NUMBER: _ClassVar[int]
    LEARNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    LEDGER_TIME_US_FIELD_NUMBER: _ClassVar[int]
    placement_id: str
    policy_epoch: bytes
    model_position: int
    close_time_us: int
    close_position: int
    learned_count: int
    audit: Audit
    ledger_time_us: int
    def __init__(self, placement_id: _Optional[str] = ..., policy_epoch: _Optional[bytes] = ..., model_position: _Optional[int] = ..., close_time_us: _Optional[int] = ..., close_position: _Optional[int] = ..., learned_count: _Optional[int] = ..., audit: _Optional[_Union[Audit, _Mapping]] = ..., ledger_time_us: _Optional[int] = ...) -> None: ...

class QuarantineRecord(_message.Message):
    __slots__ = ("placement_id", "start_us", "end_us", "offer_id", "source", "audit")
    PLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    placement_id: str
    start_us: int
    end_us: int
    offer_id: str
    source: str
    audit: Audit
    def __init__(self, placement_id: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., offer_id: _Optional[str] = ..., source: _Optional[str] = ..., audit: _Optional[_Union[Audit, _Mapping]] = ...) -> None: ...

class PromotionRecord(_message.Message):
    __slots__ = ("placement_id", "policy_epoch", "description", "close_time_us", "close_position", "uses_final", "audit")
    PLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_EPOCH_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CLOSE_POSITION_FIELD_NUMBER: _ClassVar[int]
    USES_FINAL_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    placement_id: str
    policy_epoch: bytes
    description: str
    close_time_us: int
    close_position: int
    uses_final: bool
    audit: Audit
    def __init__(self, placement_id: _Optional[str] = ..., policy_epoch: _Optional[bytes] = ..., description: _Optional[str] = ..., close_time_us: _Optional[int] = ..., close_position: _Optional[int] = ..., uses_final: _Optional[bool] = ..., audit: _Optional[_Union[Audit, _Mapping]] = ...) -> None: ...

class ClockAcceptedRecord(_message.Message):
    __slots__ = ("audit",)
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    audit: Audit
    def __init__(self, audit: _Optional[_Union[Audit, _Mapping]] = ...) -> None: ...

class ThinningRecord(_message.Message):
    __slots__ = ("placement_id", "probability")
    PLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    placement_id: str
    probability: float
    def __init__(self, placement_id: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class RetentionRecord(_message.Message):
    __slots__ = ("position", "base_sha256")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    BASE_SHA256_FIELD_NUMBER: _ClassVar[int]
    position: int
    base_sha256: bytes
    def __init__(self, position: _Optional[int] = ..., base_sha256: _Optional[bytes] = ...) -> None: ...

class ErasureRecord(_message.Message):
    __slots__ = ("base_position", "base_sha256", "decision_count", "audit")
    BASE_POSITION_FIELD_NUMBER: _ClassVar[int]
    BASE_SHA256_FIELD_NUMBER: _ClassVar[int]
    DECISION_COUNT_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    base_position: int
    base_sha256: bytes
    decision_count: int
    audit: Audit
    def __init__(self, base_position: _Optional[int] = ..., base_sha256: _Optional[bytes] = ..., decision_count: _Optional[int] = ..., audit: _Optional[_Union[Audit, _Mapping]] = ...) -> None: ...

class TickRecord(_message.Message):
    __slots__ = ("time_us",)
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    time_us: int
    def __init__(self, time_us: _Optional[int] = ...) -> None: ...

class ControlEntry(_message.Message):
    __slots__ = ("catalog", "salt", "merge", "learning", "rollback", "quarantine", "promotion", "clock_accepted", "erase")
    CATALOG_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    LEARNING_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    CLOCK_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ERASE_FIELD_NUMBER: _ClassVar[int]
    catalog: CatalogRecord
    salt: SaltRecord
    merge: MergeEntry
    learning: LearningRecord
    rollback: RollbackRecord
    quarantine: QuarantineRecord
    promotion: PromotionRecord
    clock_accepted: ClockAcceptedRecord
    erase: EraseEntry
    def __init__(self, catalog: _Optional[_Union[CatalogRecord, _Mapping]] = ..., salt: _Optional[_Union[SaltRecord, _Mapping]] = ..., merge: _Optional[_Union[MergeEntry, _Mapping]] = ..., learning: _Optional[_Union[LearningRecord, _Mapping]] = ..., rollback: _Optional[_Union[RollbackRecord, _Mapping]] = ..., quarantine: _Optional[_Union[QuarantineRecord, _Mapping]] = ..., promotion: _Optional[_Union[PromotionRecord, _Mapping]] = ..., clock_accepted: _Optional[_Union[ClockAcceptedRecord, _Mapping]] = ..., erase: _Optional[_Union[EraseEntry, _Mapping]] = ...) -> None: ...

class EraseEntry(_message.Message):
    __slots__ = ("visitor_digest", "audit")
    VISITOR_DIGEST_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    visitor_digest: bytes
    audit: Audit
    def __init__(self, visitor_digest: _Optional[bytes] = ..., audit: _Optional[_Union[Audit, _Mapping]] = ...) -> None: ...

class MergeEntry(_message.Message):
    __slots__ = ("from_digest", "into_digest")
    FROM_DIGEST_FIELD_NUMBER: _ClassVar[int]
    INTO_DIGEST_FIELD_NUMBER: _ClassVar[int]
    from_digest: bytes
    into_digest: bytes
    def __init__(self, from_digest: _Optional[bytes] = ..., into_digest: _Optional[bytes] = ...) -> None: ...

class JournalEntry(_message.Message):
    __slots__ = ("visitor_digest", "decision")
    VISITOR_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    visitor_digest: bytes
    decision: bytes
    def __init__(self, visitor_digest: _Optional[bytes] = ..., decision: _Optional[bytes] = ...) -> None: ...

class InboxEntry(_message.Message):
    __slots__ = ("visitor_digest", "feedback")
    VISITOR_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    visitor_digest: bytes
    feedback: bytes
    def __init__(self, visitor_digest: _Optional[bytes] = ..., feedback: _Optional[bytes] = ...) -> None: ...

class SegmentHeader(_message.Message):
    __slots__ = ("format_version", "kind", "boot_id", "writer_id", "sequence")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    WRITER_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    kind: str
    boot_id: str
    writer_id: str
    sequence: int
    def __init__(self, format_version: _Optional[int] = ..., kind: _Optional[str] = ..., boot_id: _Optional[str] = ..., writer_id: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class SnapshotHeader(_message.Message):
    __slots__ = ("format_version", "placement_id", "policy_epoch", "ledger_position", "close_time_us", "close_position", "learned_count", "policy", "lineage_position", "remarks")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEDGER_POSITION_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CLOSE_POSITION_FIELD_NUMBER: _ClassVar[int]
    LEARNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_POSITION_FIELD_NUMBER: _ClassVar[int]
    REMARKS_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    placement_id: str
    policy_epoch: bytes
    ledger_position: int
    close_time_us: int
    close_position: int
    learned_count: int
    policy: str
    lineage_position: int
    remarks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, format_version: _Optional[int] = ..., placement_id: _Optional[str] = ..., policy_epoch: _Optional[bytes] = ..., ledger_position: _Optional[int] = ..., close_time_us: _Optional[int] = ..., close_position: _Optional[int] = ..., learned_count: _Optional[int] = ..., policy: _Optional[str] = ..., lineage_position: _Optional[int] = ..., remarks: _Optional[_Iterable[str]] = ...) -> None: ...

class BaseHeader(_message.Message):
    __slots__ = ("format_version", "ledger_position", "ledger_time_us", "from_position", "dropped_position", "archived_count")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    LEDGER_POSITION_FIELD_NUMBER: _ClassVar[int]
    LEDGER_TIME_US_FIELD_NUMBER: _ClassVar[int]
    FROM_POSITION_FIELD_NUMBER: _ClassVar[int]
    DROPPED_POSITION_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    ledger_position: int
    ledger_time_us: int
    from_position: int
    dropped_position: int
    archived_count: int
    def __init__(self, format_version: _Optional[int] = ..., ledger_position: _Optional[int] = ..., ledger_time_us: _Optional[int] = ..., from_position: _Optional[int] = ..., dropped_position: _Optional[int] = ..., archived_count: _Optional[int] = ...) -> None: ...
