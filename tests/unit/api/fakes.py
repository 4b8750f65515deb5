"""What the edge's tests put behind it and before it: ports that remember, and a call's context."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import grpc

from offer_optimizer.api.server import Ports
from offer_optimizer.core.catalog import Catalog, Kind, Offer, OfferType, Placement
from offer_optimizer.core.catalog_revision import CatalogChange, CatalogRevision
from offer_optimizer.core.decision import Consent, ExclusionReason, ModelVersion, Reason
from offer_optimizer.core.errors import NotFound, RevisionConflict, UnknownPlacement
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.decide.requests import DecideInput, FeedbackInput, ModelStatus, Outcome, ShownSlot
from offer_optimizer.evaluate.contributions import Contribution, Contributions
from offer_optimizer.evaluate.story import (
    BudgetRead,
    CapRead,
    Closing,
    Story,
    StoryCandidate,
    StoryFeedback,
)
from offer_optimizer.evaluate.visitor_history import VisitorPage
from offer_optimizer.learn.ports import Asker, KeptModel, Started
from offer_optimizer.store.fold_tables import CloseStatus

DECISION_ID = bytes.fromhex("0192f0a1b2c37def8123456789abcdef")
DECISION_TEXT = "0192f0a1-b2c3-7def-8123-456789abcdef"
ANSWER = Outcome(
    DECISION_ID, (ShownSlot("coupon", 0.25, "10 % off"),), Reason.MODEL, ModelVersion(bytes(16), 7)
)
CATALOG = Catalog(
    kinds=(Kind(id="stars"),),
    offers=(Offer(id="coupon", type=OfferType.COUPON), Offer(id="nothing", type=OfferType.NOTHING)),
    placements=(Placement(id="home", offers=("coupon", "nothing")), Placement(id="bare", offers=())),
)


class FakeDecisions:
    """Answers the same to every known placement and remembers what it was asked; `hook` may raise."""

    def __init__(self, outcome: Outcome = ANSWER) -> None:
        self.outcome = outcome
        self.asked: list[DecideInput] = []
        self.hook: Callable[[DecideInput], None] = lambda _: None
        self.ended_batches = 0
        self.lost: dict[bytes, Outcome] = {}

    def decide(self, request: DecideInput) -> Outcome:
        self.asked.append(request)
        self.hook(request)
        if request.placement_id not in CATALOG.placement_by_id:
            raise UnknownPlacement("placement", f"{request.placement_id!r} is not in the catalog")
        if not CATALOG.placement_by_id[request.placement_id].offers:
            return Outcome(DECISION_ID, (), Reason.NO_ELIGIBLE_OFFER, None)
        return self.outcome

    def begin_batch(self) -> FakeDecisions:
        return self

    def end(self) -> Mapping[bytes, Outcome]:
        self.ended_batches += 1
        return self.lost


class FakeIntake:
    """Remembers the items; `hook` may raise or wait."""

    def __init__(self) -> None:
        self.items: list[FeedbackInput] = []
        self.hook: Callable[[], None] = lambda: None

    def record(self, items: Sequence[FeedbackInput]) -> None:
        self.hook()
        self.items.extend(items)


class FakeDesk:
    """Has revision 3 in force; `hook` may raise or wait in apply."""

    def __init__(self) -> None:
        self.revision = CatalogRevision(3, "version: 1\n", 1_700_000_000_123_456, CATALOG)
        self.hook: Callable[[], None] = lambda: None
        self.applied: list[tuple[str, int, bool]] = []

    def current(self) -> CatalogRevision:
        return self.revision

    def read(self, revision: int) -> CatalogRevision:
        if revision != self.revision.revision:
            raise NotFound(f"revision {revision}: not in this service's history")
        return self.revision

    def apply(self, document: str, expected_revision: int, *, validate_only: bool) -> CatalogChange:
        self.hook()
        if expected_revision != self.revision.revision:
            raise RevisionConflict(expected_revision, self.revision.revision)
        self.applied.append((document, expected_revision, validate_only))
        return CatalogChange(expected_revision + (0 if validate_only else 1), ("offers.coupon: status",))


class FakeModels:
    """Serves one model everywhere."""

    def describe(self, placement_id: str) -> ModelStatus:
        if placement_id not in CATALOG.placement_by_id:
            raise UnknownPlacement("placement", f"{placement_id!r} is not in the catalog")
        return ModelStatus("vw", ModelVersion(bytes(16), 7), 41)


MINUTE_US = 60_000_000
DECIDED_US = 1_700_000_000_123_456
STORY = Story(
    decision_id=DECISION_ID,
    position=5,
    decide_time_us=DECIDED_US,
    placement_id="home",
    catalog_revision=3,
    has_visitor=True,
    reason=Reason.MODEL,
    consent=Consent.FULL,
    is_deferred=False,
    context=Features(categories=(("device", "phone"),), numbers=(("cart", 41.5),)),
    candidates=(
        StoryCandidate("coupon", EMPTY, None, 0.04, 0.02, is_chosen=True),
        StoryCandidate("loud", EMPTY, ExclusionReason.CAPPED, 0.0, None, is_chosen=False),
        StoryCandidate("nothing", EMPTY, None, 0.96, 0.98, is_chosen=False),
    ),
    cap_reads=(CapRead("daily", 2, 2),),
    budget_reads=(BudgetRead("month", 12.5, 100.0),),
    draw_salt_id=1,
    draw_number=0.015625,
    ramp=0.5,
    floor=0.02,
    baseline_offer_id="nothing",
    is_held_out=False,
    holdout_share=0.1,
    holdout_u=0.75,
    model_version=ModelVersion(bytes(16), 7),
    feedback=(
        StoryFeedback(
            Feedback("f-1", DECISION_ID, "", 0, "click", 1.0, DECIDED_US + 1_500_000), Fate.APPLIED
        ),
        StoryFeedback(
            Feedback("f-1", DECISION_ID, "", 0, "click", 1.0, DECIDED_US + 2_500_000), Fate.DUPLICATE
        ),
    ),
    closing=Closing(CloseStatus.LEARNED, DECIDED_US + MINUTE_US, 1.0, 0.25),
    contributions=Contributions(ModelVersion(bytes(16), 9), 0.0625, (Contribution("device", -0.03125),)),
)


class FakeVisitors:
    """Remembers who was merged into whom; `hook` may raise or wait."""

    def __init__(self) -> None:
        self.merged: list[tuple[str, str]] = []
        self.hook: Callable[[], None] = lambda: None

    def merge(self, from_visitor_id: str, into_visitor_id: str) -> None:
        self.hook()
        self.merged.append((from_visitor_id, into_visitor_id))


class FakeErasures:
    """Remembers who was to be erased, by whom and why."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def erase(self, visitor_id: str, actor: str, reason: str) -> None:
        self.asked.append((visitor_id, actor, reason))


