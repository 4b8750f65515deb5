"""Differences between catalogs, as lines."""

from __future__ import annotations

import pytest

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.catalog_diff import diff_catalogs
from offer_optimizer.core.catalog_document import parse_catalog

DOCUMENT = """
kinds: [{id: rating, unit: stars}]
offers:
  - {id: a, type: COUPON, status: LIVE, payload: hello, attributes: {cost: 1.0, tone: warm, tags: [x]}}
  - {id: b, type: MESSAGE}
placements:
  - {id: p, offers: [a, b], baseline: [b], policy: {name: vw, options: {x: 1}}, window: 30m}
"""
OLD = parse_catalog(DOCUMENT)


def changed(old: str, new: str) -> Catalog:
    assert old in DOCUMENT
    return parse_catalog(DOCUMENT.replace(old, new))


def test_equal_catalogs_have_no_difference() -> None:
    assert diff_catalogs(OLD, parse_catalog("# another comment\n" + DOCUMENT)) == ()


def test_against_nothing_every_part_is_added_in_the_order_of_the_document() -> None:
    expected = ("kind rating: added", "offer a: added", "offer b: added", "placement p: added")
    assert diff_catalogs(None, OLD) == expected


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("status: LIVE", "status: PAUSED", ("offer a: status LIVE -> PAUSED",)),
        ("payload: hello", "payload: ''", ('offer a: payload hello -> ""',)),
        ("payload: hello", 'payload: "a\\nb"', ('offer a: payload hello -> "a\\nb"',)),
        ("cost: 1.0", "cost: 2.5", ("offer a: attribute cost 1 -> 2.5",)),
        ("tone: warm", "tone: cold", ("offer a: attribute tone warm -> cold",)),
        ("tone: warm, ", "", ("offer a: attribute tone removed",)),
        (
            "tags: [x]",
            "tags: [x, y], n: 1",
            ("offer a: attribute n added: 1", "offer a: attribute tags [x] -> [x, y]"),
        ),
        ("policy: {name: vw", "policy: {name: uniform", ("placement p: policy vw -> uniform",)),
        ("options: {x: 1}", "options: {x: true}", ("placement p: policy option x 1 -> true",)),
        ("window: 30m", "window: 90s", ("placement p: window 30m -> 90s",)),
        ("window: 30m", "window: 30m, reward: {max: 5}", ("placement p: reward max 1 -> 5",)),
        ("offers: [a, b]", "offers: [b, a]", ("placement p: offers order a, b -> b, a",)),
        ("offers: [a, b]", "offers: [b]", ("placement p: offers -a",)),
        ("unit: stars", "unit: points", ("kind rating: unit stars -> points",)),
        ("kinds: [{id: rating, unit: stars}]", "", ("kind rating: removed",)),
        ("window: 30m", "consent_default: NONE", ("placement p: consent_default FULL -> NONE",)),
    ],
)
def test_each_change_is_one_line(old: str, new: str, lines: tuple[str, ...]) -> None:
    assert diff_catalogs(OLD, changed(old, new)) == lines


def test_another_order_of_offers_is_a_difference() -> None:
    assert diff_catalogs(OLD, OLD.model_copy(update={"offers": OLD.offers[::-1]})) == (
        "offers: order changed",
    )
