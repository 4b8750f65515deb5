"""What goes into the decision path and what comes out: plain values, no protobuf."""

from __future__ import annotations

from dataclasses import dataclass

from offer_optimizer.core.checked import checked_dataclass
from offer_optimizer.core.decision import Consent, InlineCandidate, ModelVersion, Reason
from offer_optimizer.core.features import Features


@checked_dataclass(frozen=True, slots=True)
class DecideInput:
    """One validated question. `visitor_id` may be empty: a visitor without memory."""

    placement_id: str
    visitor_id: str
    consent: Consent
    context: Features
    deferred: bool = False
    candidates: tuple[InlineCandidate, ...] = ()
    exclude_offer_ids: tuple[str, ...] = ()
    request_id: str = ""


@checked_dataclass(frozen=True, slots=True)
class ShownSlot:
    """One position of a reply."""

    offer_id: str
    propensity: float
    payload: str


@checked_dataclass(frozen=True, slots=True)
class Outcome:
    """A reply. `decision_id` is None where the decision could not be recorded."""

    decision_id: bytes | None
    slots: tuple[ShownSlot, ...]
    reason: Reason
    model_version: ModelVersion | None


@dataclass(frozen=True, slots=True)
class FeedbackInput:
    """One validated item of feedback, not yet stamped.

    Addressed by `decision_id` (16 bytes), or, when that is empty, by `visitor_id` and `placement_id`.
    `source` is who sends it; `retracts_feedback_id` is the item that it takes back; both may be empty.
    """

    feedback_id: str
    decision_id: bytes
    visitor_id: str
    placement_id: str
    slot: int
    kind: str
    value: float
    occur_time_us: int | None
    retracts_feedback_id: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Which model a placement serves; `version` is None when no usable one is loaded."""

    policy: str
    version: ModelVersion | None
    learned_count: int