class FakeHistories:
    """Has one page about everybody, and remembers what it was asked."""

    def __init__(self) -> None:
        self.found = VisitorPage(stories=(STORY,), next_token="l9")
        self.asked: list[tuple[str, str, int]] = []

    def page(self, visitor_id: str, token: str, limit: int, timeout_s: float) -> VisitorPage:
        del timeout_s
        self.asked.append((visitor_id, token, limit))
        return self.found

    def decision_count(self, visitor_id: str) -> int:
        return len(visitor_id)


class FakeStories:
    """Knows one story."""

    def __init__(self, story: Story = STORY) -> None:
        self.story = story

    def explain(self, decision_id: bytes) -> Story:
        if decision_id != self.story.decision_id:
            raise NotFound("the decision is not in the ledger")
        return self.story


class FakeReports:
    """Remembers what it was asked; `hook` may raise or wait. Answers with `found`."""

    def __init__(self, found: Mapping[str, Any] | None = None) -> None:
        self.found = found or {}
        self.asked: list[tuple[str, int | None, int | None, float]] = []
        self.hook: Callable[[], None] = lambda: None

    def report(
        self, placement_id: str, start_us: int | None, end_us: int | None, timeout_s: float
    ) -> Mapping[str, Any]:
        self.asked.append((placement_id, start_us, end_us, timeout_s))
        self.hook()
        return self.found


