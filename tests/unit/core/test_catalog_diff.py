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
caps: [{id: weekly, offers: [a], limit: 2, within: 7d}]
budgets: [{id: money, offers: [a], limit: 100, unit: money, period: day}]
"""
OLD = parse_catalog(DOCUMENT)


def changed(old: str, new: str) -> Catalog:
    assert old in DOCUMENT
    return parse_catalog(DOCUMENT.replace(old, new))


def test_equal_catalogs_have_no_difference() -> None:
    assert diff_catalogs(OLD, parse_catalog("# another comment\n" + DOCUMENT)) == ()


def test_against_nothing_every_part_is_added_in_the_order_of_the_document() -> None:
    expected = ("kind rating: added", "offer a: added", "offer b: added", "placement p: added")
    assert diff_catalogs(None, OLD) == (*expected, "cap weekly: added", "budget money: added")


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("type: MESSAGE", "type: MESSAGE, like: a", ('offer b: like "" -> a',)),
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
        ("within: 7d", "within: 2h", ("cap weekly: within 7d -> 2h",)),
        ("within: 7d", "", ("cap weekly: within 7d -> for ever",)),
        ("within: 7d", "within: day, zone: Asia/Tokyo", ("cap weekly: within 7d -> day in Asia/Tokyo",)),
        ("limit: 2", "limit: 3, placements: [p]", ("cap weekly: limit 2 -> 3", "cap weekly: placements +p")),
        ("weekly, offers: [a]", "weekly, offers: [b]", ("cap weekly: offers +b -a",)),
        ("limit: 2", "limit: 2, count_on: dismiss", ("cap weekly: count_on decide -> dismiss",)),
        ("caps: [{id: weekly, offers: [a], limit: 2, within: 7d}]", "", ("cap weekly: removed",)),
        ("limit: 100", "limit: 80.5", ("budget money: limit 100 -> 80.5",)),
        ("period: day", "period: day, pacing: even", ("budget money: pacing none -> even",)),
        ("period: day", "period: day, hard: true", ("budget money: hard false -> true",)),
        ("period: day", "", ("budget money: period day -> total",)),
        ("kinds:", "holdout: 7%\nkinds:", ("holdout 0% -> 7%",)),
        ("window: 30m", "holdout: 0.5", ("placement p: holdout none -> 50%",)),
        ("window: 30m", "sticky_for: 10m", ("placement p: sticky_for none -> 10m",)),
        ("window: 30m", "trust_occur_time: true", ("placement p: trust_occur_time false -> true",)),
        (
            "window: 30m",
            "trust_occur_time: true, grace: 2h",
            ("placement p: trust_occur_time false -> true", "placement p: grace none -> 2h"),
        ),
        ("window: 30m", "close_on: [conversion]", ("placement p: close_on +conversion",)),
        (
            "status: LIVE",
            "start_time: 2026-01-02T03:04:05.5+01:00",
            ("offer a: start_time none -> 2026-01-02T02:04:05.5Z",),
        ),
        ("status: LIVE", "eligible: number.x  > 1.0", ("offer a: eligible none -> `number.x > 1.0`",)),
    ],
)
def test_each_change_is_one_line(old: str, new: str, lines: tuple[str, ...]) -> None:
    assert diff_catalogs(OLD, changed(old, new)) == lines


def test_another_order_of_offers_is_a_difference() -> None:
    assert diff_catalogs(OLD, OLD.model_copy(update={"offers": OLD.offers[::-1]})) == (
        "offers: order changed",
    )
