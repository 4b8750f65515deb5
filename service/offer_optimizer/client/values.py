"""What goes into the client and what comes out: plain frozen values, no protobuf."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from offer_optimizer.core.consent import Consent


@dataclass(frozen=True, slots=True)
class Candidate:
    """An offer that exists for one question only. The three maps are what the model may know about it."""

    offer_id: str
    categories: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, Iterable[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """What should this visitor see at this placement? The three maps are the context; a name is used once.

    `candidates` take the place of the placement's own offers. The same `request_id` at the same placement
    gets the first answer for 30 minutes: a question asked again counts once.
    """

    placement: str
    visitor_id: str = ""
    categories: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, Iterable[str]] = field(default_factory=dict)
    consent: Consent = Consent.UNSPECIFIED
    deferred: bool = False
    candidates: Sequence[Candidate] = ()
    exclude_offer_ids: Sequence[str] = ()
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to show. `offer_id` is None where nothing is to be shown.

    `decision_id` is None where the decision was not recorded (the client's own baseline included); passing
    it on to `Client.feedback` is safe. `propensity` is in (0, 1], or None without an offer of the service.
    `reason` is the service's (MODEL, HOLDOUT, ...), or the code of the failure that made the client answer.
    `latency_s` is what the caller waited.
    """

    decision_id: str | None
    offer_id: str | None
    propensity: float | None
    payload: str
    reason: str
    model_version: str
    latency_s: float
    served_by: Literal["service", "client_baseline"]


@dataclass(frozen=True, slots=True)
class FeedbackItem:
    """Something observed after a decision, addressed by `decision_id`, or by `visitor_id` and `placement`.

    `feedback_id` makes a repetition harmless: keep it when sending again. `value` None means 1.
    `occur_time` carries its time zone. `retracts_feedback_id` takes back the item with that id.
    """

    kind: str
    feedback_id: str
    decision_id: str = ""
    visitor_id: str = ""
    placement: str = ""
    value: float | None = None
    slot: int = 0
    occur_time: datetime | None = None
    retracts_feedback_id: str = ""


class FeedbackResult(NamedTuple):
    """The verdict on one item: accepted means durable; otherwise the message says what is wrong."""

    accepted: bool
    message: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that did not reach the service and that no exception told.

    `operation` is decide or feedback; `item` is the feedback concerned. `code` is gRPC's name, or
    INVALID (refused by the service), QUEUE_FULL, UNADDRESSED or CLOSED.
    """

    operation: Literal["decide", "feedback"]
    code: str
    message: str
    item: FeedbackItem | None = None


@dataclass(frozen=True, slots=True)
class ClientStats:
    """Counts since the client was made.

    Every item of feedback ends in exactly one of `accepted`, `invalid`, `dropped` and `unaddressed`, or is
    `waiting`. `sent` and `retried` count items over all attempts. `baseline` counts decisions that the client
    answered itself.
    """

    sent: int = 0
    accepted: int = 0
    invalid: int = 0
    retried: int = 0
    dropped: int = 0
    unaddressed: int = 0
    waiting: int = 0
    baseline: int = 0


class CatalogDocument(NamedTuple):
    """A catalog revision and its YAML text."""

    revision: int
    document: str


class AppliedCatalog(NamedTuple):
    """The revision in force after an apply, and a line for each difference."""

    revision: int
    changes: tuple[str, ...]


class ModelInfo(NamedTuple):
    """Which model a placement serves: its policy, its version (empty without a usable one), its examples."""

    policy: str
    model_version: str
    learned_count: int


class Explanation(NamedTuple):
    """The story of a decision: a few sentences, and the whole of it as text for people.

    `explored` says that something else than the most likely offer was chosen. `excluded` maps the candidates
    that were not eligible to their reasons.
    """

    decision_id: str
    explored: bool
    excluded: Mapping[str, str]
    summary: str
    text: str
