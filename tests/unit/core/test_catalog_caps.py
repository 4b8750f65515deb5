"""Caps and budgets in a document: what they become, and what each defect is answered with."""

from __future__ import annotations

import pytest

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Budget, Cap, Catalog, Window
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.errors import InvalidCatalog

DOCUMENT = """\
kinds: [rating]
offers:
  - {id: a, type: COUPON, group: coupons, attributes: {cost: 2}}
  - {id: b, type: MESSAGE, group: messages}
  - {id: none, type: NOTHING, group: messages}
placements:
  - {id: p, offers: [a, b]}
"""


def caps(*entries: str) -> str:
    return DOCUMENT + "caps:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries)


def budgets(*entries: str) -> str:
    return DOCUMENT + "budgets:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries)


def problems(document: str) -> tuple[str, ...]:
    with pytest.raises(InvalidCatalog) as caught:
        parse_catalog(document)
    return caught.value.problems


def test_every_cap_that_can_be_written_arrives() -> None:
    catalog = parse_catalog(
        caps(
            "id: plain, offers: [a], limit: 3, per: visitor",
            "id: two-groups, groups: [coupons, messages], offers: [a], limit: 1, within: 1.5d",
            "id: calm, interruptions: true, limit: 100, placements: [p], within: day, zone: Asia/Kolkata",
            "id: cool-down, group: messages, limit: 1, count_on: dismiss, within: month",
            "id: rated, offers: [b], limit: 1, count_on: rating",
        )
    )
    assert catalog.caps == (
        Cap(id="plain", offers=("a",), limit=3),
        Cap(
            id="two-groups",
            groups=("coupons", "messages"),
            offers=("a",),
            limit=1,
            window=Window(rolling_s=129600.0),
        ),
        Cap(
            id="calm",
            interruptions=True,
            limit=100,
            placements=("p",),
            window=Window(period="day", zone="Asia/Kolkata"),
        ),
        Cap(id="cool-down", groups=("messages",), limit=1, count_on="dismiss", window=Window(period="month")),
        Cap(id="rated", offers=("b",), limit=1, count_on="rating"),
    )
    assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog


def test_every_budget_that_can_be_written_arrives() -> None:
    catalog = parse_catalog(
        budgets(
            "id: plain, offers: [b], limit: 500",
            "id: money, group: coupons, limit: 99.5, unit: money, period: day, zone: Europe/Berlin, "
            "pacing: even, count_on: conversion, hard: true",
        )
    )
    assert catalog.budgets == (
        Budget(id="plain", offers=("b",), limit=500.0),
        Budget(
            id="money",
            groups=("coupons",),
            limit=99.5,
            unit="money",
            period="day",
            zone="Europe/Berlin",
            pacing="even",
            count_on="conversion",
            hard=True,
        ),
    )
    assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog


WRONG_CAPS = [
    ("id: c, offers: [a]", 'line 9, cap "c", field "limit": is missing'),
    ("offers: [a], limit: 1", 'line 9, cap 1, field "id": is missing'),
    ("id: c, offers: [a], limit: 0", 'field "limit": must be a whole number from 1 to 100 (is 0)'),
    ("id: c, offers: [a], limit: 1.5", 'field "limit": must be a whole number from 1 to 100 (is 1.5)'),
    ("id: c, offers: [a], limit: true", 'field "limit": must be a whole number from 1 to 100 (is true)'),
    ("id: c, limit: 1", 'field "offers": is missing: name offers or groups, or write interruptions: true'),
    ("id: c, limit: 1, interruptions: false", "is missing: name offers") ,
    ("id: c, limit: 1, offers: []", 'field "offers": an empty list says nothing: remove it'),
    ("id: c, limit: 1, interruptions: yes", 'field "interruptions": must be true or false (is "yes")'),
    ("id: c, limit: 1, interruptions: true, offers: [a]", "means every offer: name no offers"),
    ("id: c, limit: 1, offers: [c]", 'line 9, cap "c", field "offers": there is no offer "c"'),
    ("id: c, limit: 1, offers: [none]", '"none" is of type NOTHING, which nothing limits'),
    ("id: c, limit: 1, group: coupon", 'there is no offer in group "coupon"; did you mean "coupons"?'),
    ("id: c, limit: 1, group: coupons, groups: [messages]", 'field "group": stands beside groups'),
    ("id: c, limit: 1, offers: [a], placements: [q]", 'field "placements": there is no placement "q"'),
    ("id: c, limit: 1, offers: [a], placements: []", 'field "placements": an empty list says nothing'),
    ("id: c, limit: 1, offers: [a], count_on: clik", 'did you mean "click"? (is "clik")'),
    ("id: c, limit: 1, offers: [a], count_on: not_shown", "a kind of feedback that can be counted"),
    ("id: c, limit: 1, offers: [a], within: 7", "like 3s, 30m, 12h or 7d, or day, week or month (is 7)"),
    ("id: c, limit: 1, offers: [a], within: 91d", 'field "within": must be from 1s to 90d (is "91d")'),
    ("id: c, limit: 1, offers: [a], within: 7d, zone: UTC", 'field "zone": says when a day begins'),
    ("id: c, limit: 1, offers: [a], within: day, zone: Europe/Berln", "did you mean Europe/Berlin?"),
    ("id: c, limit: 1, offers: [a], within: day, zone: ../../etc/passwd", "there is no time zone"),
    ("id: c, limit: 1, offers: [a], per: total", "for all visitors together write a budget: budgets:"),
    ("id: c, limit: 1, offers: [a], per: day", 'field "per": must be one of visitor, total (is "day")'),
    ("id: c, limit: 1, offers: [a], cool_down: 7d", "write count_on: dismiss, limit: 1 and within: 7d"),
]  # fmt: skip

