import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Consent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSENT_UNSPECIFIED: _ClassVar[Consent]
    CONSENT_NONE: _ClassVar[Consent]
    CONSENT_SERVE_ONLY: _ClassVar[Consent]
    CONSENT_FULL: _ClassVar[Consent]

class DecisionReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_REASON_UNSPECIFIED: _ClassVar[DecisionReason]
    DECISION_REASON_MODEL: _ClassVar[DecisionReason]
    DECISION_REASON_BASELINE: _ClassVar[DecisionReason]
    DECISION_REASON_HOLDOUT: _ClassVar[DecisionReason]
    DECISION_REASON_NO_ELIGIBLE_OFFER: _ClassVar[DecisionReason]
    DECISION_REASON_MODEL_UNAVAILABLE: _ClassVar[DecisionReason]
    DECISION_REASON_NO_CONSENT: _ClassVar[DecisionReason]
    DECISION_REASON_UNRECORDED: _ClassVar[DecisionReason]

class FeedbackStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEEDBACK_STATUS_UNSPECIFIED: _ClassVar[FeedbackStatus]
    FEEDBACK_STATUS_ACCEPTED: _ClassVar[FeedbackStatus]
    FEEDBACK_STATUS_INVALID: _ClassVar[FeedbackStatus]
CONSENT_UNSPECIFIED: Consent
CONSENT_NONE: Consent
CONSENT_SERVE_ONLY: Consent
CONSENT_FULL: Consent
DECISION_REASON_UNSPECIFIED: DecisionReason
DECISION_REASON_MODEL: DecisionReason
DECISION_REASON_BASELINE: DecisionReason
DECISION_REASON_HOLDOUT: DecisionReason
DECISION_REASON_NO_ELIGIBLE_OFFER: DecisionReason
DECISION_REASON_MODEL_UNAVAILABLE: DecisionReason
DECISION_REASON_NO_CONSENT: DecisionReason
DECISION_REASON_UNRECORDED: DecisionReason
FEEDBACK_STATUS_UNSPECIFIED: FeedbackStatus
FEEDBACK_STATUS_ACCEPTED: FeedbackStatus
FEEDBACK_STATUS_INVALID: FeedbackStatus

class Visitor(_message.Message):
    __slots__ = ("visitor_id", "consent")
    VISITOR_ID_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    visitor_id: str
    consent: Consent
    def __init__(self, visitor_id: _Optional[str] = ..., consent: _Optional[_Union[Consent, str]] = ...) -> None: ...

