"""The report on a ledger: every figure against the numbers that the ledger was made with."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import pytest

from offer_optimizer.core.catalog import Catalog, Offer, OfferType
from offer_optimizer.core.decision import Reason
from offer_optimizer.core.errors import UnknownPlacement
from offer_optimizer.core.features import Features
from offer_optimizer.evaluate.report import PlacementReport, report
from tests.unit.evaluate.ledgers import HOME, OFFERS, Shop, catalog, placement

VISITORS: Final = 800
VISITS: Final = 6
SHARE: Final = 0.25
CLICK: Final = {"msg": 0.5, "save5": 0.3, "nothing": 0.1}
EVERYTHING: Final = ((0.5, 0.3, 0.2), ())
"""The pmf and what is excluded, where all is eligible."""
WITHOUT_MSG: Final = ((0.6, 0.4), (0,))


def settle(shop: Shop) -> PlacementReport:
    end_us = shop.close()
    return report(shop.ledger, HOME, 0, end_us + 1)


def draw(shop: Shop, chance: np.random.Generator, visitor: str, **changes: Any) -> tuple[str, bool, float]:  # noqa: ANN401
    """Decide at random, answer at random; return the offer, whether it was clicked, and its propensity."""
    pmf, excluded = EVERYTHING if chance.random() < 0.5 else WITHOUT_MSG
    names = [offer.id for position, offer in enumerate(OFFERS) if position not in excluded]
    chosen = int(chance.choice(len(pmf), p=pmf))
    click = bool(chance.random() < CLICK[names[chosen]])
    shop.decide(visitor, chosen, pmf=pmf, excluded=excluded, click=click, **changes)
    return names[chosen], click, pmf[chosen]


@pytest.fixture(scope="module")
def busy() -> tuple[PlacementReport, list[tuple[str, bool, float, float]]]:
    """Return a report, a quarter of its visitors held out, and offer, click, propensity and number by row."""
    chance = np.random.default_rng(1)
    shop = Shop(catalog(holdout=SHARE))
    rows = []
    numbers = chance.random(VISITORS)
    for _ in range(VISITS):
        for who in range(VISITORS):
            u = float(numbers[who])
            if u < SHARE:
                click = bool(chance.random() < CLICK["nothing"])
                shop.decide(
                    f"v{who}", 2, pmf=(0.0, 0.0, 1.0), reason=Reason.HOLDOUT, click=click, holdout_u=u
                )
                rows.append(("nothing", click, 1.0, u))
            else:
                rows.append((*draw(shop, chance, f"v{who}", holdout_u=u), u))
    return settle(shop), rows


Busy = tuple[PlacementReport, list[tuple[str, bool, float, float]]]


def test_counts_are_those_of_the_ledger(busy: Busy) -> None:
    found, rows = busy
    held_out = sum(u < SHARE for *_, u in rows)
    assert found.decision_count == found.counted_count == len(rows) == VISITS * VISITORS
    assert found.learnable_count == len(rows) - held_out
    assert found.reasons == {"HOLDOUT": held_out, "MODEL": len(rows) - held_out}
    assert (found.open_count, found.left_out_count, found.anonymous_count, found.is_cut) == (0, 0, 0, False)
    assert found.interruption_count == sum(offer != "nothing" for offer, *_ in rows)


def test_reward_and_interruptions_are_means_over_all_decisions(busy: Busy) -> None:
    found, rows = busy
    clicks = sum(click for _, click, *_ in rows)
    assert found.reward.value == pytest.approx(clicks / len(rows))
    assert found.interruptions_per_reward.value == pytest.approx(found.interruption_count / clicks)
    assert found.reward.visitor_count == VISITORS


def test_uplift_is_the_difference_of_the_arms_as_assigned(busy: Busy) -> None:
    found, rows = busy
    treated = np.mean([click for _, click, _, u in rows if u >= SHARE])
    holdout = np.mean([click for _, click, _, u in rows if u < SHARE])
    assert found.treated.value == pytest.approx(treated)
    assert found.holdout.value == pytest.approx(holdout)
    assert found.uplift.value == pytest.approx(treated - holdout)
    assert found.uplift.is_above(0.0)
    assert found.uplift.interval == "anytime"
    # Of this world: 0.5 * (0.5 * 0.5 + 0.3 * 0.3 + 0.2 * 0.1) + 0.5 * (0.6 * 0.3 + 0.4 * 0.1) - 0.1.
    assert found.uplift.low is not None
    assert found.uplift.high is not None
    assert found.uplift.low < 0.19 < found.uplift.high


def test_an_offers_value_is_that_of_showing_it_wherever_it_is_eligible(busy: Busy) -> None:
    found, rows = busy
    by_id = {offer.offer_id: offer for offer in found.offers}
    learnable = [(offer, click, p) for offer, click, p, u in rows if u >= SHARE]
    for name, offer in by_id.items():
        value = offer.value_if_shown
        assert value.low is not None
        assert value.high is not None
        assert value.low < CLICK[name] < value.high
        assert offer.decision_count == sum(shown == name for shown, *_ in rows)
        assert offer.observed_mean_not_causal.value == pytest.approx(
            np.mean([click for shown, click, *_ in rows if shown == name])
        )
        weighted = sum(click / p for shown, click, p in learnable if shown == name)
        assert offer.value_if_shown_ips.value == pytest.approx(weighted / offer.eligible_count, rel=1e-6)
    everywhere = by_id["save5"].eligible_count
    assert everywhere == len(learnable)
    assert 0.4 * everywhere < by_id["msg"].eligible_count < 0.6 * everywhere


def test_without_enough_visitors_nothing_but_counts_is_said() -> None:
    shop = Shop(catalog(holdout=0.5))
    for number in range(60):
        shop.decide(f"v{number}", number % 3, click=number % 2 == 0, holdout_u=number / 60)
    found = settle(shop)
    assert found.decision_count == 60
    for estimate in (found.reward, found.uplift, found.offers[0].value_if_shown):
        assert estimate.value is estimate.low is estimate.high is None
        assert "at least" in estimate.refused_reason


def test_without_a_holdout_there_is_no_uplift_and_the_report_says_why() -> None:
    shop = Shop()
    shop.decide("ann")
    assert settle(shop).uplift.refused_reason == "no holdout was declared, or no visitor had an id"


def test_only_visitors_whose_arm_never_changed_count_when_the_share_is_raised() -> None:
    """Raised from 0.25 to 0.5: those between were treated first and held out later."""
    shop = Shop(catalog(holdout=0.25))
    chance = np.random.default_rng(2)
    numbers = chance.random(900)

    def round_of_visits() -> None:
        for who, u in enumerate(numbers):
            shop.decide(f"v{who}", 0, click=bool(chance.random() < 0.3), holdout_u=float(u))

    round_of_visits()
    shop.apply(catalog(holdout=0.5))
    round_of_visits()
    found = settle(shop)
    assert found.holdout.visitor_count == int((numbers < 0.25).sum())
    assert found.treated.visitor_count == int((numbers >= 0.5).sum())
    assert found.uplift.value is not None


def test_a_holdout_that_changed_its_scope_gives_no_uplift() -> None:
    shop = Shop(catalog(holdout=0.25))
    shop.decide("ann", holdout_u=0.1)
    shop.apply(catalog(holdout=0.25).model_copy(update={"placements": (placement(holdout=0.25),)}))
    shop.decide("ann", holdout_u=0.8)
    assert settle(shop).uplift.refused_reason.startswith("the holdout changed")


@pytest.fixture(scope="module")
def shadowed() -> PlacementReport:
    """Return a report on a ramp of 0: the model would show msg on phones, and there it earns more."""
    shop = Shop(catalog(ramp=0.0))
    chance = np.random.default_rng(3)
    floor = 0.5
    for number in range(4000):
        phone = bool(chance.random() < 0.4)
        model = np.array([0.9, 0.0, 0.1] if phone else [0.0, 0.0, 1.0], dtype=np.float32)
        pmf = (floor / 3, floor / 3, 1.0 - floor + floor / 3)
        chosen = int(chance.choice(3, p=pmf))
        worth = 0.6 if chosen == 0 and phone else 0.2
        shop.decide(
            f"v{number % 700}",
            chosen,
            pmf=pmf,
            click=bool(chance.random() < worth),
            ramp=0.0,
            floor=floor,
            model_pmf=model,
            context=Features(categories=(("device", "phone" if phone else "desktop"),)),
        )
    return settle(shop)


def test_a_shadow_says_how_often_and_where_the_model_would_differ(shadowed: PlacementReport) -> None:
    shadow = shadowed.shadow
    assert shadow is not None
    assert shadow.decision_count == 4000
    phones = {(context.name, context.value): context for context in shadow.contexts}
    assert phones["device", "phone"].differ_share == pytest.approx(0.9)
    assert phones["device", "desktop"].differ_share == pytest.approx(0.0, abs=1e-6)
    share = phones["device", "phone"].decision_count / 4000
    assert shadow.differ_share == pytest.approx(0.9 * share)
    assert [(offer.offer_id, offer.baseline_share) for offer in shadow.offers] == [
        ("nothing", 1.0),
        ("msg", 0.0),
    ]
    assert shadow.offers[1].model_share == pytest.approx(0.9 * share)


def test_a_shadow_says_what_the_model_would_have_earned(shadowed: PlacementReport) -> None:
    """At full ramp and a floor of 0.5: 0.2 + 0.4 * (what it shows of msg on phones, 0.5 * 0.9 + 0.5 / 3)."""
    shadow = shadowed.shadow
    assert shadow is not None
    gain = 0.4 * 0.4 * (0.45 + 0.5 / 3)
    for estimate, truth in (
        (shadow.model_value, 0.2 + gain),
        (shadow.model_value_ips, 0.2 + gain),
        (shadow.baseline_value, 0.2),
        (shadow.gain, gain),
    ):
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < truth < estimate.high, estimate
    assert shadow.gain.is_above(0.0)
    assert shadow.model_value.value is not None
    assert shadow.baseline_value.value is not None
    assert shadow.gain.value == pytest.approx(shadow.model_value.value - shadow.baseline_value.value)


def test_at_full_ramp_there_is_no_shadow(busy: Busy) -> None:
    assert busy[0].shadow is None


def test_everything_becomes_json_without_numbers_that_json_has_not(
    busy: Busy, shadowed: PlacementReport
) -> None:
    for found in (busy[0], shadowed):
        back = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert back["uplift"]["refused_reason"] == found.uplift.refused_reason
        assert len(back["offers"]) == 3


def test_offers_that_were_never_eligible_are_listed_with_a_refusal() -> None:
    shop = Shop()
    shop.decide("ann", 0, pmf=(0.5, 0.5), excluded=(0,))
    more = Offer(id="new", type=OfferType.MESSAGE)
    shop.apply(
        Catalog(offers=(*OFFERS, more), placements=(placement(offers=("msg", "save5", "nothing", "new")),))
    )
    found = {offer.offer_id: offer for offer in settle(shop).offers}
    assert list(found) == ["save5", "nothing", "msg", "new"]
    assert found["new"].value_if_shown.refused_reason == "no decision that could be evaluated"


def test_a_report_that_is_cut_says_from_when_it_speaks() -> None:
    shop = Shop()
    times = [shop.decide(f"v{number}").decide_time_us for number in range(30)]
    end_us = shop.close()
    found = report(shop.ledger, HOME, 0, end_us, row_limit=10)
    assert found.is_cut
    assert found.decision_count == 10
    assert found.start_us == times[20]


def test_an_unknown_placement_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownPlacement, match="nowhere"):
        report(Shop().ledger, "nowhere", 0, 1)


def test_a_placement_without_decisions_has_a_report() -> None:
    found = settle(Shop())
    assert found.decision_count == 0
    assert found.reward.refused_reason == "no decision that could be evaluated"
