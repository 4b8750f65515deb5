"""The shop's truth is what docs/demo.md promises, and the reward is what the catalog's formula says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.demo import shop
from offer_optimizer.demo.shop import OFFER_IDS, Visitor, chances, known_values, segments, true_value

VISITORS = st.builds(
    Visitor,
    channel=st.sampled_from(sorted(shop.CHANNELS)),
    device=st.sampled_from(sorted(shop.DEVICES)),
    stage=st.sampled_from(sorted(shop.STAGES)),
    loyalty=st.sampled_from(sorted(shop.LOYALTY_TIERS)),
    cart_value=st.floats(0.0, 500.0),
)


@given(VISITORS, st.sampled_from(OFFER_IDS))
def test_chances_are_chances_and_sales_lie_between_one_and_eight_percent(
    visitor: Visitor, offer: str
) -> None:
    chance = chances(visitor, offer)
    assert 0.01 <= chance.conversion <= 0.08
    assert chance.click >= 0.0
    assert chance.dismiss >= 0.0
    assert chance.click + chance.dismiss < 1.0


def test_segments_cover_all_visits() -> None:
    assert math.isclose(sum(share for _, share in segments()), 1.0)


def test_there_are_at_least_six_offers_and_nothing_is_one() -> None:
    assert len(OFFER_IDS) >= 6
    assert "nothing" in OFFER_IDS


def test_the_best_offer_differs_by_segment() -> None:
    """Every offer is the best one for somebody, and none for more than half of the visits."""
    share = dict.fromkeys(OFFER_IDS, 0.0)
    for visitor, weight in segments():
        share[max(OFFER_IDS, key=lambda offer: true_value(visitor, offer))] += weight
    assert all(weight > 0.0 for weight in share.values())
    assert max(share.values()) < 0.5


def test_the_dearest_coupon_sells_most_but_is_not_the_best_fixed_offer() -> None:
    def sales(offer: str) -> float:
        return sum(weight * chances(visitor, offer).conversion for visitor, weight in segments())

    dearest = max(OFFER_IDS, key=lambda offer: shop.OFFERS[offer].cost)
    assert max(OFFER_IDS, key=sales) == dearest
    assert known_values().best_fixed_offer != dearest


def test_learning_has_something_to_find() -> None:
    known = known_values()
    assert known.best_fixed >= 1.1 * known.baseline
    assert known.best_possible >= 1.6 * known.uniform
    assert known.best_possible > 1.3 * known.best_fixed


def test_known_values_are_those_of_the_documentation() -> None:
    known = known_values()
    figures = (known.uniform, known.baseline, known.best_fixed, known.best_possible)
    assert figures == pytest.approx((0.270, 0.269, 0.334, 0.567), abs=0.0005)
    assert known.best_fixed_offer == "size-guide"


def test_rewards_by_hand() -> None:
    assert shop.reward("coupon-20", click=True, conversion=True, dismiss=False) == 6.0
    assert shop.reward("size-guide", click=False, conversion=False, dismiss=True) == -0.5
    assert shop.reward("member-points", click=False, conversion=True, dismiss=False) == 9.5
    assert shop.reward("nothing", click=False, conversion=False, dismiss=False) == 0.0


def test_a_true_value_by_hand() -> None:
    """A cart of 30 on a phone and free shipping: 2.8 % × 1.1 × 2.5 × 1.1 would be 8.47 %, so 8 %."""
    visitor = Visitor("search", "phone", "cart", "new", 30.0)
    expected = 8.0 * 0.08 * 0.95 + 1.0 * (0.06 * 3.0) - 0.5 * (0.04 * 1.2)
    assert true_value(visitor, "free-shipping") == pytest.approx(expected)


def test_no_possible_sum_of_feedback_is_clipped() -> None:
    for offer in OFFER_IDS:
        for click, dismiss in ((False, False), (True, False), (False, True)):
            for conversion in (False, True):
                value = shop.reward(offer, click=click, conversion=conversion, dismiss=dismiss)
                assert shop.REWARD_MIN <= value <= shop.REWARD_MAX


def test_mean_rewards_agree_with_the_true_value() -> None:
    """Monte Carlo, 21 pairs of visitor and offer; |z| < 4.5 each: a false alarm in 1 of 7,000 seeds."""
    rng = np.random.default_rng(20240601)
    everyone = [visitor for visitor, _ in segments()]
    for index, offer in enumerate(OFFER_IDS * 3):
        visitor = everyone[(index * 31) % len(everyone)]
        chance = chances(visitor, offer)
        count = 200_000
        reaction, sale = rng.random(count), rng.random(count)
        click = reaction < chance.click
        dismiss = ~click & (reaction < chance.click + chance.dismiss)
        sold = sale < chance.conversion * shop.IN_WINDOW_SHARE
        worth = shop.reward(offer, click=False, conversion=True, dismiss=False)
        values = worth * sold + shop.CLICK_VALUE * click + shop.DISMISS_VALUE * dismiss
        z = (values.mean() - true_value(visitor, offer)) / (values.std() / math.sqrt(count))
        assert abs(z) < 4.5
