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
    __slots__ = ("value", "low", "high", "refused_reason")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    REFUSED_REASON_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    refused_reason: str
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., refused_reason: _Optional[str] = ...) -> None: ...

class OfferReport(_message.Message):
    __slots__ = ("offer_id", "decision_count", "observed_mean_not_causal", "value_if_shown")
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_COUNT_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_MEAN_NOT_CAUSAL_FIELD_NUMBER: _ClassVar[int]
    VALUE_IF_SHOWN_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    decision_count: int
    observed_mean_not_causal: Estimate
    value_if_shown: Estimate
    def __init__(self, offer_id: _Optional[str] = ..., decision_count: _Optional[int] = ..., observed_mean_not_causal: _Optional[_Union[Estimate, _Mapping]] = ..., value_if_shown: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class GetPlacementReportResponse(_message.Message):
    __slots__ = ("decision_count", "reward", "uplift", "offers")
    DECISION_COUNT_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    UPLIFT_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    decision_count: int
    reward: Estimate
    uplift: Estimate
    offers: _containers.RepeatedCompositeFieldContainer[OfferReport]
    def __init__(self, decision_count: _Optional[int] = ..., reward: _Optional[_Union[Estimate, _Mapping]] = ..., uplift: _Optional[_Union[Estimate, _Mapping]] = ..., offers: _Optional[_Iterable[_Union[OfferReport, _Mapping]]] = ...) -> None: ...

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

class GetLoopHealthResponse(_message.Message):
    __slots__ = ("alarms", "learner_lag_s")
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    LEARNER_LAG_S_FIELD_NUMBER: _ClassVar[int]
    alarms: _containers.RepeatedCompositeFieldContainer[Alarm]
    learner_lag_s: float
    def __init__(self, alarms: _Optional[_Iterable[_Union[Alarm, _Mapping]]] = ..., learner_lag_s: _Optional[float] = ...) -> None: ...
