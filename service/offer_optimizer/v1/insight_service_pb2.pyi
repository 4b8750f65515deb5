import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetModelRequest(_message.Message):
    __slots__ = ("placement",)
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    placement: str
    def __init__(self, placement: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("policy", "model_version", "learned_count")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    LEARNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    policy: str
    model_version: str
    learned_count: int
    def __init__(self, policy: _Optional[str] = ..., model_version: _Optional[str] = ..., learned_count: _Optional[int] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("placement", "policy_epoch")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_EPOCH_FIELD_NUMBER: _ClassVar[int]
    placement: str
    policy_epoch: str
    def __init__(self, placement: _Optional[str] = ..., policy_epoch: _Optional[str] = ...) -> None: ...

class KeptModel(_message.Message):
    __slots__ = ("model_version", "learned_count", "publish_time", "is_current", "is_promoted")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    LEARNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_TIME_FIELD_NUMBER: _ClassVar[int]
    IS_CURRENT_FIELD_NUMBER: _ClassVar[int]
    IS_PROMOTED_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    learned_count: int
    publish_time: _timestamp_pb2.Timestamp
    is_current: bool
    is_promoted: bool
    def __init__(self, model_version: _Optional[str] = ..., learned_count: _Optional[int] = ..., publish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_current: _Optional[bool] = ..., is_promoted: _Optional[bool] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[KeptModel]
    def __init__(self, models: _Optional[_Iterable[_Union[KeptModel, _Mapping]]] = ...) -> None: ...

class GetPlacementReportRequest(_message.Message):
    __slots__ = ("placement", "start_time", "end_time")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    placement: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, placement: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("value", "low", "high", "refused_reason", "decision_count", "visitor_count", "effective_sample_size", "interval", "confidence")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    REFUSED_REASON_FIELD_NUMBER: _ClassVar[int]
    DECISION_COUNT_FIELD_NUMBER: _ClassVar[int]
    VISITOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_SAMPLE_SIZE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    refused_reason: str
    decision_count: int
    visitor_count: int
    effective_sample_size: float
    interval: str
    confidence: float
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., refused_reason: _Optional[str] = ..., decision_count: _Optional[int] = ..., visitor_count: _Optional[int] = ..., effective_sample_size: _Optional[float] = ..., interval: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...

class OfferReport(_message.Message):
    __slots__ = ("offer_id", "decision_count", "observed_mean_not_causal", "value_if_shown", "value_if_shown_ips", "eligible_count")
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_COUNT_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_MEAN_NOT_CAUSAL_FIELD_NUMBER: _ClassVar[int]
    VALUE_IF_SHOWN_FIELD_NUMBER: _ClassVar[int]
    VALUE_IF_SHOWN_IPS_FIELD_NUMBER: _ClassVar[int]
    ELIGIBLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    decision_count: int
    observed_mean_not_causal: Estimate
    value_if_shown: Estimate
    value_if_shown_ips: Estimate
    eligible_count: int
    def __init__(self, offer_id: _Optional[str] = ..., decision_count: _Optional[int] = ..., observed_mean_not_causal: _Optional[_Union[Estimate, _Mapping]] = ..., value_if_shown: _Optional[_Union[Estimate, _Mapping]] = ..., value_if_shown_ips: _Optional[_Union[Estimate, _Mapping]] = ..., eligible_count: _Optional[int] = ...) -> None: ...

class OfferShare(_message.Message):
    __slots__ = ("offer_id", "model_share", "baseline_share")
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_SHARE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_SHARE_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    model_share: float
    baseline_share: float
    def __init__(self, offer_id: _Optional[str] = ..., model_share: _Optional[float] = ..., baseline_share: _Optional[float] = ...) -> None: ...

class ContextDifference(_message.Message):
    __slots__ = ("name", "value", "decision_count", "differ_share")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DECISION_COUNT_FIELD_NUMBER: _ClassVar[int]
    DIFFER_SHARE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    decision_count: int
    differ_share: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., decision_count: _Optional[int] = ..., differ_share: _Optional[float] = ...) -> None: ...

class ShadowReport(_message.Message):
    __slots__ = ("decision_count", "differ_share", "offers", "contexts", "model_value", "model_value_ips", "baseline_value", "gain")
    DECISION_COUNT_FIELD_NUMBER: _ClassVar[int]
    DIFFER_SHARE_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    CONTEXTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VALUE_FIELD_NUMBER: _ClassVar[int]
    MODEL_VALUE_IPS_FIELD_NUMBER: _ClassVar[int]
    BASELINE_VALUE_FIELD_NUMBER: _ClassVar[int]
    GAIN_FIELD_NUMBER: _ClassVar[int]
    decision_count: int
    differ_share: float
    offers: _containers.RepeatedCompositeFieldContainer[OfferShare]
    contexts: _containers.RepeatedCompositeFieldContainer[ContextDifference]
    model_value: Estimate
    model_value_ips: Estimate
    baseline_value: Estimate
    gain: Estimate
    def __init__(self, decision_count: _Optional[int] = ..., differ_share: _Optional[float] = ..., offers: _Optional[_Iterable[_Union[OfferShare, _Mapping]]] = ..., contexts: _Optional[_Iterable[_Union[ContextDifference, _Mapping]]] = ..., model_value: _Optional[_Union[Estimate, _Mapping]] = ..., model_value_ips: _Optional[_Union[Estimate, _Mapping]] = ..., baseline_value: _Optional[_Union[Estimate, _Mapping]] = ..., gain: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class GetPlacementReportResponse(_message.Message):
    __slots__ = ("decision_count", "reward", "uplift", "offers", "start_time", "end_time", "is_cut", "open_count", "left_out_count", "counted_count", "learnable_count", "anonymous_count", "reasons", "interruption_count", "interruptions_per_reward", "treated", "holdout", "shadow")
    class ReasonsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DECISION_COUNT_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    UPLIFT_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    IS_CUT_FIELD_NUMBER: _ClassVar[int]
    OPEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    COUNTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LEARNABLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_COUNT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTION_COUNT_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTIONS_PER_REWARD_FIELD_NUMBER: _ClassVar[int]
    TREATED_FIELD_NUMBER: _ClassVar[int]
    HOLDOUT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    decision_count: int
    reward: Estimate
    uplift: Estimate
    offers: _containers.RepeatedCompositeFieldContainer[OfferReport]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    is_cut: bool
    open_count: int
    left_out_count: int
    counted_count: int
    learnable_count: int
    anonymous_count: int
    reasons: _containers.ScalarMap[str, int]
    interruption_count: int
    interruptions_per_reward: Estimate
    treated: Estimate
    holdout: Estimate
    shadow: ShadowReport
    def __init__(self, decision_count: _Optional[int] = ..., reward: _Optional[_Union[Estimate, _Mapping]] = ..., uplift: _Optional[_Union[Estimate, _Mapping]] = ..., offers: _Optional[_Iterable[_Union[OfferReport, _Mapping]]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_cut: _Optional[bool] = ..., open_count: _Optional[int] = ..., left_out_count: _Optional[int] = ..., counted_count: _Optional[int] = ..., learnable_count: _Optional[int] = ..., anonymous_count: _Optional[int] = ..., reasons: _Optional[_Mapping[str, int]] = ..., interruption_count: _Optional[int] = ..., interruptions_per_reward: _Optional[_Union[Estimate, _Mapping]] = ..., treated: _Optional[_Union[Estimate, _Mapping]] = ..., holdout: _Optional[_Union[Estimate, _Mapping]] = ..., shadow: _Optional[_Union[ShadowReport, _Mapping]] = ...) -> None: ...

class GetLoopHealthRequest(_message.Message):
    __slots__ = ("placement",)
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    placement: str
    def __init__(self, placement: _Optional[str] = ...) -> None: ...

class Alarm(_message.Message):
    __slots__ = ("name", "placement", "message", "likely_cause", "remedy")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LIKELY_CAUSE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    name: str
    placement: str
    message: str
    likely_cause: str
    remedy: str
    def __init__(self, name: _Optional[str] = ..., placement: _Optional[str] = ..., message: _Optional[str] = ..., likely_cause: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class PlacementHealth(_message.Message):
    __slots__ = ("placement", "policy", "is_frozen", "learn_probability", "model_age_s", "learned_count", "unlearned_count", "open_count", "decision_count", "reasons", "fates", "answered_share", "reward_mean", "clipped_share", "exploration_share", "entropy_share", "propensity_least", "delay_s_p50", "delay_s_p90", "delay_s_p99", "remarks")
    class ReasonsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class FatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    IS_FROZEN_FIELD_NUMBER: _ClassVar[int]
    LEARN_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    MODEL_AGE_S_FIELD_NUMBER: _ClassVar[int]
    LEARNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNLEARNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    DECISION_COUNT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    FATES_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_SHARE_FIELD_NUMBER: _ClassVar[int]
    REWARD_MEAN_FIELD_NUMBER: _ClassVar[int]
    CLIPPED_SHARE_FIELD_NUMBER: _ClassVar[int]
    EXPLORATION_SHARE_FIELD_NUMBER: _ClassVar[int]
    ENTROPY_SHARE_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_LEAST_FIELD_NUMBER: _ClassVar[int]
    DELAY_S_P50_FIELD_NUMBER: _ClassVar[int]
    DELAY_S_P90_FIELD_NUMBER: _ClassVar[int]
    DELAY_S_P99_FIELD_NUMBER: _ClassVar[int]
    REMARKS_FIELD_NUMBER: _ClassVar[int]
    placement: str
    policy: str
    is_frozen: bool
    learn_probability: float
    model_age_s: float
    learned_count: int
    unlearned_count: int
    open_count: int
    decision_count: int
    reasons: _containers.ScalarMap[str, int]
    fates: _containers.ScalarMap[str, int]
    answered_share: float
    reward_mean: float
    clipped_share: float
    exploration_share: float
    entropy_share: float
    propensity_least: float
    delay_s_p50: float
    delay_s_p90: float
    delay_s_p99: float
    remarks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, placement: _Optional[str] = ..., policy: _Optional[str] = ..., is_frozen: _Optional[bool] = ..., learn_probability: _Optional[float] = ..., model_age_s: _Optional[float] = ..., learned_count: _Optional[int] = ..., unlearned_count: _Optional[int] = ..., open_count: _Optional[int] = ..., decision_count: _Optional[int] = ..., reasons: _Optional[_Mapping[str, int]] = ..., fates: _Optional[_Mapping[str, int]] = ..., answered_share: _Optional[float] = ..., reward_mean: _Optional[float] = ..., clipped_share: _Optional[float] = ..., exploration_share: _Optional[float] = ..., entropy_share: _Optional[float] = ..., propensity_least: _Optional[float] = ..., delay_s_p50: _Optional[float] = ..., delay_s_p90: _Optional[float] = ..., delay_s_p99: _Optional[float] = ..., remarks: _Optional[_Iterable[str]] = ...) -> None: ...

class GetLoopHealthResponse(_message.Message):
    __slots__ = ("alarms", "learner_lag_s", "ledger_time", "join_share", "unknown_count", "placements")
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    LEARNER_LAG_S_FIELD_NUMBER: _ClassVar[int]
    LEDGER_TIME_FIELD_NUMBER: _ClassVar[int]
    JOIN_SHARE_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_COUNT_FIELD_NUMBER: _ClassVar[int]
    PLACEMENTS_FIELD_NUMBER: _ClassVar[int]
    alarms: _containers.RepeatedCompositeFieldContainer[Alarm]
    learner_lag_s: float
    ledger_time: _timestamp_pb2.Timestamp
    join_share: float
    unknown_count: int
    placements: _containers.RepeatedCompositeFieldContainer[PlacementHealth]
    def __init__(self, alarms: _Optional[_Iterable[_Union[Alarm, _Mapping]]] = ..., learner_lag_s: _Optional[float] = ..., ledger_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., join_share: _Optional[float] = ..., unknown_count: _Optional[int] = ..., placements: _Optional[_Iterable[_Union[PlacementHealth, _Mapping]]] = ...) -> None: ...