class Tags(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class Features(_message.Message):
    __slots__ = ("categories", "numbers", "tags")
    class CategoriesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class NumbersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Tags
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Tags, _Mapping]] = ...) -> None: ...
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    categories: _containers.ScalarMap[str, str]
    numbers: _containers.ScalarMap[str, float]
    tags: _containers.MessageMap[str, Tags]
    def __init__(self, categories: _Optional[_Mapping[str, str]] = ..., numbers: _Optional[_Mapping[str, float]] = ..., tags: _Optional[_Mapping[str, Tags]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("offer_id", "attributes")
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    attributes: Features
    def __init__(self, offer_id: _Optional[str] = ..., attributes: _Optional[_Union[Features, _Mapping]] = ...) -> None: ...

class DecideRequest(_message.Message):
    __slots__ = ("placement", "visitor", "context", "candidates", "exclude_offer_ids", "deferred", "request_id")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    VISITOR_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_OFFER_IDS_FIELD_NUMBER: _ClassVar[int]
    DEFERRED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    placement: str
    visitor: Visitor
    context: Features
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    exclude_offer_ids: _containers.RepeatedScalarFieldContainer[str]
    deferred: bool
    request_id: str
    def __init__(self, placement: _Optional[str] = ..., visitor: _Optional[_Union[Visitor, _Mapping]] = ..., context: _Optional[_Union[Features, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., exclude_offer_ids: _Optional[_Iterable[str]] = ..., deferred: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class Slot(_message.Message):
    __slots__ = ("offer_id", "propensity", "payload")
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    propensity: float
    payload: str
    def __init__(self, offer_id: _Optional[str] = ..., propensity: _Optional[float] = ..., payload: _Optional[str] = ...) -> None: ...

class DecideResponse(_message.Message):
    __slots__ = ("decision_id", "slots", "reason", "model_version")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    slots: _containers.RepeatedCompositeFieldContainer[Slot]
    reason: DecisionReason
    model_version: str
    def __init__(self, decision_id: _Optional[str] = ..., slots: _Optional[_Iterable[_Union[Slot, _Mapping]]] = ..., reason: _Optional[_Union[DecisionReason, str]] = ..., model_version: _Optional[str] = ...) -> None: ...

class BatchDecideRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[DecideRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[DecideRequest, _Mapping]]] = ...) -> None: ...

class BatchDecideResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: DecideResponse
    error: ItemError
    def __init__(self, response: _Optional[_Union[DecideResponse, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...

class ItemError(_message.Message):
    __slots__ = ("code", "message", "reason")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    reason: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class BatchDecideResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchDecideResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchDecideResult, _Mapping]]] = ...) -> None: ...

class VisitorPlacement(_message.Message):
    __slots__ = ("visitor_id", "placement")
    VISITOR_ID_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    visitor_id: str
    placement: str
    def __init__(self, visitor_id: _Optional[str] = ..., placement: _Optional[str] = ...) -> None: ...

class Feedback(_message.Message):
    __slots__ = ("feedback_id", "decision_id", "visitor_placement", "slot", "kind", "value", "occur_time", "retracts_feedback_id")
    FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    VISITOR_PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    OCCUR_TIME_FIELD_NUMBER: _ClassVar[int]
    RETRACTS_FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    feedback_id: str
    decision_id: str
    visitor_placement: VisitorPlacement
    slot: int
    kind: str
    value: float
    occur_time: _timestamp_pb2.Timestamp
    retracts_feedback_id: str
    def __init__(self, feedback_id: _Optional[str] = ..., decision_id: _Optional[str] = ..., visitor_placement: _Optional[_Union[VisitorPlacement, _Mapping]] = ..., slot: _Optional[int] = ..., kind: _Optional[str] = ..., value: _Optional[float] = ..., occur_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., retracts_feedback_id: _Optional[str] = ...) -> None: ...

class RecordFeedbackRequest(_message.Message):
    __slots__ = ("items", "source")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Feedback]
    source: str
    def __init__(self, items: _Optional[_Iterable[_Union[Feedback, _Mapping]]] = ..., source: _Optional[str] = ...) -> None: ...

class FeedbackResult(_message.Message):
    __slots__ = ("status", "message")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    status: FeedbackStatus
    message: str
    def __init__(self, status: _Optional[_Union[FeedbackStatus, str]] = ..., message: _Optional[str] = ...) -> None: ...

class RecordFeedbackResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[FeedbackResult]
    def __init__(self, results: _Optional[_Iterable[_Union[FeedbackResult, _Mapping]]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class ExplainedCandidate(_message.Message):
    __slots__ = ("offer_id", "exclusion_reason", "probability", "chosen", "model_probability")
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    EXCLUSION_REASON_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    MODEL_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    exclusion_reason: str
    probability: float
    chosen: bool
    model_probability: float
    def __init__(self, offer_id: _Optional[str] = ..., exclusion_reason: _Optional[str] = ..., probability: _Optional[float] = ..., chosen: _Optional[bool] = ..., model_probability: _Optional[float] = ...) -> None: ...

class ExplainedCount(_message.Message):
    __slots__ = ("cap_id", "count", "limit")
    CAP_ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    cap_id: str
    count: int
    limit: int
    def __init__(self, cap_id: _Optional[str] = ..., count: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ExplainedSpent(_message.Message):
    __slots__ = ("budget_id", "spent", "limit")
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    budget_id: str
    spent: float
    limit: float
    def __init__(self, budget_id: _Optional[str] = ..., spent: _Optional[float] = ..., limit: _Optional[float] = ...) -> None: ...

class ExplainedDraw(_message.Message):
    __slots__ = ("salt_id", "number")
    SALT_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    salt_id: int
    number: float
    def __init__(self, salt_id: _Optional[int] = ..., number: _Optional[float] = ...) -> None: ...

class ExplainedMix(_message.Message):
    __slots__ = ("ramp", "floor", "baseline_offer_id")
    RAMP_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    BASELINE_OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    ramp: float
    floor: float
    baseline_offer_id: str
    def __init__(self, ramp: _Optional[float] = ..., floor: _Optional[float] = ..., baseline_offer_id: _Optional[str] = ...) -> None: ...

class ExplainedHoldout(_message.Message):
    __slots__ = ("held_out", "share", "number")
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    held_out: bool
    share: float
    number: float
    def __init__(self, held_out: _Optional[bool] = ..., share: _Optional[float] = ..., number: _Optional[float] = ...) -> None: ...

class Contribution(_message.Message):
    __slots__ = ("feature", "change")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    feature: str
    change: float
    def __init__(self, feature: _Optional[str] = ..., change: _Optional[float] = ...) -> None: ...

class ExplainedContributions(_message.Message):
    __slots__ = ("model_version", "probability", "contributions")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    probability: float
    contributions: _containers.RepeatedCompositeFieldContainer[Contribution]
    def __init__(self, model_version: _Optional[str] = ..., probability: _Optional[float] = ..., contributions: _Optional[_Iterable[_Union[Contribution, _Mapping]]] = ...) -> None: ...

class ExplainedFeedback(_message.Message):
    __slots__ = ("feedback_id", "kind", "value", "receive_time", "fate")
    FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    FATE_FIELD_NUMBER: _ClassVar[int]
    feedback_id: str
    kind: str
    value: float
    receive_time: _timestamp_pb2.Timestamp
    fate: str
    def __init__(self, feedback_id: _Optional[str] = ..., kind: _Optional[str] = ..., value: _Optional[float] = ..., receive_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fate: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("decision_id", "placement", "decide_time", "reason", "candidates", "context", "feedback", "catalog_revision", "model_version", "summary", "reward_learned", "reward_final", "text", "explored", "deferred", "consent", "cap_counts", "budgets", "draw", "mix", "holdout", "fate", "close_time", "contributions", "model_remarks")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    CATALOG_REVISION_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    REWARD_LEARNED_FIELD_NUMBER: _ClassVar[int]
    REWARD_FINAL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EXPLORED_FIELD_NUMBER: _ClassVar[int]
    DEFERRED_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    CAP_COUNTS_FIELD_NUMBER: _ClassVar[int]
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    DRAW_FIELD_NUMBER: _ClassVar[int]
    MIX_FIELD_NUMBER: _ClassVar[int]
    HOLDOUT_FIELD_NUMBER: _ClassVar[int]
    FATE_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_REMARKS_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    placement: str
    decide_time: _timestamp_pb2.Timestamp
    reason: DecisionReason
    candidates: _containers.RepeatedCompositeFieldContainer[ExplainedCandidate]
    context: Features
    feedback: _containers.RepeatedCompositeFieldContainer[ExplainedFeedback]
    catalog_revision: int
    model_version: str
    summary: str
    reward_learned: float
    reward_final: float
    text: str
    explored: bool
    deferred: bool
    consent: Consent
    cap_counts: _containers.RepeatedCompositeFieldContainer[ExplainedCount]
    budgets: _containers.RepeatedCompositeFieldContainer[ExplainedSpent]
    draw: ExplainedDraw
    mix: ExplainedMix
    holdout: ExplainedHoldout
    fate: str
    close_time: _timestamp_pb2.Timestamp
    contributions: ExplainedContributions
    model_remarks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, decision_id: _Optional[str] = ..., placement: _Optional[str] = ..., decide_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[_Union[DecisionReason, str]] = ..., candidates: _Optional[_Iterable[_Union[ExplainedCandidate, _Mapping]]] = ..., context: _Optional[_Union[Features, _Mapping]] = ..., feedback: _Optional[_Iterable[_Union[ExplainedFeedback, _Mapping]]] = ..., catalog_revision: _Optional[int] = ..., model_version: _Optional[str] = ..., summary: _Optional[str] = ..., reward_learned: _Optional[float] = ..., reward_final: _Optional[float] = ..., text: _Optional[str] = ..., explored: _Optional[bool] = ..., deferred: _Optional[bool] = ..., consent: _Optional[_Union[Consent, str]] = ..., cap_counts: _Optional[_Iterable[_Union[ExplainedCount, _Mapping]]] = ..., budgets: _Optional[_Iterable[_Union[ExplainedSpent, _Mapping]]] = ..., draw: _Optional[_Union[ExplainedDraw, _Mapping]] = ..., mix: _Optional[_Union[ExplainedMix, _Mapping]] = ..., holdout: _Optional[_Union[ExplainedHoldout, _Mapping]] = ..., fate: _Optional[str] = ..., close_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., contributions: _Optional[_Union[ExplainedContributions, _Mapping]] = ..., model_remarks: _Optional[_Iterable[str]] = ...) -> None: ...

class MergeVisitorRequest(_message.Message):
    __slots__ = ("from_visitor_id", "into_visitor_id")
    FROM_VISITOR_ID_FIELD_NUMBER: _ClassVar[int]
    INTO_VISITOR_ID_FIELD_NUMBER: _ClassVar[int]
    from_visitor_id: str
    into_visitor_id: str
    def __init__(self, from_visitor_id: _Optional[str] = ..., into_visitor_id: _Optional[str] = ...) -> None: ...

class MergeVisitorResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EraseVisitorRequest(_message.Message):
    __slots__ = ("visitor_id", "reason", "actor")
    VISITOR_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    visitor_id: str
    reason: str
    actor: str
    def __init__(self, visitor_id: _Optional[str] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class EraseVisitorResponse(_message.Message):
    __slots__ = ("redacted_decision_count",)
    REDACTED_DECISION_COUNT_FIELD_NUMBER: _ClassVar[int]
    redacted_decision_count: int
    def __init__(self, redacted_decision_count: _Optional[int] = ...) -> None: ...

class ExportVisitorRequest(_message.Message):
    __slots__ = ("visitor_id", "page_size", "page_token")
    VISITOR_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    visitor_id: str
    page_size: int
    page_token: str
    def __init__(self, visitor_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ExportVisitorResponse(_message.Message):
    __slots__ = ("decisions", "next_page_token", "other_feedback", "caps", "archived_decisions")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    OTHER_FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    CAPS_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_DECISIONS_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[ExplainResponse]
    next_page_token: str
    other_feedback: _containers.RepeatedCompositeFieldContainer[ExplainedFeedback]
    caps: _containers.RepeatedCompositeFieldContainer[ExportedCap]
    archived_decisions: _containers.RepeatedCompositeFieldContainer[ArchivedDecision]
    def __init__(self, decisions: _Optional[_Iterable[_Union[ExplainResponse, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., other_feedback: _Optional[_Iterable[_Union[ExplainedFeedback, _Mapping]]] = ..., caps: _Optional[_Iterable[_Union[ExportedCap, _Mapping]]] = ..., archived_decisions: _Optional[_Iterable[_Union[ArchivedDecision, _Mapping]]] = ...) -> None: ...

class ExportedCap(_message.Message):
    __slots__ = ("cap_id", "event_times")
    CAP_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIMES_FIELD_NUMBER: _ClassVar[int]
    cap_id: str
    event_times: _containers.RepeatedCompositeFieldContainer[_timestamp_pb2.Timestamp]
    def __init__(self, cap_id: _Optional[str] = ..., event_times: _Optional[_Iterable[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]]] = ...) -> None: ...

class ArchivedDecision(_message.Message):
    __slots__ = ("decision_id", "placement", "decide_time", "reason", "consent", "context", "chosen_offer_id", "propensity", "fate", "reward_final", "feedback")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    FATE_FIELD_NUMBER: _ClassVar[int]
    REWARD_FINAL_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    placement: str
    decide_time: _timestamp_pb2.Timestamp
    reason: DecisionReason
    consent: Consent
    context: Features
    chosen_offer_id: str
    propensity: float
    fate: str
    reward_final: float
    feedback: _containers.RepeatedCompositeFieldContainer[ExplainedFeedback]
    def __init__(self, decision_id: _Optional[str] = ..., placement: _Optional[str] = ..., decide_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[_Union[DecisionReason, str]] = ..., consent: _Optional[_Union[Consent, str]] = ..., context: _Optional[_Union[Features, _Mapping]] = ..., chosen_offer_id: _Optional[str] = ..., propensity: _Optional[float] = ..., fate: _Optional[str] = ..., reward_final: _Optional[float] = ..., feedback: _Optional[_Iterable[_Union[ExplainedFeedback, _Mapping]]] = ...) -> None: ...