WRONG_BUDGETS = [
    ("id: c, offers: [a]", 'line 9, budget "c", field "limit": is missing'),
    ("id: c, offers: [a], limit: 1.5", 'field "limit": must be a whole number from 1 to 1000000000 (is 1.5)'),
    ("id: c, offers: [a], limit: 0, unit: money", 'field "limit": must be over 0 (is 0)'),
    ("id: c, offers: [a], limit: .inf, unit: money", 'field "limit": must be a finite number'),
    ("id: c, offers: [b], limit: 5, unit: money", 'field "unit": offer "b" has no cost; each use of money'),
    ("id: c, group: messages, limit: 5, unit: money", 'field "unit": offer "b" has no cost; each use of'),
    ("id: c, limit: 5", 'field "offers": is missing: name offers or groups'),
    ("id: c, limit: 5, offers: [a], pacing: even", 'field "pacing": even spreads a day\'s budget'),
    ("id: c, limit: 5, offers: [a], zone: UTC", 'field "zone": says when a day begins: write period: day'),
    ("id: c, limit: 5, offers: [a], period: week", 'field "period": must be one of total, day (is "week")'),
    ("id: c, limit: 5, offers: [a], hard: 1", 'field "hard": must be true or false (is 1)'),
    ("id: c, limit: 5, offers: [a], within: 7d", "is not a known key; write period: total or day"),
    ("id: c, limit: 5, offers: [a], interruptions: true", "interruptions are counted by a cap"),
    ("id: c, limit: 5, offers: [a], count_on: ratings", 'did you mean "rating"?'),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "said"), WRONG_CAPS)
def test_a_defect_of_a_cap_is_named_with_line_part_and_field(entry: str, said: str) -> None:
    found = problems(caps(entry))
    assert any(said in problem for problem in found), found
    assert all(problem.startswith("line 9, cap ") for problem in found)


@pytest.mark.parametrize(("entry", "said"), WRONG_BUDGETS)
def test_a_defect_of_a_budget_is_named_with_line_part_and_field(entry: str, said: str) -> None:
    found = problems(budgets(entry))
    assert any(said in problem for problem in found), found
    assert all(problem.startswith("line 9, budget ") for problem in found)


def test_a_negative_cost_is_no_use_of_money() -> None:
    document = budgets("id: c, offers: [a], limit: 5, unit: money").replace("cost: 2", "cost: -2")
    assert any('offer "a" has a cost of -2' in problem for problem in problems(document))


def test_ids_of_caps_are_unique_and_so_are_those_of_budgets_but_they_may_share_one() -> None:
    one = "id: c, offers: [a], limit: 1"
    assert 'field "id": is used twice, first in line 9' in problems(caps(one, one))[0]
    assert 'field "id": is used twice, first in line 9' in problems(budgets(one, one))[0]
    parse_catalog(caps(one) + budgets(one).removeprefix(DOCUMENT))


def test_an_offer_that_cannot_be_read_is_not_missed_in_its_group_as_well() -> None:
    document = caps("id: c, group: coupons, limit: 1").replace("type: COUPON", "type: X")
    assert len(problems(document)) == 1


def test_all_defects_of_all_limits_are_reported_at_once() -> None:
    document = caps("id: c, limit: 0", "id: d, offers: [z], limit: 1") + "budgets: [{id: x}]\nholdout: 2\n"
    assert len(problems(document)) == 6


@pytest.mark.parametrize(
    ("at_limit", "over", "said"),
    [
        (
            caps(*(f"id: c{n}, offers: [a], limit: 1" for n in range(limits.CAPS))),
            caps(*(f"id: c{n}, offers: [a], limit: 1" for n in range(limits.CAPS + 1))),
            "has 101 entries, at most 100",
        ),
        (
            budgets(*(f"id: c{n}, offers: [a], limit: 1" for n in range(limits.BUDGETS))),
            budgets(*(f"id: c{n}, offers: [a], limit: 1" for n in range(limits.BUDGETS + 1))),
            "has 101 entries, at most 100",
        ),
        (
            caps(f"id: c, offers: [a], limit: {limits.CAP_LIMIT}"),
            caps(f"id: c, offers: [a], limit: {limits.CAP_LIMIT + 1}"),
            "must be a whole number from 1 to 100 (is 101)",
        ),
        (
            DOCUMENT.replace("{id: p,", "{id: p, eligible: 'true" + " " * (limits.RULE_BYTES - 4) + "',"),
            DOCUMENT.replace("{id: p,", "{id: p, eligible: 'true" + " " * (limits.RULE_BYTES - 3) + "',"),
            "is 2001 bytes, at most 2000",
        ),
        (
            DOCUMENT.replace("{id: p,", "{id: p, sticky_for: 1800s,"),
            DOCUMENT.replace("{id: p,", "{id: p, sticky_for: 1801s,"),
            "must be from 0s to 30m",
        ),
    ],
    ids=["caps", "budgets", "cap limit", "rule", "sticky_for"],
)
def test_each_limit_is_inclusive(at_limit: str, over: str, said: str) -> None:
    parse_catalog(at_limit)
    assert any(said in problem for problem in problems(over))
