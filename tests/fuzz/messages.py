"""Messages for every call of the API, from ordinary to hostile, drawn from a seeded `random.Random`.

Each draw is cheap (tens of microseconds), because a hundred thousand are wanted. What is legal is for
the service to say: the generator only takes care that both are common.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import insight_service_pb2 as insight_pb
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.fuzz import corpus, mutations

Item = TypeVar("Item")

OFFERS: Final = ("coupon", "big-coupon", "guide", "express", "news", "nothing", "asleep")
PLACEMENTS: Final = ("home", "cart", "beta", "lot", "wide")
KINDS: Final = ("shown", "not_shown", "click", "conversion", "dismiss", "stars")

WEIGHTS: Final = {
    "OfferService/Decide": 46,
    "OfferService/BatchDecide": 3,
    "OfferService/RecordFeedback": 30,
    "OfferService/Explain": 2,
    "OfferService/MergeVisitor": 3,
    "OfferService/EraseVisitor": 0.2,
    "OfferService/ExportVisitor": 0.5,
    "CatalogService/GetCatalog": 2,
    "CatalogService/ApplyCatalog": 1.5,
    "CatalogService/DisableOffer": 0.3,
    "CatalogService/SetLearning": 0.5,
    "CatalogService/RollBackModel": 0.5,
    "CatalogService/Quarantine": 0.5,
    "CatalogService/StartEpoch": 0.5,
    "CatalogService/AcceptClock": 0.5,
    "InsightService/GetModel": 2,
    "InsightService/ListModels": 1.5,
    "InsightService/GetPlacementReport": 0.03,
    "InsightService/GetLoopHealth": 0.03,
    "InsightService/ListShadows": 0.03,
}
"""How often each call is made, of a hundred. Reports read the whole ledger and an erasure writes all models
anew, so they are few: of 100,000 messages 30 each and 200."""


class Messages:
    """Draws calls. `decided` are ids that feedback may name."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)
        self.decided: deque[str] = deque(maxlen=500)
        self.versions: deque[str] = deque(maxlen=20)
        self._last = b""
        # Drawn once: a list of two hundred takes longer to make than to answer.
        self._lists = [self._candidates(count) for count in (1, 1, 2, 2, 5, 5, 5, 20, 20, 200, 201)]
        self._methods, self._weights = tuple(WEIGHTS), tuple(WEIGHTS.values())
        self._makers: dict[str, Callable[[], Message]] = {
            "OfferService/Decide": self.decide,
            "OfferService/BatchDecide": self.batch_decide,
            "OfferService/RecordFeedback": self.record_feedback,
            "OfferService/Explain": lambda: pb.ExplainRequest(decision_id=self.decision_id()),
            "OfferService/MergeVisitor": self.merge_visitor,
            "OfferService/EraseVisitor": lambda: pb.EraseVisitorRequest(visitor_id=self.visitor_id()),
            "OfferService/ExportVisitor": lambda: pb.ExportVisitorRequest(visitor_id=self.visitor_id()),
            "CatalogService/GetCatalog": lambda: catalog_pb.GetCatalogRequest(revision=self.integer()),
            "CatalogService/ApplyCatalog": self.apply_catalog,
            "CatalogService/DisableOffer": lambda: catalog_pb.DisableOfferRequest(offer_id=self.offer_id()),
            "CatalogService/SetLearning": self.set_learning,
            "CatalogService/RollBackModel": self.roll_back,
            "CatalogService/Quarantine": self.quarantine,
            "CatalogService/StartEpoch": self.start_epoch,
            "CatalogService/AcceptClock": lambda: catalog_pb.AcceptClockRequest(
                reason=self.text(), actor=self.text()
            ),
            "InsightService/GetModel": lambda: insight_pb.GetModelRequest(placement=self.placement()),
            "InsightService/ListModels": lambda: insight_pb.ListModelsRequest(
                placement=self.placement(), policy_epoch=self.some("", self.text())
            ),
            "InsightService/GetPlacementReport": self.report,
            "InsightService/ListShadows": lambda: insight_pb.ListShadowsRequest(placement=self.placement()),
            "InsightService/GetLoopHealth": lambda: insight_pb.GetLoopHealthRequest(
                placement=self.placement()
            ),
        }

    def draw(self) -> tuple[str, bytes]:
        """Return a call and its bytes: half as generated, the rest damaged in one way or another."""
        chance = self.chance
        (method,) = chance.choices(self._methods, self._weights)
        how = chance.random()
        if how < 0.08:
            return method, mutations.noise(chance)
        data = self._makers[method]().SerializeToString()
        if how < 0.22:
            data = mutations.damage(chance, data, self._last)
        elif how < 0.28:
            data = mutations.wire(chance, data)
        self._last = data
        return method, data

    # --- values --------------------------------------------------------------------------------------------

    def some(self, usual: Item, other: Item, share: float = 0.2) -> Item:
        """Return `other` at a share of draws, else `usual`."""
        return other if self.chance.random() < share else usual

    def text(self) -> str:
        """Return a hostile text, or two in one."""
        text = self.chance.choice(corpus.TEXTS)
        return text + self.chance.choice(corpus.INJECTIONS) if self.chance.random() < 0.1 else text

    def number(self) -> float:
        """Return an ordinary number mostly, else an extreme one, rarely one that nobody takes."""
        how = self.chance.random()
        if how < 0.7:
            return round(self.chance.uniform(-100.0, 100.0), 2)
        return self.chance.choice(corpus.EXTREME if how < 0.985 else corpus.POISON)

    def integer(self) -> int:
        """Return a small number or the edge of a type."""
        return self.chance.choice(corpus.INTEGERS)

    def placement(self) -> str:
        """Return a placement, rarely one that there is not."""
        return self.some(self.chance.choice(PLACEMENTS), self.text(), 0.04)

    def offer_id(self) -> str:
        """Return an offer, or not."""
        return self.some(self.chance.choice(OFFERS), self.text(), 0.3)

    def visitor_id(self) -> str:
        """Return one of 300 visitors, an empty id or a hostile one."""
        if self.chance.random() < 0.15:
            return self.text()
        return self.some(f"visitor-{self.chance.randrange(300)}", "", 0.1)

    def decision_id(self) -> str:
        """Return the id of a decision that was made, or something like one."""
        how = self.chance.random()
        if how < 0.85 and self.decided:
            return self.chance.choice(self.decided)
        if how < 0.93:
            digits = f"{self.chance.getrandbits(128):032x}"
            return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        return self.text()

    def time(self) -> Timestamp:
        """Return a time of any year."""
        return Timestamp(seconds=self.chance.choice(corpus.SECONDS), nanos=self.chance.choice(corpus.NANOS))

    def features(self, most: int = 6) -> pb.Features:
        """Return features: names that rules read among hostile ones, in all three maps."""
        chance, found = self.chance, pb.Features()
        if chance.random() < 0.7:
            found.categories["device"] = chance.choice(("phone", "desktop"))
            found.numbers["cart"] = chance.uniform(0.0, 100.0)
        count = chance.randrange(most)
        if chance.random() < 0.01:
            count = chance.choice((199, 200, 201, 1000))
        for number in range(count):
            name = self.text() if count < 50 else f"f{number}"
            kind = chance.randrange(3)
            if kind == 0:
                found.categories[name] = self.text()
            elif kind == 1:
                found.numbers[name] = self.number()
            else:
                found.tags[name].values.extend(self.text() for _ in range(chance.randrange(4)))
        return found

    # --- requests ------------------------------------------------------------------------------------------

    def decide(self) -> pb.DecideRequest:
        """Return a question."""
        chance = self.chance
        request = pb.DecideRequest(placement=self.placement(), context=self.features())
        request.visitor.visitor_id = self.visitor_id()
        how = chance.random()
        if how < 0.15:
            request.visitor.consent = chance.choice((0, 1, 2, 3, 3, 3, 4, -1, 2**31 - 1))  # type: ignore[assignment]
        if how > 0.9:
            request.candidates.extend(chance.choice(self._lists))
            if chance.random() < 0.5:
                request.candidates.add(offer_id=self.offer_id(), attributes=self.features(3))
        if how > 0.85:
            request.exclude_offer_ids.extend([self.offer_id()] * chance.choice((1, 3, 200, 201)))
        request.deferred = chance.random() < 0.1
        request.request_id = self.some("", self.some(f"r{chance.randrange(50)}", self.text()), 0.15)
        return request

    def _candidates(self, count: int) -> list[pb.Candidate]:
        chance, found = self.chance, []
        for number in range(count):
            offer_id = self.some(self.some(f"own-{number}", chance.choice(OFFERS)), self.text(), 0.02)
            found.append(pb.Candidate(offer_id=offer_id, attributes=self.features(3)))
        return found

    def batch_decide(self) -> pb.BatchDecideRequest:
        """Return a few questions, rarely too many."""
        if self.chance.random() < 0.01:
            return pb.BatchDecideRequest(requests=[pb.DecideRequest()] * 501)
        return pb.BatchDecideRequest(requests=[self.decide() for _ in range(self.chance.randrange(6))])

    def feedback(self) -> pb.Feedback:
        """Return an item."""
        chance = self.chance
        item = pb.Feedback(
            feedback_id=self.some(f"f{chance.randrange(100_000)}", self.text(), 0.1),
            kind=self.some(chance.choice(KINDS), self.text(), 0.05),
        )
        if chance.random() < 0.7:
            item.decision_id = self.decision_id()
        elif chance.random() < 0.95:
            item.visitor_placement.visitor_id = self.visitor_id()
            item.visitor_placement.placement = self.placement()
        if chance.random() < 0.6:
            item.value = self.number()
        if chance.random() < 0.1:
            item.occur_time.CopyFrom(self.time())
        if chance.random() < 0.1:
            item.retracts_feedback_id = self.some(f"f{chance.randrange(100_000)}", self.text())
        if chance.random() < 0.01:
            item.slot = chance.choice((1, 2**32 - 1))
        return item

    def record_feedback(self) -> pb.RecordFeedbackRequest:
        """Return some items of a source."""
        if self.chance.random() < 0.002:
            return pb.RecordFeedbackRequest(items=[self.feedback()] * 1001)
        items = [self.feedback() for _ in range(self.chance.choice((0, 1, 1, 1, 2, 3, 8)))]
        return pb.RecordFeedbackRequest(items=items, source=self.some("", self.text(), 0.05))

    def merge_visitor(self) -> pb.MergeVisitorRequest:
        """Return a merge, also in circles."""
        return pb.MergeVisitorRequest(from_visitor_id=self.visitor_id(), into_visitor_id=self.visitor_id())

    def apply_catalog(self) -> catalog_pb.ApplyCatalogRequest:
        """Return a document that has to be refused."""
        return catalog_pb.ApplyCatalogRequest(
            document=self.chance.choice(corpus.DOCUMENTS),
            expected_revision=self.integer(),
            validate_only=self.chance.random() < 0.5,
        )

    def set_learning(self) -> catalog_pb.SetLearningRequest:
        """Return a switch of learning."""
        return catalog_pb.SetLearningRequest(
            placement=self.some(self.placement(), ""),
            frozen=self.chance.random() < 0.3,
            reason=self.text(),
            actor=self.text(),
        )

    def roll_back(self) -> catalog_pb.RollBackModelRequest:
        """Return a rollback, sometimes to a version that was served."""
        version = self.chance.choice(self.versions) if self.versions else ""
        epoch = f"{self.chance.getrandbits(128):032x}"
        wrong = self.chance.choice(("", f"{epoch}:0", f"{epoch}:-1", f"{epoch}:{2**64}", ":", f"{epoch}:١"))
        version = self.some(version, self.some(wrong, self.text()), 0.6)
        return catalog_pb.RollBackModelRequest(
            placement=self.placement(), model_version=version, reason=self.text(), actor=self.text()
        )

    def quarantine(self) -> catalog_pb.QuarantineRequest:
        """Return a quarantine of any range of times."""
        return catalog_pb.QuarantineRequest(
            placement=self.placement(),
            start_time=self.time(),
            end_time=self.time(),
            offer_id=self.some("", self.offer_id()),
            source=self.some("", self.text()),
            reason=self.text(),
            actor=self.text(),
        )

    def start_epoch(self) -> catalog_pb.StartEpochRequest:
        """Return a promotion under a document that has to be refused."""
        return catalog_pb.StartEpochRequest(
            placement=self.placement(),
            document=self.chance.choice(corpus.DOCUMENTS),
            uses_final=self.chance.random() < 0.5,
            reason=self.text(),
            actor=self.text(),
        )

    def report(self) -> insight_pb.GetPlacementReportRequest:
        """Return a question about any range of times."""
        request = insight_pb.GetPlacementReportRequest(placement=self.placement())
        if self.chance.random() < 0.5:
            request.start_time.CopyFrom(self.time())
        if self.chance.random() < 0.5:
            request.end_time.CopyFrom(self.time())
        return request
