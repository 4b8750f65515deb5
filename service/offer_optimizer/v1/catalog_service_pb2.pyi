import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetCatalogRequest(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class GetCatalogResponse(_message.Message):
    __slots__ = ("revision", "document", "apply_time")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    APPLY_TIME_FIELD_NUMBER: _ClassVar[int]
    revision: int
    document: str
    apply_time: _timestamp_pb2.Timestamp
    def __init__(self, revision: _Optional[int] = ..., document: _Optional[str] = ..., apply_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ApplyCatalogRequest(_message.Message):
    __slots__ = ("document", "expected_revision", "validate_only")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    document: str
    expected_revision: int
    validate_only: bool
    def __init__(self, document: _Optional[str] = ..., expected_revision: _Optional[int] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ApplyCatalogResponse(_message.Message):
    __slots__ = ("revision", "changes")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    revision: int
    changes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, revision: _Optional[int] = ..., changes: _Optional[_Iterable[str]] = ...) -> None: ...

class DisableOfferRequest(_message.Message):
    __slots__ = ("offer_id",)
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    def __init__(self, offer_id: _Optional[str] = ...) -> None: ...

class DisableOfferResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class SetLearningRequest(_message.Message):
    __slots__ = ("placement", "frozen", "reason", "actor")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    placement: str
    frozen: bool
    reason: str
    actor: str
    def __init__(self, placement: _Optional[str] = ..., frozen: _Optional[bool] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class SetLearningResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RollBackModelRequest(_message.Message):
    __slots__ = ("placement", "model_version", "reason", "actor")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    placement: str
    model_version: str
    reason: str
    actor: str
    def __init__(self, placement: _Optional[str] = ..., model_version: _Optional[str] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class RollBackModelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QuarantineRequest(_message.Message):
    __slots__ = ("placement", "start_time", "end_time", "offer_id", "source", "reason", "actor")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    placement: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    offer_id: str
    source: str
    reason: str
    actor: str
    def __init__(self, placement: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., offer_id: _Optional[str] = ..., source: _Optional[str] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class QuarantineResponse(_message.Message):
    __slots__ = ("note",)
    NOTE_FIELD_NUMBER: _ClassVar[int]
    note: str
    def __init__(self, note: _Optional[str] = ...) -> None: ...

class StartEpochRequest(_message.Message):
    __slots__ = ("placement", "document", "uses_final", "reason", "actor")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    USES_FINAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    placement: str
    document: str
    uses_final: bool
    reason: str
    actor: str
    def __init__(self, placement: _Optional[str] = ..., document: _Optional[str] = ..., uses_final: _Optional[bool] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class StartEpochResponse(_message.Message):
    __slots__ = ("policy_epoch", "promoted_versions")
    POLICY_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PROMOTED_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    policy_epoch: str
    promoted_versions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, policy_epoch: _Optional[str] = ..., promoted_versions: _Optional[_Iterable[str]] = ...) -> None: ...

class AcceptClockRequest(_message.Message):
    __slots__ = ("reason", "actor")
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    reason: str
    actor: str
    def __init__(self, reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class AcceptClockResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
