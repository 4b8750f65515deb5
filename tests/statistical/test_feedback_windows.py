"""What addressing by id and closing early do to estimates, in shops whose truth is known.

Through the fold, without a policy. Seeded, so each test passes or fails for good. "Unbiased" is within
4 standard errors (6 in 100,000 by chance alone), "biased" is beyond 8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from offer_optimizer.core.catalog import Placement, Reward
from offer_optimizer.core.decision import Reason
from offer_optimizer.core.feedback import Fate
from offer_optimizer.evaluate.uplift import Arms
from tests.conftest import Size
from tests.unit.learn.worlds import START_US, World, catalog, decision_of, feedback_of, placement

SHARE = 0.5
KEPT_SHOWN, KEPT_UNSHOWN = 0.9, 0.1
WINDOW_S = 3600.0
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Measured:
    """A mean over decisions with its standard error."""

    mean: float
    error: float

    def is_unbiased(self, truth: float) -> bool:
        return abs(self.mean - truth) < 4.0 * self.error

    def bias(self, truth: float) -> float:
        """Return the bias in standard errors."""
        return (self.mean - truth) / self.error


def uplift(rate: float, visitors: int, *, by_visitor: bool) -> Measured:
    """Return the uplift in a shop where all convert at one rate, whoever is shown an offer.

    Callers keep the id of 90 % of the decisions that showed something, and of 10 % of the others.
    """
    chance = np.random.default_rng([3, visitors])
    part = placement(reward=Reward(formula="count.conversion > 0.0 ? 1.0 : 0.0"), window_s=WINDOW_S)
    world = World()
    epoch = world.apply(1, catalog(part))
    number = chance.random(visitors)
    converts, is_kept = chance.random(visitors) < rate, chance.random(visitors)
    positions = []
    for visitor in range(visitors):
        is_held_out = number[visitor] < SHARE
        reason = Reason.HOLDOUT if is_held_out else Reason.MODEL
        time_us = START_US + visitor
        name = f"v{visitor}"
        positions.append(world.decide(decision_of(visitor, time_us, epoch=epoch, reason=reason), name))
        if not converts[visitor]:
            continue
        if by_visitor:
            fate = world.hear(feedback_of("c", time_us + 1, kind="conversion"), name)
        elif is_kept[visitor] < (KEPT_UNSHOWN if is_held_out else KEPT_SHOWN):
            fate = world.hear(feedback_of("c", time_us + 1, decision=visitor, kind="conversion"))
        else:
            continue
        assert fate is Fate.APPLIED
    world.tick(START_US + visitors + HOUR_US)
    arms = Arms(SHARE, SHARE)
    reward = np.array([world.final(position) for position in positions])
    arms.add(np.arange(visitors), reward, number)
    found = arms.uplift().difference
    assert found.value is not None
    treated, held_out = reward[number >= SHARE], reward[number < SHARE]
    error = math.sqrt(treated.var() / len(treated) + held_out.var() / len(held_out))
    return Measured(found.value, error)


def test_uplift_is_unbiased_by_visitor_and_not_where_ids_are_kept_of_what_was_shown(
    size: Size, figure: Callable[[str], None]
) -> None:
    """The same true uplift of 0, the same conversions; only how they are addressed differs."""
    rate = size.pick(test=0.3, ci=0.1, proof=0.02)
    visitors = size.pick(test=1000, ci=4000, proof=60_000)
    by_id = uplift(rate, visitors, by_visitor=False)
    by_visitor = uplift(rate, visitors, by_visitor=True)
    figure(
        f"a true uplift of 0 at a rate of {rate:g}, {visitors} visitors: {by_id.mean:+.4f} by id where "
        f"callers keep 90 % of shown and 10 % of unshown, {by_visitor.mean:+.4f} by visitor "
        f"(standard error {by_visitor.error:.4f})"
    )
    assert by_visitor.is_unbiased(0.0)
    assert by_id.bias(0.0) > 8.0
    assert by_id.is_unbiased((KEPT_SHOWN - KEPT_UNSHOWN) * rate)


@dataclass(frozen=True)
class Shop:
    """Buyers who come back: purchases are a Poisson process, each of one value."""

    per_window: float
    value: float

    @property
    def truth(self) -> float:
        """What a decision earns in its window."""
        return self.per_window * self.value

    @property
    def first_alone(self) -> float:
        """What is left of it where the first purchase ends the window."""
        return (1.0 - math.exp(-self.per_window)) * self.value


@dataclass(frozen=True)
class Learned:
    """Mean rewards as learned and in the end, and of what had closed halfway through the first windows."""

    learned: Measured
    final: Measured
    halfway: Measured | None


def run(shop: Shop, part: Placement, count: int) -> Learned:
    """Make decisions within a second, let visitors buy through the window, and close."""
    chance = np.random.default_rng([5, count])
    world = World()
    epoch = world.apply(1, catalog(part))
    positions = [world.decide(decision_of(n, START_US + n, epoch=epoch)) for n in range(count)]
    purchases = [
        (START_US + decision + round(at * HOUR_US), decision)
        for decision, times in enumerate(chance.poisson(shop.per_window, count))
        for at in chance.random(times)
    ]
    halfway = None
    for number, (time_us, decision) in enumerate(sorted(purchases)):
        if halfway is None and time_us > START_US + HOUR_US // 2:
            world.tick(time_us - 1)
            halfway = closed_so_far(world)
        kind = feedback_of(f"p{number}", time_us, decision=decision, kind="conversion", value=shop.value)
        assert world.hear(kind) in (Fate.APPLIED, Fate.LATE)
        if number % 50 == 0:
            world.tick(time_us)
    world.tick(START_US + count + HOUR_US)
    rewards = [world.reward(position) for position in positions]
    return Learned(measured(rewards), measured([world.final(position) for position in positions]), halfway)


def measured(rewards: list[float]) -> Measured:
    return Measured(float(np.mean(rewards)), float(np.std(rewards)) / math.sqrt(len(rewards)))


def closed_so_far(world: World) -> Measured | None:
    rewards = [reward for (reward,) in world.connection.execute("SELECT reward FROM closed")]
    return measured(rewards) if rewards else None


def window(formula: str, *, ends: bool) -> Placement:
    return placement(
        window_s=WINDOW_S,
        reward=Reward(formula=formula, max=100.0),
        close_on=("conversion",) if ends else (),
    )


OFTEN, SELDOM = Shop(2.0, 0.5), Shop(0.9, 1.0)
"""The first earns more, and loses more where only the first purchase counts: then it looks worse."""


def test_closing_on_the_first_purchase_loses_the_later_ones_and_can_turn_the_order_of_two_offers(
    size: Size, figure: Callable[[str], None]
) -> None:
    """Always downwards, and more for what sells again. Whole windows and final rewards are unbiased."""
    count = size.pick(test=600, ci=3000, proof=20_000)
    means = []
    for shop in (OFTEN, SELDOM):
        whole = run(shop, window("sum.conversion", ends=False), count)
        early = run(shop, window("sum.conversion", ends=True), count)
        assert whole.learned.is_unbiased(shop.truth)
        assert early.learned.bias(shop.truth) < -8.0
        assert early.learned.is_unbiased(shop.first_alone)
        assert early.final.mean == pytest.approx(whole.final.mean)
        means.append(early.learned.mean)
        figure(
            f"{shop.per_window:g} purchases of {shop.value:g} a window, worth {shop.truth:g}: closing on the "
            f"first learns {early.learned.mean:.3f} (expected {shop.first_alone:.3f}), a whole window "
            f"{whole.learned.mean:.3f}, the final reward is {early.final.mean:.3f} ({count} decisions)"
        )
    assert OFTEN.truth > SELDOM.truth
    assert means[0] < means[1]


def test_a_reward_that_the_first_purchase_settles_is_unbiased_once_windows_have_closed_but_not_before(
    size: Size, figure: Callable[[str], None]
) -> None:
    """Successes close before failures: until the first windows are over, all that was learned succeeded."""
    count = size.pick(test=800, ci=3000, proof=20_000)
    shop = Shop(0.5, 1.0)
    early = run(shop, window("count.conversion > 0.0 ? 1.0 : 0.0", ends=True), count)
    assert early.halfway is not None
    figure(
        f"a success rate of {shop.first_alone:.3f}, closed on success: halfway through the first windows "
        f"{early.halfway.mean:.3f} is learned, once they are over {early.learned.mean:.3f} "
        f"({count} decisions)"
    )
    assert early.halfway.mean == 1.0
    assert early.learned.is_unbiased(shop.first_alone)
    assert early.final == early.learned
