"""The simulated shop: who visits, what each offer does to whom, and what that is worth, all known exactly.

Every effect size is a constant of this module and is printed in docs/demo.md. The expected reward of showing
any offer to any visitor follows from them in closed form, so a policy can be held against the truth.
Pure: no I/O, no clock, no randomness. The service under test sees none of this, only contexts and feedback.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

CHANNELS: Final[Mapping[str, float]] = {"search": 0.35, "email": 0.20, "social": 0.25, "direct": 0.20}
DEVICES: Final[Mapping[str, float]] = {"phone": 0.60, "desktop": 0.40}
STAGES: Final[Mapping[str, float]] = {"landing": 0.35, "browsing": 0.35, "cart": 0.30}
LOYALTY_TIERS: Final[Mapping[str, float]] = {"new": 0.50, "member": 0.30, "gold": 0.20}
"""Share of each value among visits; the four are independent."""

FREE_SHIPPING_FROM: Final = 50.0
"""Carts of at least this value ship free anyway."""
LARGE_CART_SHARE: Final = 0.45
"""Share of visits at stage `cart` whose cart is worth FREE_SHIPPING_FROM or more."""

WINDOW_S: Final = 3.0
"""Attribution window of every placement of the demo."""
IN_WINDOW_SHARE: Final = 0.95
"""Share of conversions that arrive inside the window; the rest come after it and count for nobody."""

SALE_MARGIN: Final = 10.0
CLICK_VALUE: Final = 1.0
DISMISS_VALUE: Final = -0.5
REWARD_MIN: Final = DISMISS_VALUE
REWARD_MAX: Final = SALE_MARGIN + CLICK_VALUE

CONVERSION_MIN: Final = 0.01
CONVERSION_MAX: Final = 0.08
ORGANIC_CONVERSION: Final[Mapping[str, float]] = {"landing": 0.013, "browsing": 0.018, "cart": 0.028}
"""Chance of a sale when nothing is shown, by stage; an offer multiplies it."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a visit looks like before deciding; `cart_value` is at least 0 and 0 outside stage `cart`."""

    channel: str
    device: str
    stage: str
    loyalty: str
    cart_value: float

    def traits(self) -> tuple[str, ...]:
        """Return the names that the tables of offers use."""
        cart = "cart_large" if self.cart_value >= FREE_SHIPPING_FROM else "cart_small"
        stage = (self.stage, cart) if self.stage == "cart" else (self.stage,)
        return (self.channel, self.device, *stage, self.loyalty)


@dataclass(frozen=True, slots=True)
class OfferTruth:
    """What one offer does: `pull` multiplies the organic chance of a sale, `trait_pull` multiplies it further
    for each trait the visitor has; click and dismiss are chances, multiplied by trait in the same way.
    """

    cost: float
    pull: float
    trait_pull: Mapping[str, float]
    click: float
    trait_click: Mapping[str, float]
    dismiss: float
    trait_dismiss: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Chances:
    """Probabilities of one visitor's answers to one offer. A visitor clicks or dismisses or does neither;
    the sale is independent of both.
    """

    click: float
    conversion: float
    dismiss: float


_GOLD_HATES_INTERRUPTION: Final = {"gold": 2.0, "direct": 1.5, "phone": 1.2}

OFFERS: Final[Mapping[str, OfferTruth]] = {
    "nothing": OfferTruth(0.0, 1.0, {}, 0.0, {}, 0.0, {}),
    "welcome-message": OfferTruth(
        0.0,
        1.0,
        {"new": 1.35, "gold": 0.8},
        0.06,
        {"new": 2.0, "landing": 1.5},
        0.06,
        _GOLD_HATES_INTERRUPTION,
    ),
    "size-guide": OfferTruth(
        0.0,
        0.9,
        {"browsing": 2.2, "search": 1.6, "gold": 0.8, "cart": 0.8},
        0.07,
        {"browsing": 2.2, "search": 1.8, "cart": 0.5},
        0.04,
        _GOLD_HATES_INTERRUPTION,
    ),
    "free-shipping": OfferTruth(
        2.0,
        1.1,
        {"cart_small": 2.5, "cart_large": 0.8, "phone": 1.1, "gold": 0.8},
        0.06,
        {"cart_small": 3.0},
        0.04,
        _GOLD_HATES_INTERRUPTION,
    ),
    "coupon-20": OfferTruth(
        5.0,
        1.4,
        {"social": 2.2, "new": 1.5, "gold": 0.7},
        0.09,
        {"social": 2.5, "new": 1.4},
        0.05,
        _GOLD_HATES_INTERRUPTION,
    ),
    "express-delivery": OfferTruth(
        1.0,
        0.9,
        {"cart_large": 2.6, "gold": 1.3, "desktop": 1.2, "landing": 0.8},
        0.05,
        {"cart_large": 3.0, "desktop": 1.3},
        0.05,
        _GOLD_HATES_INTERRUPTION,
    ),
    "member-points": OfferTruth(
        0.5,
        0.8,
        {"member": 2.8, "gold": 1.2, "email": 1.5},
        0.04,
        {"member": 4.0, "email": 1.8},
        0.05,
        _GOLD_HATES_INTERRUPTION,
    ),
}
OFFER_IDS: Final = tuple(OFFERS)
BASELINE_OFFER: Final = "welcome-message"
"""What the shop showed to everybody before it had a model."""


