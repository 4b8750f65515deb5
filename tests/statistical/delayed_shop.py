"""A small shop over the real fold and trainer, with sales that come at once or minutes to days later.

Visitors, their dice and what offers do to them are the demo's (`demo.shop`), in a busy season: sales are
eight times as likely, which leaves the values of all policies exactly known and makes thousands of decisions
enough. How long a sale takes depends on the offer, so whoever learns before it came learns something false.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.core.catalog import Catalog, Offer, OfferType, Placement, PolicyChoice, Reward
from offer_optimizer.core.decision import Consent, Decision, ModelVersion, Pmf64, Reason, SlotChoice
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.decide.mix import mix
from offer_optimizer.demo import shop
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.trainer import BATCH, Trainer, initial_model
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import Epoch, RecordKind, StoredCatalog, Tick, encode_feedback
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.sqlite import open_writer
from tests.unit.learn.worlds import counted_entropy

BUSY: Final = 8.0
MINUTE_US, HOUR_US, DAY_US = 60_000_000, 3_600_000_000, 86_400_000_000
SALE_DELAY_US: Final = {
    "nothing": (MINUTE_US, HOUR_US),
    "size-guide": (6 * HOUR_US, 2 * DAY_US),
    "free-shipping": (MINUTE_US, HOUR_US),
    "member-points": (HOUR_US, 2 * DAY_US),
}
"""Shortest and longest time to a sale, even on the scale of logarithms."""
OFFERS: Final = tuple(SALE_DELAY_US)
SHORT_US: Final = MINUTE_US
LONG_US: Final = 2 * DAY_US + MINUTE_US
"""Windows: of a shop where all comes at once, and of one that waits for the slowest sale."""
SPAN_US: Final = 30 * DAY_US
"""How much ledger time the visits are spread over."""
START_US: Final = 1_750_000_000_000_000
FLOOR: Final = 0.02
PLACEMENT: Final = "shop"

VISITORS: Final = tuple(
    shop.Visitor("search", "phone", stage, loyalty, cart)
    for stage, cart in (("landing", 0.0), ("browsing", 0.0), ("cart", 30.0), ("cart", 70.0))
    for loyalty in shop.LOYALTY_TIERS
)
CONTEXTS: Final = tuple(
    Features(categories=(("visit", f"{who.stage}-{who.cart_value:.0f}-{who.loyalty}"),)) for who in VISITORS
)


def _truth(who: shop.Visitor, offer_id: str) -> float:
    chance = shop.chances(who, offer_id)
    sale = shop.SALE_MARGIN - shop.OFFERS[offer_id].cost
    clicks = shop.CLICK_VALUE * chance.click + shop.DISMISS_VALUE * chance.dismiss
    return sale * BUSY * chance.conversion + clicks


TRUTH: Final = np.array([[_truth(who, offer_id) for offer_id in OFFERS] for who in VISITORS])
"""Expected reward by kind of visitor and offer, exactly; all kinds come equally often."""
UNIFORM: Final = float(TRUTH.mean())
BEST: Final = float(TRUTH.max(axis=1).mean())


def _catalog(window_us: int) -> Catalog:
    # With the default gamma_scale (100) squarecb exploits before it knows anything: what it ends with is
    # luck, and the pairs would differ by that. With 2 both shops come to the same place.
    options = {"bits": 12, "gamma_scale": 2.0, "learning_rate": 0.05, "numbers": "squashed"}
    policy = PolicyChoice(name="vw", options=options)
    formula = "(10.0 - offer.cost) * count.conversion + count.click - 0.5 * count.dismiss"
    return Catalog(
        offers=tuple(
            Offer(
                id=offer_id,
                type=OfferType.MESSAGE,
                attributes=Features(numbers=(("cost", shop.OFFERS[offer_id].cost),)),
            )
            for offer_id in OFFERS
        ),
        placements=(
            Placement(
                id=PLACEMENT,
                offers=OFFERS,
                policy=policy,
                floor=FLOOR,
                window_s=window_us / 1e6,
                reward=Reward(formula=formula, min=shop.REWARD_MIN, max=shop.REWARD_MAX, default=0.0),
            ),
        ),
    )


@dataclass(frozen=True, slots=True)
class Season:
    """Who comes, in order, and every die that is thrown for them: shape (visits, 4)."""

    visitor: NDArray[np.int64]
    dice: NDArray[np.float64]

    @classmethod
    def plan(cls, count: int, seed: int) -> Season:
        """Draw a season: the same for both shops of a pair."""
        chance = np.random.default_rng([20, seed])
        return cls(chance.integers(len(VISITORS), size=count), chance.random((count, 4)))


class DelayedShop:
    """One shop over one season. `is_delayed` says whether sales take their time."""

    def __init__(self, season: Season, window_us: int, *, is_delayed: bool) -> None:
        self._season = season
        self._is_delayed = is_delayed
        self._window_us = window_us
        connection = open_writer(None)
        self._ledger = Ledger.create(connection, counted_entropy())
        self._fold = Fold(self._ledger, FoldTables.create(connection))
        self._trainer = Trainer(self._ledger, FoldTables(connection), self._fold.revisions)
        content = _catalog(window_us)
        epoch = epoch_of(content.placements[0])
        body = Epoch(PLACEMENT, 1, epoch.id, epoch.description)
        self._fold.apply(self._ledger.append_body(StoredCatalog(1, 0, "", content.model_dump_json())))
        self._fold.apply(self._ledger.append_body(body))
        self._actions = self._fold.revisions.actions(1)
        self._model = initial_model(body)
        self._due: list[tuple[int, int, str]] = []

    def run(self) -> float:
        """Live through the season, let all windows close, and return the value of the final policy."""
        count = len(self._season.visitor)
        self._ledger.connection.execute("BEGIN")
        now_us = START_US
        for number in range(count):
            now_us = START_US + number * SPAN_US // count
            self._go_on_to(now_us)
            self._visit(number, now_us)
        self._go_on_to(now_us + self._window_us)
        self._fold.save_state()
        self._ledger.connection.execute("COMMIT")
        assert self._model.learned_count == count, "every window has closed and was learned from"
        found = self.value()
        self._model.policy.close()
        self._ledger.connection.close()
        return found

    def value(self) -> float:
        """Return what the policy earns a decision, as a share of the range from uniform to best."""
        pmfs = np.array([self._pmf(context) for context in CONTEXTS])
        return (float((pmfs * TRUTH).sum(axis=1).mean()) - UNIFORM) / (BEST - UNIFORM)

    def _pmf(self, context: Features) -> Pmf64:
        pmf = self._model.policy.pmf(context, self._actions)
        served: Pmf64 = mix(pmf, None, len(OFFERS), 1.0, FLOOR).astype(np.float64)
        served /= served.sum()
        return served

    def _go_on_to(self, now_us: int) -> None:
        while self._due and self._due[0][0] <= now_us:
            self._hear(*heapq.heappop(self._due))
        self._fold.apply(self._ledger.append_body(Tick(now_us)))
        while self._trainer.teach(self._model) == BATCH:
            pass

    def _visit(self, number: int, now_us: int) -> None:
        kind = int(self._season.visitor[number])
        draw, reaction, sale, delay = self._season.dice[number].tolist()
        pmf = self._pmf(CONTEXTS[kind])
        chosen = min(int(np.searchsorted(np.cumsum(pmf), draw, side="right")), len(OFFERS) - 1)
        decision = Decision(
            decision_id=(number + 1).to_bytes(16, "big"),
            decide_time_us=now_us,
            catalog_revision=1,
            placement_id=PLACEMENT,
            candidates=tuple(range(len(OFFERS))),
            excluded=(),
            exclusion_reasons=(),
            slots=(SlotChoice(pmf.astype(np.float32), chosen, float(pmf[chosen])),),
            context=CONTEXTS[kind],
            model_version=ModelVersion(self._model.policy_epoch, 0),
            reason=Reason.MODEL,
            deferred=False,
            holdout=False,
            ramp=1.0,
            floor=FLOOR,
            baseline=None,
            draw_salt_id=1,
            consent=Consent.FULL,
        )
        record = self._ledger.append_decision(decision.decision_id, encode_decision(decision), None)
        self._fold.apply(record)
        chance = shop.chances(VISITORS[kind], OFFERS[chosen])
        if reaction < chance.click + chance.dismiss:
            self._later(now_us, number, "click" if reaction < chance.click else "dismiss")
        if sale < BUSY * chance.conversion:
            shortest, longest = SALE_DELAY_US[OFFERS[chosen]] if self._is_delayed else (1, 1)
            self._later(now_us + round(shortest * (longest / shortest) ** delay), number, "conversion")

    def _later(self, due_us: int, number: int, kind: str) -> None:
        heapq.heappush(self._due, (due_us, number, kind))

    def _hear(self, due_us: int, number: int, kind: str) -> None:
        item = Feedback(kind, (number + 1).to_bytes(16, "big"), "", 0, kind, 1.0, due_us)
        self._fold.apply(self._ledger.append(RecordKind.FEEDBACK, encode_feedback(item)))
