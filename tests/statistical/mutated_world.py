"""The real decision path in one process, over a catalog with everything in it, and its ledger for verify.

Nothing here knows what a test breaks: a world decides, records, folds and verifies.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import pytest

from offer_optimizer.core.catalog import (
    Budget,
    Cap,
    Catalog,
    Kind,
    Offer,
    OfferType,
    Placement,
    PolicyChoice,
    Window,
)
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.decision import Consent, Decision, Pmf64
from offer_optimizer.core.errors import CacheUnready
from offer_optimizer.core.features import Features
from offer_optimizer.decide.draft import Drafter
from offer_optimizer.decide.models import ModelShelf, ServedModel
from offer_optimizer.decide.prepared import prepare_catalog
from offer_optimizer.decide.requests import DecideInput
from offer_optimizer.decide.runtime import Runtime
from offer_optimizer.evaluate.verify import Verification, verify
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.uniform import UniformPolicy
from offer_optimizer.store.codec import Tick
from offer_optimizer.store.memory_cache import MemoryCache
from tests.unit.decide.rooms import HOLDOUT_SALT, SALT, Shelves, seeded_entropy
from tests.unit.learn.worlds import World

START_US: Final = 1_781_006_400_000_000
STEP_US: Final = 20_000_000
VISITORS: Final = 120
OFFERS: Final = (
    Offer(id="msg", type=OfferType.MESSAGE),
    Offer(
        id="save5",
        type=OfferType.COUPON,
        group="coupons",
        eligible="number.cart > 30.0",
        attributes=Features(numbers=(("cost", 5.0),)),
    ),
    Offer(id="vip", type=OfferType.MESSAGE, eligible='category.tier == "gold"'),
    Offer(id="video", type=OfferType.CONTENT),
    Offer(id="nothing", type=OfferType.NOTHING),
)
CATALOG: Final = Catalog(
    kinds=(Kind(id="scroll"),),
    offers=OFFERS,
    placements=(
        Placement(
            id="home",
            offers=tuple(offer.id for offer in OFFERS),
            baseline=("msg",),
            policy=PolicyChoice(name="uniform"),
            ramp=0.7,
            floor=0.05,
            holdout=0.2,
        ),
        Placement(
            id="cart",
            offers=("save5", "video", "nothing"),
            baseline=("nothing",),
            policy=PolicyChoice(name="uniform"),
            floor=0.1,
        ),
    ),
    caps=(
        Cap(id="daily_msg", limit=2, offers=("msg", "vip"), window=Window(rolling_s=86_400.0)),
        Cap(id="video_once", limit=3, offers=("video",), window=Window(period="day")),
    ),
    budgets=(Budget(id="coupons", limit=1000.0, unit="money", groups=("coupons",), hard=True),),
)


class ClockedJournal:
    """Keeps what is recorded, and lets the clock go on."""

    def __init__(self) -> None:
        self.kept: list[tuple[Decision, bytes]] = []
        self.now_us = START_US

    @contextmanager
    def stamp(self) -> Iterator[int]:
        """See DecisionJournal."""
        self.now_us += STEP_US
        yield self.now_us

    def append(self, decision: Decision, visitor_digest: bytes) -> None:
        """See DecisionJournal."""
        self.kept.append((decision, visitor_digest))

    def append_again(self, decision: Decision, visitor_digest: bytes) -> None:
        """See DecisionJournal. Nothing is ever repeated here."""
        raise AssertionError(decision, visitor_digest)


class TiltedPolicy(UniformPolicy):
    """Prefers offers by context, clearly: what is chosen depends on who asks."""

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        """See Policy."""
        tilt = dict(context.numbers).get("cart", 0.0) / 20.0
        weights = np.array([1e-3 + ((len(action.id) + tilt) % 4.0) ** 2 for action in actions])
        probabilities: Pmf64 = weights / weights.sum()
        return probabilities


class TiltedShelf(ModelShelf):
    """Serves the tilted policy everywhere."""

    def get(self, placement_id: str, epoch: bytes) -> ServedModel | None:
        """See ModelShelf."""
        found = super().get(placement_id, epoch)
        return found and ServedModel(found.version, TiltedPolicy(), None)


class MutatedWorld:
    """Deciders, a cache, a ledger with its fold."""

    def __init__(self, catalog: Catalog = CATALOG) -> None:
        self.catalog = catalog
        self.journal = ClockedJournal()
        prepared = prepare_catalog(CatalogRevision(1, "", 0, catalog))
        shelf = TiltedShelf(Shelves())
        shelf.refresh(prepared)
        self.cache = MemoryCache()
        self.runtime = Runtime(
            catalog=lambda: prepared,
            drafter=Drafter(shelf, HOLDOUT_SALT),
            journal=self.journal,
            cache=self.cache,
            clock=lambda: self.journal.now_us,
            digest=lambda visitor_id: b"digest of " + visitor_id.encode(),
            entropy=seeded_entropy("mutations"),
            salt=SALT,
        )

    def decide(self, count: int, seed: int = 1) -> None:
        """Ask for visitors of all kinds."""
        chance = random.Random(seed)
        for _ in range(count):
            context = Features(
                categories=(("tier", chance.choice(["gold", "silver"])),),
                numbers=(("cart", float(chance.choice([10, 60, 80]))),),
            )
            visitor = chance.choice(["", *(f"visitor{n}" for n in range(VISITORS))])
            placement = chance.choice(["home", "home", "cart"])
            self.runtime.decide(DecideInput(placement, visitor, Consent.FULL, context))

    @contextmanager
    def without_counters(self) -> Iterator[None]:
        """Let the hot cache be out of use for a while."""

        def refuse(*_: object, **__: object) -> None:
            raise CacheUnready("made to fail")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.cache, "view", refuse)
            patch.setattr(self.cache, "transaction", refuse)
            yield

    def verify(self) -> Verification:
        """Record everything in a ledger, let all windows close, and verify."""
        ledger = World()
        for salt in (SALT, HOLDOUT_SALT):
            ledger.take(ledger.ledger.append_body(salt))
        ledger.apply(1, self.catalog)
        for decision, digest in self.journal.kept:
            ledger.decide(decision, digest.decode())
        ledger.add(Tick(self.journal.now_us + 3_600_000_000))
        return verify(ledger.ledger)