def chances(visitor: Visitor, offer_id: str) -> Chances:
    """Return how likely each answer of this visitor to this offer is."""
    truth = OFFERS[offer_id]
    traits = visitor.traits()
    conversion = ORGANIC_CONVERSION[visitor.stage] * _scale(truth.pull, truth.trait_pull, traits)
    return Chances(
        click=_scale(truth.click, truth.trait_click, traits),
        conversion=min(CONVERSION_MAX, max(CONVERSION_MIN, conversion)),
        dismiss=_scale(truth.dismiss, truth.trait_dismiss, traits),
    )


def _scale(start: float, factors: Mapping[str, float], traits: tuple[str, ...]) -> float:
    for trait in traits:
        start *= factors.get(trait, 1.0)
    return start


def reward(offer_id: str, *, click: bool, conversion: bool, dismiss: bool) -> float:
    """Return what a decision earned, given the feedback that came inside the window.

    The same number as the CEL formula of the demo's catalog; in [REWARD_MIN, REWARD_MAX].
    """
    return (SALE_MARGIN - OFFERS[offer_id].cost) * conversion + CLICK_VALUE * click + DISMISS_VALUE * dismiss


def true_value(visitor: Visitor, offer_id: str) -> float:
    """Return the expected reward of showing this offer to this visitor, exactly.

    The reward is linear in the feedback and no possible sum is clipped, so expectations add.
    """
    chance = chances(visitor, offer_id)
    sale = SALE_MARGIN - OFFERS[offer_id].cost
    return (
        sale * chance.conversion * IN_WINDOW_SHARE
        + CLICK_VALUE * chance.click
        + DISMISS_VALUE * chance.dismiss
    )


def segments() -> Iterator[tuple[Visitor, float]]:
    """Yield every kind of visitor that the truth tells apart, with its share of visits (they sum to 1)."""
    parts = (CHANNELS.items(), DEVICES.items(), STAGES.items(), LOYALTY_TIERS.items())
    for (channel, a), (device, b), (stage, c), (loyalty, d) in itertools.product(*parts):
        share = a * b * c * d
        if stage == "cart":
            yield (
                Visitor(channel, device, stage, loyalty, FREE_SHIPPING_FROM - 20.0),
                share * (1 - LARGE_CART_SHARE),
            )
            yield (
                Visitor(channel, device, stage, loyalty, FREE_SHIPPING_FROM + 20.0),
                share * LARGE_CART_SHARE,
            )
        else:
            yield Visitor(channel, device, stage, loyalty, 0.0), share


@dataclass(frozen=True, slots=True)
class KnownValues:
    """Expected reward per decision over all visitors, by what is shown to them."""

    by_offer: Mapping[str, float]
    uniform: float
    baseline: float
    best_fixed_offer: str
    best_fixed: float
    best_possible: float


def known_values() -> KnownValues:
    """Work out what the simplest policies and the best possible one earn, from the truth alone."""
    everyone = tuple(segments())
    by_offer = {offer: sum(share * true_value(who, offer) for who, share in everyone) for offer in OFFER_IDS}
    best_fixed_offer = max(by_offer, key=by_offer.__getitem__)
    return KnownValues(
        by_offer=by_offer,
        uniform=sum(by_offer.values()) / len(by_offer),
        baseline=by_offer[BASELINE_OFFER],
        best_fixed_offer=best_fixed_offer,
        best_fixed=by_offer[best_fixed_offer],
        best_possible=sum(
            share * max(true_value(who, offer) for offer in OFFER_IDS) for who, share in everyone
        ),
    )
