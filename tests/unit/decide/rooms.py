"""A decision path on fakes: a journal in memory, a clock that stands, entropy that counts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from offer_optimizer.core.catalog import Catalog, Offer, OfferType, Placement, PolicyChoice
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.decision import Consent, Decision
from offer_optimizer.core.errors import NotFound, StorageUnavailable
from offer_optimizer.core.features import Features
from offer_optimizer.decide.draft import Drafter
from offer_optimizer.decide.models import ModelShelf
from offer_optimizer.decide.prepared import PreparedCatalog, PreparedPlacement, prepare_catalog
from offer_optimizer.decide.requests import DecideInput
from offer_optimizer.decide.runtime import Runtime
from offer_optimizer.policy.contract import Action
from offer_optimizer.store.codec import Salt
from offer_optimizer.store.memory_cache import MemoryCache
from offer_optimizer.store.snapshots import Snapshot

SALT = Salt(7, "draw", bytes(range(32)))
HOLDOUT_SALT = Salt(8, "holdout", bytes(range(1, 33)))
NOW_US = 1_750_000_000_123_456
VW = PolicyChoice(name="vw", options={"bits": 10})
UNIFORM = PolicyChoice(name="uniform")


class MemoryJournal:
    """Keeps what is recorded; `fails` makes it refuse."""

    def __init__(self, clock: Callable[[], int] = lambda: NOW_US) -> None:
        self._clock = clock
        self.kept: list[tuple[Decision, bytes]] = []
        self.fails = False
        self.takes_at_most = 1_000
        self.is_stamping = False

    @contextmanager
    def stamp(self) -> Iterator[int]:
        """See DecisionJournal."""
        self.is_stamping = True
        try:
            yield self._clock()
        finally:
            self.is_stamping = False

    def append(self, decision: Decision, visitor_digest: bytes) -> None:
        """See DecisionJournal."""
        assert self.is_stamping
        if self.fails:
            raise StorageUnavailable("made to fail")
        self.kept.append((decision, visitor_digest))

    def append_again(self, decision: Decision, visitor_digest: bytes) -> None:
        """See DecisionJournal; kept once, as the ledger does."""
        known = any(kept.decision_id == decision.decision_id for kept, _ in self.kept)
        if self.fails or not known:
            self.append(decision, visitor_digest)

    def append_all(self, entries: Sequence[tuple[Decision, bytes]]) -> int:
        """See BatchJournal; takes no more than `takes_at_most`."""
        assert self.is_stamping
        taken = list(entries)[: 0 if self.fails else self.takes_at_most]
        self.kept.extend(taken)
        return len(taken)


class Shelves:
    """Snapshots by placement and name; `current` says which is current by placement and epoch."""

    def __init__(self) -> None:
        self.current: dict[tuple[str, bytes], str] = {}
        self.snapshots: dict[str, Snapshot | Exception] = {}
        self.load_count = 0

    def current_name(self, placement_id: str, policy_epoch: bytes) -> str | None:
        """See SnapshotReader."""
        return self.current.get((placement_id, policy_epoch))

    def load(self, placement_id: str, name: str) -> Snapshot:
        """See SnapshotReader."""
        self.load_count += 1
        found = self.snapshots.get(name)
        if isinstance(found, Exception):
            raise found
        if found is None:
            raise NotFound(f"{placement_id}/{name}")
        return found


def seeded_entropy(seed: str) -> Callable[[int], bytes]:
    """Return entropy that a seed determines."""
    calls = iter(range(1 << 62))
    return lambda size: hashlib.shake_128(f"{seed} {next(calls)}".encode()).digest(size)


OFFERS = (
    Offer(id="msg", type=OfferType.MESSAGE, attributes=Features(categories=(("tone", "warm"),))),
    Offer(id="save5", type=OfferType.COUPON, payload="five", attributes=Features(numbers=(("cost", 5.0),))),
    Offer(id="none", type=OfferType.NOTHING),
)


def revision_of(number: int = 1, offers: tuple[Offer, ...] = OFFERS, **changes: Any) -> CatalogRevision:  # noqa: ANN401  (fields of Placement)
    """Return a revision with one placement, `home`."""
    parts: dict[str, Any] = {"id": "home", "offers": tuple(o.id for o in offers), "policy": UNIFORM}
    of_catalog = {name: changes.pop(name) for name in ("caps", "budgets", "share") if name in changes}
    placement = Placement(**(parts | changes))
    catalog = Catalog(
        offers=offers,
        placements=(placement,),
        caps=of_catalog.get("caps", ()),
        budgets=of_catalog.get("budgets", ()),
        holdout=of_catalog.get("share", 0.0),
    )
    return CatalogRevision(number, "", 0, catalog)


@dataclass
class Room:
    """A runtime and what is around it."""

    revision: CatalogRevision = field(default_factory=revision_of)
    seed: str = "seed"
    now_us: int = NOW_US

    def __post_init__(self) -> None:
        self.journal = MemoryJournal(lambda: self.now_us)
        self.shelves = Shelves()
        self.shelf = ModelShelf(self.shelves)
        self.catalog: PreparedCatalog = prepare_catalog(self.revision)
        self.shelf.refresh(self.catalog)
        self.cache = MemoryCache()
        self.runtime = Runtime(
            catalog=lambda: self.catalog,
            drafter=Drafter(self.shelf, HOLDOUT_SALT),
            journal=self.journal,
            cache=self.cache,
            clock=lambda: self.now_us,
            digest=lambda visitor_id: b"digest of " + visitor_id.encode(),
            entropy=seeded_entropy(self.seed),
            salt=SALT,
        )

    @property
    def last(self) -> Decision:
        """The newest decision recorded."""
        return self.journal.kept[-1][0]


def actions_of(placement: PreparedPlacement) -> tuple[Action, ...]:
    """Return what the model is asked about where the catalog alone decides the eligible."""
    assert placement.funnel is not None
    return placement.funnel.actions


def ask(
    visitor_id: str = "ann",
    consent: Consent = Consent.FULL,
    context: Features = Features(categories=(("device", "mobile"),)),  # noqa: B008  (immutable)
    *,
    placement_id: str = "home",
    deferred: bool = False,
    **more: Any,  # noqa: ANN401  (fields of DecideInput)
) -> DecideInput:
    """Return a question about `home`."""
    return DecideInput(placement_id, visitor_id, consent, context, deferred, **more)
