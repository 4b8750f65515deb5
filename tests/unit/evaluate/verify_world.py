"""A ledger of decisions that are right by hand-written rules, for tests that make one of them wrong.

Knows one catalog and derives nothing from it: who is excluded, and why, is written out for these offers.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from offer_optimizer.core.catalog import (
    Budget,
    Cap,
    Catalog,
    Offer,
    OfferStatus,
    OfferType,
    Placement,
    Window,
)
from offer_optimizer.core.decision import (
    Consent,
    Decision,
    ExclusionReason,
    InlineCandidate,
    ModelVersion,
    Reason,
    SlotChoice,
)
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.core.feedback import SHOWN, Fate, Feedback
from offer_optimizer.evaluate.verify import Verification, verify
from offer_optimizer.evaluate.verify_draw import draw_number, mixed, propensity_of, walk
from offer_optimizer.store.codec import (
    RecordKind,
    Salt,
    StoredCatalog,
    Tick,
    encode_feedback,
)
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.fold_tables import ClosedDecision, CloseStatus, FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.sqlite import open_writer

NOON_US: Final = 1_781_006_400_000_000
"""2026-06-09, 12:00 UTC: half of the day is over where budgets count."""
SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US
EPOCH: Final = bytes(range(16))
SALT: Final = Salt(1, "draw", bytes(range(32)))
HOLDOUT: Final = 0.1

MSG, SAVE5, VIP, PAUSED, SOON, GONE, STRICT, DAILY, NOTHING = range(9)
OFFERS: Final = (
    Offer(id="msg", type=OfferType.MESSAGE),
    Offer(
        id="save5",
        type=OfferType.COUPON,
        group="coupons",
        eligible="number.cart > 50.0",
        attributes=Features(numbers=(("cost", 5.0),)),
    ),
    Offer(id="vip", type=OfferType.MESSAGE, eligible='visitor["weekly"] < 1.0 || category.tier == "gold"'),
    Offer(id="paused", type=OfferType.MESSAGE, status=OfferStatus.PAUSED, end_time_us=1),
    Offer(id="soon", type=OfferType.MESSAGE, start_time_us=NOON_US + 400 * DAY_US),
    Offer(id="gone", type=OfferType.MESSAGE, end_time_us=NOON_US),
    Offer(id="strict", type=OfferType.MESSAGE, eligible='category.partner == "ours"'),
    Offer(
        id="daily",
        type=OfferType.CONTENT,
        eligible="offer.size < 3.0",
        attributes=Features(numbers=(("size", 2.0),)),
    ),
    Offer(id="nothing", type=OfferType.NOTHING),
)  # fmt: skip
WEEKLY, DISMISSED = range(2)
CAPS: Final = (
    Cap(id="weekly", limit=2, offers=("msg",), window=Window(rolling_s=7 * 86_400.0)),
    Cap(id="dismissed", limit=1, interruptions=True, placements=("home",), count_on="dismiss"),
)
COUPONS, PER_DAY = range(2)
BUDGETS: Final = (
    Budget(id="coupons", limit=100.0, unit="money", groups=("coupons",)),
    Budget(id="per_day", limit=1000.0, offers=("daily",), period="day", pacing="even"),
)
PLACEMENTS: Final = (
    Placement(
        id="home",
        offers=tuple(offer.id for offer in OFFERS),
        baseline=("msg", "daily"),
        ramp=0.6,
        floor=0.05,
        eligible="!has(category.bot)",
        holdout=HOLDOUT,
    ),
    Placement(id="plain", offers=("daily", "msg", "nothing"), baseline=("msg",), floor=0.1),
    Placement(id="bare", offers=("vip", "msg"), floor=0.1, ramp=0.3),
    Placement(id="pure", offers=("daily", "nothing"), baseline=("daily",), floor=0.0, ramp=0.0),
)
CATALOG: Final = Catalog(offers=OFFERS, placements=PLACEMENTS, caps=CAPS, budgets=BUDGETS)
CANDIDATES: Final = {
    placement.id: tuple(CATALOG.offer_index[offer] for offer in placement.offers) for placement in PLACEMENTS
}


@dataclass(frozen=True)
class Situation:
    """What a decision was made in. `counts` and `spent` are what it read."""

    number: int
    placement: str = "home"
    cart: float = 80.0
    tier: str = "silver"
    more: tuple[tuple[str, str], ...] = ()
    visitor: str = "anna"
    weekly: int = 0
    dismissed: int = 0
    coupons: float = 0.0
    per_day: float = 0.0
    u: float | None = 0.5
    consent: Consent = Consent.FULL
    deferred: bool = False
    left_out: tuple[str, ...] = ()
    unready: bool = False
    no_model: bool = False
    time_us: int = NOON_US + 3600 * SECOND_US


def exclusions(at: Situation) -> dict[int, ExclusionReason]:
    """Return the reasons by offer, written out by hand for this catalog and 13:00 UTC on any day."""
    found: dict[int, ExclusionReason] = {}
    is_bare = at.consent is Consent.NONE
    names = {} if is_bare else dict(at.more)
    is_blind = at.unready and bool(at.visitor) and at.consent is not Consent.NONE

    def exclude(offer: int, reason: ExclusionReason, when: bool) -> None:
        if when:
            found.setdefault(offer, reason)

    exclude(PAUSED, ExclusionReason.NOT_LIVE, True)
    exclude(SOON, ExclusionReason.NOT_STARTED, True)
    exclude(GONE, ExclusionReason.ENDED, True)
    for offer in range(len(OFFERS)):
        exclude(offer, ExclusionReason.CALLER_EXCLUDED, OFFERS[offer].id in at.left_out)
    for offer in range(len(OFFERS)):
        exclude(offer, ExclusionReason.PLACEMENT_RULE, at.placement == "home" and "bot" in names)
    # Without consent no context is read: nothing is there that a rule could ask for.
    exclude(SAVE5, ExclusionReason.RULE_ERROR, is_bare)
    exclude(SAVE5, ExclusionReason.RULE, at.cart <= 50.0)
    # What was not read is not in the rule's map.
    exclude(VIP, ExclusionReason.RULE_ERROR, is_blind and at.tier != "gold")
    exclude(VIP, ExclusionReason.RULE, at.weekly >= 1 and at.tier != "gold")
    exclude(STRICT, ExclusionReason.RULE_ERROR, "partner" not in names)
    exclude(STRICT, ExclusionReason.RULE, names.get("partner") != "ours")
    for offer in range(len(OFFERS) - 1):
        limited = offer in (MSG, SAVE5, DAILY) or at.placement == "home"
        exclude(offer, ExclusionReason.COUNTERS_UNREADY, at.unready and limited)
    exclude(MSG, ExclusionReason.CAPPED, at.weekly >= 2)
    for offer in range(len(OFFERS) - 1):
        exclude(offer, ExclusionReason.CAPPED, at.placement == "home" and at.dismissed >= 1)
    exclude(SAVE5, ExclusionReason.BUDGET_SPENT, at.coupons + 5.0 > 100.0)
    exclude(DAILY, ExclusionReason.BUDGET_SPENT, at.per_day + 1.0 > 1000.0)
    # Thirteen of twenty-four hours, and a hundredth.
    exclude(DAILY, ExclusionReason.BUDGET_PACED, at.per_day + 1.0 > 1000.0 * 13 / 24 + 10.0)
    return found


def model_pmf(number: int, size: int, floor: float = 0.0) -> list[float]:
    """Return a pmf that differs from decision to decision, as float32 keeps it."""
    weights = np.array([1.0 + (number * 7 + place * 3) % 5 for place in range(size)])
    return mixed((weights / weights.sum()).astype(np.float32).tolist(), None, 1.0, floor)


def decide(at: Situation) -> Decision:
    """Return the decision that is right in a situation."""
    placement = CATALOG.placement_by_id[at.placement]
    candidates = CANDIDATES[at.placement]
    reasons = exclusions(at)
    excluded = tuple(place for place, offer in enumerate(candidates) if offer in reasons)
    eligible = [offer for offer in candidates if offer not in reasons]
    listed = [CATALOG.offer_index[offer] for offer in placement.baseline]
    first = next((o for o in listed if o in eligible), NOTHING if NOTHING in eligible else None)
    baseline = None if first is None else eligible.index(first)
    has_visitor = bool(at.visitor) and at.consent is not Consent.NONE
    declared = at.placement == "home" and has_visitor
    decision = Decision(
        decision_id=random.Random(at.number).randbytes(16),
        decide_time_us=at.time_us,
        catalog_revision=1,
        placement_id=at.placement,
        candidates=candidates,
        excluded=excluded,
        exclusion_reasons=tuple(int(reasons[candidates[place]]) for place in excluded),
        slots=(),
        context=_context(at),
        model_version=None,
        reason=Reason.NO_ELIGIBLE_OFFER,
        deferred=at.deferred,
        holdout=declared and at.u is not None and at.u < HOLDOUT,
        ramp=1.0 if baseline is None else placement.ramp,
        floor=placement.floor,
        baseline=baseline,
        draw_salt_id=SALT.salt_id,
        consent=at.consent,
        holdout_u=at.u if declared else None,
        cap_counts=((WEEKLY, at.weekly), (DISMISSED, at.dismissed)) if has_visitor and not at.unready else (),
        budget_spent=() if at.unready else ((COUPONS, at.coupons), (PER_DAY, at.per_day)),
        excluded_by_caller=at.left_out,
    )
    return _serve(decision, at, len(eligible))


def _context(at: Situation) -> Features:
    if at.consent is Consent.NONE:
        return EMPTY
    categories = tuple(sorted((("tier", at.tier), *at.more)))
    return Features(categories=categories, numbers=(("cart", at.cart),))


def _serve(decision: Decision, at: Situation, size: int) -> Decision:
    if not size:
        return decision
    pure = None
    if at.consent is Consent.NONE:
        pure = Reason.NO_CONSENT
    elif decision.holdout:
        pure = Reason.HOLDOUT
    elif at.placement == "pure" and decision.baseline is not None:
        pure = Reason.BASELINE
    elif at.no_model:
        pure = Reason.MODEL_UNAVAILABLE
    if pure is not None:
        if decision.baseline is None:
            return decision
        pmf = [float(place == decision.baseline) for place in range(size)]
        return redraw(replace(decision, reason=pure), pmf)
    model = model_pmf(at.number, size)
    decision = replace(
        decision,
        reason=Reason.MODEL,
        model_version=ModelVersion(EPOCH, at.number),
        model_pmf=np.array(model, dtype=np.float32) if decision.ramp < 1.0 else None,
    )
    return redraw(decision, mixed(model, decision.baseline, decision.ramp, decision.floor))


def redraw(decision: Decision, pmf: list[float]) -> Decision:
    """Return a decision with the choice that its salt draws from a pmf, and its propensity."""
    stored = np.array(pmf, dtype=np.float32)
    values = stored.tolist()
    chosen = walk(values, draw_number(SALT.salt, decision.placement_id, decision.decision_id, 0))
    slot = SlotChoice(stored, chosen, propensity_of(values, chosen))
    return replace(decision, slots=(slot,))


def with_inline(at: Situation, count: int) -> Decision:
    """Return a decision over inline candidates, as any of them may be shown."""
    inline = tuple(InlineCandidate(f"inline{n}", EMPTY) for n in range(count))
    candidates = tuple(range(len(OFFERS), len(OFFERS) + count))
    bare = replace(
        decide(at), candidates=candidates, inline=inline, excluded=(), exclusion_reasons=(), baseline=None
    )
    return redraw(replace(bare, ramp=1.0, model_pmf=None), model_pmf(at.number, count, bare.floor))


@dataclass
class World:
    """A ledger in memory. Decisions are closed as learned where they may be."""

    ledger: Ledger = field(
        default_factory=lambda: Ledger.create(open_writer(None), random.Random(0).randbytes)
    )
    catalog: Catalog = CATALOG

    def __post_init__(self) -> None:
        self.tables = FoldTables.create(self.ledger.connection)
        self.ledger.append_body(SALT)
        self.ledger.append_body(Salt(2, "holdout", bytes(32)))
        self.ledger.append_body(StoredCatalog(1, 0, "", self.catalog.model_dump_json()))
        self.ledger.append_body(Tick(NOON_US))

    def add(
        self,
        decision: Decision,
        visitor: str = "anna",
        status: CloseStatus | None = None,
        weight: float = 1.0,
    ) -> None:
        """Record a decision, and close it as it deserves, or with a given status."""
        key = self.ledger.visitor_key(visitor.encode()) if decision.consent is not Consent.NONE else None
        record = self.ledger.append_decision(decision.decision_id, encode_decision(decision), key)
        is_right = decision.is_learnable() and not decision.holdout
        learnable = CloseStatus.LEARNED if is_right else CloseStatus.NOT_LEARNABLE
        epoch = decision.model_version.epoch if decision.model_version else b""
        self.tables.close(
            ClosedDecision(
                decision.placement_id,
                epoch,
                decision.decide_time_us + 1,
                record.position,
                learnable if status is None else status,
                0.0,
                False,
                weight,
            )
        )

    def show(self, decision: Decision, kind: str = SHOWN) -> None:
        """Record that the newest decision was shown, or answered with another kind."""
        position = self.ledger.last_position()
        item = Feedback("f", decision.decision_id, "", 0, kind, 1.0, decision.decide_time_us)
        record = self.ledger.append(RecordKind.FEEDBACK, encode_feedback(item))
        self.tables.note_fate(record.position, Fate.APPLIED, position)

    def verify(self) -> Verification:
        """Verify everything."""
        return verify(self.ledger)


def situations(count: int, seed: int) -> list[Situation]:
    """Return situations of all kinds, whose counts of `weekly` are those of the decisions themselves."""
    chance = random.Random(seed)
    times: dict[str, list[int]] = defaultdict(list)
    found = []
    for number in range(count):
        at = _situation(number, chance)
        # At 13:00 UTC on one day after the other; several seconds apart.
        time_us = NOON_US + 3600 * SECOND_US + (number // 200) * DAY_US
        recent = [time for time in times[at.visitor] if time > time_us - 7 * DAY_US]
        is_known = bool(at.visitor) and at.consent is not Consent.NONE
        dismissed = at.dismissed if is_known else 0
        at = replace(at, weekly=len(recent) if is_known else 0, dismissed=dismissed, time_us=time_us)
        decision = decide(at)
        dropped = set(decision.excluded)
        eligible = [o for place, o in enumerate(decision.candidates) if place not in dropped]
        if decision.slots and eligible[decision.slots[0].chosen] == MSG and at.consent is not Consent.NONE:
            times[at.visitor].append(time_us)
        found.append(at)
    return found


def _situation(number: int, chance: random.Random) -> Situation:
    visitor = chance.choice(["", *(f"visitor{n}" for n in range(150))])
    more = tuple(
        item
        for item, share in ((("bot", "yes"), 0.03), (("partner", "ours"), 0.3), (("partner", "theirs"), 0.2))
        if chance.random() < share
    )
    return Situation(
        number=number,
        placement=chance.choices(["home", "plain", "bare", "pure"], [6, 2, 1, 1])[0],
        cart=chance.choice([20.0, 50.0, 80.0]),
        tier=chance.choice(["silver", "gold"]),
        more=more[:1],
        visitor=visitor,
        dismissed=int(bool(visitor) and chance.random() < 0.05),
        coupons=chance.choice([0.0, 95.0, 96.0]),
        per_day=chance.choice([0.0, 550.0, 551.0, 1000.0]),
        u=chance.random(),
        consent=chance.choices([Consent.FULL, Consent.SERVE_ONLY, Consent.NONE], [8, 1, 1])[0],
        left_out=("vip",) if chance.random() < 0.05 else (),
        unready=chance.random() < 0.03,
        no_model=chance.random() < 0.03,
    )


def verified(*decisions: Decision, change: Callable[[World], None] | None = None) -> Verification:
    """Return what verify finds in a ledger of some decisions of anna's."""
    world = World()
    for decision in decisions:
        world.add(decision)
    if change is not None:
        change(world)
    return world.verify()
