"""A planned run repeats from its seed, returns visitors to their placement, and answers as the truth says."""

import math

import numpy as np

from offer_optimizer.demo import shop
from offer_optimizer.demo.traffic import CONVERSION_DELAY_S, LATE_CONVERSION_DELAY_S, plan_traffic


def test_one_seed_gives_one_run() -> None:
    first, second, other = plan_traffic(500, 7), plan_traffic(500, 7), plan_traffic(500, 8)
    assert first.visits == second.visits
    assert np.array_equal(first.dice, second.dice)
    assert first.visits != other.visits


def test_a_visitor_returns_with_the_same_habits_to_the_same_placement() -> None:
    traffic = plan_traffic(2000, 3)
    seen: dict[int, tuple[object, ...]] = {}
    numbers: dict[int, int] = {}
    for visit, who in enumerate(traffic.visitor.tolist()):
        visitor = traffic.visits[visit]
        habits = (visitor.channel, visitor.device, visitor.loyalty, int(traffic.placement[visit]))
        assert seen.setdefault(who, habits) == habits
        numbers[who] = numbers.get(who, 0) + 1
        assert traffic.visit_number[visit] == numbers[who]
    assert len(traffic) / len(seen) > 4.0


def test_only_visits_at_the_cart_have_a_cart_value() -> None:
    for visitor in plan_traffic(2000, 4).visits:
        assert (visitor.cart_value > 0.0) == (visitor.stage == "cart")


def test_no_sale_arrives_near_the_end_of_the_window() -> None:
    """The service stamps feedback a little after we hand it over; neither side may judge it otherwise."""
    assert CONVERSION_DELAY_S[1] + 0.5 < shop.WINDOW_S < LATE_CONVERSION_DELAY_S[0] - 0.5


def test_answers_earn_the_true_value() -> None:
    """Mean over 140,000 planned answers; |z| < 4.5, so a false alarm in fewer than 1 of 100,000 seeds."""
    traffic = plan_traffic(20_000, 11)
    deviations = []
    for visit in range(len(traffic)):
        for offer in shop.OFFER_IDS:
            kinds = {
                answer.kind for answer in traffic.answers(visit, offer) if answer.delay_s < shop.WINDOW_S
            }
            earned = shop.reward(
                offer, click="click" in kinds, conversion="conversion" in kinds, dismiss="dismiss" in kinds
            )
            deviations.append(earned - shop.true_value(traffic.visits[visit], offer))
            assert not {"click", "dismiss"} <= kinds
    # One visit's dice serve all its offers, so the visit is the unit.
    by_visit = np.array(deviations).reshape(len(traffic), -1).mean(axis=1)
    assert abs(by_visit.mean()) < 4.5 * by_visit.std() / math.sqrt(len(traffic))
    assert abs(by_visit.mean()) > 0.0


def test_some_sales_come_too_late() -> None:
    traffic = plan_traffic(20_000, 12)
    sales = [
        a for v in range(len(traffic)) for a in traffic.answers(v, "coupon-20") if a.kind == "conversion"
    ]
    late_share = sum(sale.delay_s > shop.WINDOW_S for sale in sales) / len(sales)
    # About 790 sales: 5 % within 4.5 standard errors of 0.8 points, a false alarm in 1 of 100,000 seeds.
    assert abs(late_share - 0.05) < 0.036
