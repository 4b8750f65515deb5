"""Who comes, and how each visit would answer each offer: a whole run, drawn from one seed before it starts.

A visit carries its own dice, so its answer depends only on what it is shown, never on thread timing or on
what others were shown. Visitors return; each sees one placement only, assigned at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.demo import shop
from offer_optimizer.demo.catalog import PLACEMENTS
from offer_optimizer.demo.shop import Visitor

PLACEMENT_SHARES: Final = (0.6, 0.2, 0.2)
"""Share of visitors at the learned, the uniform and the baseline placement."""
VISITS_PER_VISITOR: Final = 5
"""Mean number of visits of one visitor over a full run."""

CLICK_DELAY_S: Final = (0.05, 0.9)
CONVERSION_DELAY_S: Final = (0.4, 2.2)
LATE_CONVERSION_DELAY_S: Final = (4.0, 5.0)
"""Nothing falls between 2.2 and 4.0 seconds: so both sides judge every item by the window of 3 s alike."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing a visitor does after a decision, `delay_s` seconds after it."""

    kind: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """All visits of a run in order. `visitor` and `placement` are indices; `dice` has shape (visits, 4):
    reaction, sale, delay of the reaction, delay of the sale, each in [0, 1).
    """

    visits: tuple[Visitor, ...]
    visitor: NDArray[np.int64]
    visit_number: NDArray[np.int64]
    placement: NDArray[np.int64]
    dice: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.visits)

    def answers(self, visit: int, offer_id: str) -> tuple[Answer, ...]:
        """Return what this visit does when shown this offer, clicks and dismissals before sales."""
        chance = shop.chances(self.visits[visit], offer_id)
        reaction, sale, reaction_delay, sale_delay = (float(die) for die in self.dice[visit])
        found = []
        if reaction < chance.click:
            found.append(Answer("click", _between(CLICK_DELAY_S, reaction_delay)))
        elif reaction < chance.click + chance.dismiss:
            found.append(Answer("dismiss", _between(CLICK_DELAY_S, reaction_delay)))
        if sale < chance.conversion:
            # The lower part of the interval of sales is in time, so one die serves both questions.
            in_time = sale < chance.conversion * shop.IN_WINDOW_SHARE
            delays = CONVERSION_DELAY_S if in_time else LATE_CONVERSION_DELAY_S
            found.append(Answer("conversion", _between(delays, sale_delay)))
        return tuple(found)


def _between(bounds: tuple[float, float], die: float) -> float:
    return bounds[0] + die * (bounds[1] - bounds[0])


def plan_traffic(visit_count: int, seed: int) -> Traffic:
    """Draw a run of `visit_count` visits (at least 1): the same seed and count give the same run."""
    rng = np.random.default_rng(seed)
    visitor_count = max(1, visit_count // VISITS_PER_VISITOR)
    habits = {
        "channel": _draw(rng, shop.CHANNELS, visitor_count),
        "device": _draw(rng, shop.DEVICES, visitor_count),
        "loyalty": _draw(rng, shop.LOYALTY_TIERS, visitor_count),
    }
    placement_of = rng.choice(len(PLACEMENTS), size=visitor_count, p=PLACEMENT_SHARES)
    visitor = rng.integers(visitor_count, size=visit_count)
    stage = _draw(rng, shop.STAGES, visit_count)
    cart_value = np.where(np.array(stage) == "cart", _draw_cart_values(rng, visit_count), 0.0)
    visits = tuple(
        Visitor(habits["channel"][who], habits["device"][who], at, habits["loyalty"][who], float(value))
        for who, at, value in zip(visitor, stage, cart_value, strict=True)
    )
    dice = rng.random((visit_count, 4))
    return Traffic(visits, visitor, _count_visits(visitor), placement_of[visitor], dice)


def _draw(rng: np.random.Generator, shares: Mapping[str, float], count: int) -> list[str]:
    return [str(value) for value in rng.choice(list(shares), size=count, p=list(shares.values()))]


def _draw_cart_values(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Small carts are 10 up to FREE_SHIPPING_FROM, large ones from there to 120, both even."""
    large = rng.random(count) < shop.LARGE_CART_SHARE
    small_value = rng.uniform(10.0, shop.FREE_SHIPPING_FROM, count)
    large_value = rng.uniform(shop.FREE_SHIPPING_FROM, 120.0, count)
    return np.where(large, large_value, np.minimum(small_value, shop.FREE_SHIPPING_FROM - 0.01)).round(2)


def _count_visits(visitor: NDArray[np.int64]) -> NDArray[np.int64]:
    seen: dict[int, int] = {}
    numbers = np.empty(len(visitor), dtype=np.int64)
    for index, who in enumerate(visitor.tolist()):
        seen[who] = seen.get(who, 0) + 1
        numbers[index] = seen[who]
    return numbers