class FakeLearning:
    """Remembers what was asked of learning, and keeps two models."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def set_learning(self, placement_id: str, asker: Asker, *, frozen: bool) -> None:
        self.asked.append((placement_id, frozen, asker))

    def roll_back(self, placement_id: str, version: str, asker: Asker) -> None:
        self.asked.append((placement_id, version, asker))

    def quarantine(
        self, placement_id: str, start_us: int, end_us: int, offer_id: str, source: str, asker: Asker
    ) -> str:
        self.asked.append((placement_id, start_us, end_us, offer_id, source, asker))
        return "some stays learned"

    def start_epoch(self, placement_id: str, document: str, asker: Asker, *, uses_final: bool) -> Started:
        self.asked.append((placement_id, document, asker, uses_final))
        return Started(bytes(range(16)), (ModelVersion(bytes(range(16)), 5),))

    def accept_clock(self, asker: Asker) -> None:
        self.asked.append((asker,))

    def kept(self, placement_id: str, policy_epoch: bytes | None) -> tuple[KeptModel, ...]:
        self.asked.append((placement_id, policy_epoch))
        epoch = policy_epoch or bytes(16)
        return (
            KeptModel(ModelVersion(epoch, 7), 41, DECIDED_US, is_current=True, is_promoted=True),
            KeptModel(ModelVersion(epoch, 0), 0, None, is_current=False, is_promoted=False),
        )


class FakeHealth:
    """Remembers what it was asked. Answers with `found`."""

    def __init__(self, found: Mapping[str, Any] | None = None) -> None:
        self.found = found or {}
        self.asked: list[tuple[str, float]] = []

    def health(self, placement_id: str, timeout_s: float) -> Mapping[str, Any]:
        self.asked.append((placement_id, timeout_s))
        return self.found


class FakeShadows:
    """Remembers what it was asked. Answers with `found`."""

    def __init__(self, found: Mapping[str, Any] | None = None) -> None:
        self.found = found or {"shadows": []}
        self.asked: list[tuple[str, float]] = []

    def shadows(self, placement_id: str, timeout_s: float) -> Mapping[str, Any]:
        self.asked.append((placement_id, timeout_s))
        return self.found


class Aborted(Exception):
    """A call ended with a status."""

    def __init__(self, status: grpc.Status) -> None:
        super().__init__(status)
        self.status = status


# The abstract context has a dozen methods that no handler calls: this one passes for it without them.
_Anything: Any = object


class FakeContext(_Anything):  # type: ignore[misc]
    """The part of a call's context that the handlers touch. By default there is no deadline."""

    def __init__(self, remaining_s: float = 9.2e18, *, active: bool = True) -> None:
        self.remaining_s = remaining_s
        self.active = active

    def time_remaining(self) -> float:
        return self.remaining_s

    def peer(self) -> str:
        return "ipv4:127.0.0.1:40404"

    def is_active(self) -> bool:
        return self.active

    def abort_with_status(self, status: grpc.Status) -> NoReturn:
        raise Aborted(status)


class FakeLog:
    """Remembers what was logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []
        self.lock = threading.Lock()

    def error(self, event: str, **fields: object) -> None:
        with self.lock:
            self.events.append((event, fields))

    warning = error


def error_id() -> str:
    return "e-1"


class FakePorts:
    """All the ports of an edge."""

    def __init__(self) -> None:
        self.decisions, self.intake, self.desk, self.models = (
            FakeDecisions(),
            FakeIntake(),
            FakeDesk(),
            FakeModels(),
        )
        self.visitors, self.stories, self.reports, self.health, self.log = (
            FakeVisitors(),
            FakeStories(),
            FakeReports(),
            FakeHealth(),
            FakeLog(),
        )
        self.learning, self.shadows = FakeLearning(), FakeShadows()
        self.erasures, self.histories = FakeErasures(), FakeHistories()

    def ports(self) -> Ports:
        return Ports(
            decisions=self.decisions,
            intake=self.intake,
            desk=self.desk,
            models=self.models,
            visitors=self.visitors,
            erasures=self.erasures,
            histories=self.histories,
            stories=self.stories,
            reports=self.reports,
            learning=self.learning,
            health=self.health,
            shadows=self.shadows,
            log=self.log,
            make_error_id=error_id,
            clock=lambda: 0,
        )
