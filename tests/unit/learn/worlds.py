"""A ledger in memory with a catalog, decisions, feedback and ticks as a test wants them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from offer_optimizer.core.catalog import Catalog, Kind, Offer, OfferType, Placement, PolicyChoice, Reward
from offer_optimizer.core.control import Steering
from offer_optimizer.core.decision import Consent, Decision, ModelVersion, Reason, SlotChoice
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.learn.fold import Fold
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import (
    Body,
    Epoch,
    RecordKind,
    StoredCatalog,
    Tick,
    encode_feedback,
)
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger, LedgerRecord
from offer_optimizer.store.sqlite import open_writer

WINDOW_S: Final = 10.0
WINDOW_US: Final = 10_000_000
START_US: Final = 1_000_000_000
PLACEMENT: Final = "home"
SMALL_VW: Final = PolicyChoice(name="vw", options={"bits": 10})
OFFERS: Final = tuple(
    Offer(id=offer_id, type=kind, attributes=Features(numbers=(("cost", cost),)))
    for offer_id, kind, cost in [
        ("msg", OfferType.MESSAGE, 0.0),
        ("save5", OfferType.COUPON, 0.25),
        ("nothing", OfferType.NOTHING, 0.0),
    ]
)


def counted_entropy() -> Callable[[int], bytes]:
    """Return seeded entropy: bytes that differ from call to call and are the same in every run."""
    calls = iter(range(1, 1 << 62))
    return lambda size: hashlib.shake_128(next(calls).to_bytes(8, "big")).digest(size)


def placement(**changes: object) -> Placement:
    """Return a placement of all offers with a window of 10 s."""
    parts: dict[str, Any] = {
        "id": PLACEMENT,
        "offers": tuple(offer.id for offer in OFFERS),
        "baseline": ("msg",),
        "policy": SMALL_VW,
        "window_s": WINDOW_S,
        "reward": Reward(formula="sum.click - count.dismiss * 0.5", min=-1.0, max=2.0, default=0.125),
    }
    return Placement(**(parts | changes))


def catalog(*placements: Placement, offers: tuple[Offer, ...] = OFFERS) -> Catalog:
    """Return a catalog with one custom kind, `scroll`."""
    return Catalog(kinds=(Kind(id="scroll"),), offers=offers, placements=placements or (placement(),))


def stored(revision: int, content: Catalog) -> StoredCatalog:
    """Return a catalog as the ledger keeps it."""
    return StoredCatalog(revision, 0, f"revision {revision}", content.model_dump_json())


def decision_of(
    number: int,
    time_us: int,
    *,
    epoch: bytes,
    revision: int = 1,
    deferred: bool = False,
    placement_id: str = PLACEMENT,
    reason: Reason = Reason.MODEL,
    consent: Consent = Consent.FULL,
) -> Decision:
    """Return decision `number` over the three offers; which is chosen, and the context, follow the number."""
    pmf = np.array([0.5, 0.25, 0.25], dtype=np.float32)
    chosen = number % 3
    return Decision(
        decision_id=number.to_bytes(16, "big"),
        decide_time_us=time_us,
        catalog_revision=revision,
        placement_id=placement_id,
        candidates=(0, 1, 2),
        excluded=(),
        exclusion_reasons=(),
        slots=(SlotChoice(pmf, chosen, float(pmf[chosen])),),
        context=Features(categories=(("device", "mobile" if number % 2 else "desktop"),)),
        model_version=ModelVersion(epoch, 0) if reason is Reason.MODEL else None,
        reason=reason,
        deferred=deferred,
        holdout=False,
        ramp=1.0,
        floor=0.02,
        baseline=0,
        draw_salt_id=1,
        consent=consent,
    )


def feedback_of(
    feedback_id: str,
    time_us: int,
    *,
    decision: int | None = None,
    kind: str = "click",
    value: float = 1.0,
    retracts: str = "",
    occur_us: int | None = None,
) -> Feedback:
    """Return an item addressed by decision number, or by visitor and placement."""
    return Feedback(
        feedback_id=feedback_id,
        decision_id=decision.to_bytes(16, "big") if decision is not None else b"",
        placement_id="" if decision is not None else PLACEMENT,
        slot=0,
        kind=kind,
        value=value,
        receive_time_us=time_us,
        occur_time_us=occur_us,
        retracts_feedback_id=retracts,
    )


@dataclass
class World:
    """A ledger and its live fold over one connection. Times of its calls are seconds after START_US."""

    connection: sqlite3.Connection = field(default_factory=lambda: open_writer(None))

    def __post_init__(self) -> None:
        self.ledger = Ledger.create(self.connection, counted_entropy())
        self.reopen()

    def reopen(self) -> None:
        """Make tables and fold anew over the same connection, as after a restart."""
        self.tables = FoldTables.create(self.connection)
        self.fold = Fold(self.ledger, self.tables)

    def take(self, record: LedgerRecord) -> LedgerRecord:
        """Fold one record and save where the fold stands."""
        self.fold.apply(record)
        self.fold.save_state()
        return record

    def add(self, body: Tick | Epoch | StoredCatalog | Steering) -> LedgerRecord:
        """Append and fold a record of the learner's own."""
        return self.take(self.ledger.append_body(body))

    def apply(self, revision: int, content: Catalog) -> bytes:
        """Bring a catalog revision with its epochs; return the epoch of its first placement."""
        self.add(stored(revision, content))
        for part in content.placements:
            epoch = epoch_of(part)
            if self.fold.revisions.epoch(epoch.id) is None:
                self.add(Epoch(part.id, revision, epoch.id, epoch.description))
        return epoch_of(content.placements[0]).id

    def decide(self, decision: Decision, visitor: str = "") -> int:
        """Record a decision; return its position."""
        key = self.ledger.visitor_key(visitor.encode())
        return self.take(
            self.ledger.append_decision(decision.decision_id, encode_decision(decision), key)
        ).position

    def hear(self, item: Feedback, visitor: str = "") -> Fate:
        """Record an item of feedback; return its fate."""
        key = self.ledger.known_visitor_key(visitor.encode())
        record = self.take(self.ledger.append(RecordKind.FEEDBACK, encode_feedback(item), key))
        fate = self.tables.fate_of(record.position)
        assert fate is not None
        return fate

    def tick(self, time_us: int) -> None:
        """Advance ledger time."""
        self.add(Tick(time_us))

    def reward(self, position: int) -> float:
        """Return what a closed decision earned."""
        closed = self.tables.closed_at(position)
        assert closed is not None
        return closed.reward

    def final(self, position: int) -> float:
        """Return the final reward of a closed decision."""
        found = self.tables.final_at(position)
        return self.reward(position) if found is None else found

    def content(self) -> dict[str, list[tuple[object, ...]]]:
        """Return all that the fold wrote."""
        return content_of(self.connection)


def content_of(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of the fold's tables."""
    names: tuple[str, ...] = (
        "fold_state",
        "fate",
        "closed",
        "final",
        "moved",
        "parked_feedback",
        "shifted_decision",
    )
    names += ("open_decision", "open_feedback", "ended_decision", "spent_feedback")
    return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in names}  # noqa: S608


def bodies(records: Iterable[LedgerRecord]) -> list[Body]:
    """Return the parsed records."""
    return [record.body() for record in records]
