"""The demo's catalog says what the shop's truth assumes."""

import itertools
from typing import Any

import pytest
from ruamel.yaml import YAML

from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.feedback import BUILT_IN_KINDS
from offer_optimizer.core.formula import FeedbackSummary, RewardFormula
from offer_optimizer.demo import shop
from offer_optimizer.demo.catalog import CATALOG, PLACEMENTS

Document = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def document() -> Document:
    loaded: Document = YAML(typ="safe").load(CATALOG)
    return loaded


def test_offers_and_costs_are_those_of_the_shop(document: Document) -> None:
    costs = {offer["id"]: offer["attributes"]["cost"] for offer in document["offers"]}
    assert costs == {name: truth.cost for name, truth in shop.OFFERS.items()}


def test_placements_differ_in_policy_alone(document: Document) -> None:
    assert tuple(placement["id"] for placement in document["placements"]) == PLACEMENTS
    kept = [
        {key: placement[key] for key in ("offers", "baseline", "window", "reward")}
        for placement in document["placements"]
    ]
    assert kept[0] == kept[1] == kept[2]
    assert kept[0]["offers"] == list(shop.OFFER_IDS)
    assert kept[0]["baseline"][0] == shop.BASELINE_OFFER
    assert kept[0]["window"] == f"{shop.WINDOW_S:g}s"
    assert (kept[0]["reward"]["min"], kept[0]["reward"]["max"]) == (shop.REWARD_MIN, shop.REWARD_MAX)


def test_the_baseline_placement_is_a_pure_baseline(document: Document) -> None:
    assert document["placements"][2]["ramp"] == 0.0
    assert document["placements"][2]["floor"] == 0.0


def test_the_formula_and_the_shop_make_the_same_reward() -> None:
    catalog = parse_catalog(CATALOG)
    formula = RewardFormula(catalog.placements[0].reward.formula)
    for offer in catalog.offers:
        for click, conversion, dismiss in itertools.product((False, True), repeat=3):
            answered = {"click": click, "conversion": conversion, "dismiss": dismiss}
            items = [(kind, 1.0, 0.5) for kind, happened in answered.items() if happened]
            found = formula.evaluate(FeedbackSummary(items, BUILT_IN_KINDS), dict(offer.attributes.numbers))
            assert found == shop.reward(offer.id, click=click, conversion=conversion, dismiss=dismiss)
