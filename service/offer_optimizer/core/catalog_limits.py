"""Caps and budgets out of their sections of a document, and what they say of offers, placements and kinds."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Budget, Cap, Offer, OfferType, Window
from offer_optimizer.core.catalog_section import Section
from offer_optimizer.core.counting import DECIDE
from offer_optimizer.core.feedback import NOT_SHOWN
from offer_optimizer.core.yaml_tree import Scalar, quote

PERIODS: Final = ("day", "week", "month")
_CAP_KEYS: Final = (
    *("id", "limit", "offers", "group", "groups", "interruptions", "placements", "count_on", "within"),
    *("zone", "per"),
)
_CAP_HINTS: Final = {
    "period": "write within: 7d, day, week or month",
    "window": "write within: 7d, day, week or month",
    "cool_down": "write count_on: dismiss, limit: 1 and within: 7d",
    "suppress_after": "write count_on: conversion and limit: 1",
    "unit": "a cap counts; what is spent has a budget",
    "hard": "a cap is always exact",
}
_BUDGET_KEYS: Final = (
    *("id", "limit", "unit", "offers", "group", "groups", "period", "zone", "pacing", "count_on", "hard"),
)
_BUDGET_HINTS: Final = {
    "within": "write period: total or day",
    "per": "a budget is for all visitors together; what is per visitor is a cap",
    "interruptions": "a budget names offers or groups; interruptions are counted by a cap",
    "placements": "a budget counts wherever its offers are shown",
}
_PER_VISITOR: Final = (
    "a cap counts per visitor; for all visitors together write a budget: "
    "budgets: [{id: ..., offers: [...], limit: 500, period: total}]"
)


@dataclass(frozen=True, slots=True)
class Targets:
    """What a cap or budget limits, with lines."""

    offers: tuple[tuple[int, str], ...]
    groups: tuple[tuple[int, str], ...]

    def names(self) -> dict[str, Any]:
        """Return the fields of a Cap or Budget."""
        return {
            "offers": tuple(name for _, name in self.offers),
            "groups": tuple(name for _, name in self.groups),
        }


@dataclass(frozen=True, slots=True)
class LimitDraft:
    """A cap or budget with its section and the lines of what it refers to, for the checks across parts."""

    limit: Cap | Budget
    section: Section
    targets: Targets
    placement_lines: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rest of the document has: ids with a defect elsewhere are names too."""

    offers: Mapping[str, Offer]
    offer_ids: Collection[str]
    placement_ids: Collection[str]
    kinds: Sequence[str]

    def groups(self) -> frozenset[str] | None:
        """Return the groups that offers are in; None where an offer can't be read and might be in another."""
        if len(self.offers) < len(self.offer_ids):
            return None
        return frozenset(offer.group for offer in self.offers.values() if offer.group)


def read_cap(section: Section) -> LimitDraft | None:
    """Return a cap whose references are unchecked, or None with its problems noted."""
    section.check_keys(_CAP_KEYS, (), _CAP_HINTS)
    cap_id = section.identifier("id")
    limit = section.whole("limit", 1, limits.CAP_LIMIT)
    if section.choice("per", ("visitor", "total"), "visitor") == "total":
        section.problem("per", _PER_VISITOR)
    interruptions = section.flag("interruptions")
    targets = _targets(section)
    if interruptions and (targets.offers or targets.groups):
        section.problem("interruptions", "means every offer: name no offers and no groups beside it")
    if not interruptions and _names_nothing(section):
        section.problem("offers", "is missing: name offers or groups, or write interruptions: true")
    placements = section.identifiers("placements", limits.PLACEMENTS)
    if section.is_empty_list("placements"):
        section.problem("placements", "an empty list says nothing: remove it to mean all")
    count_on = section.filled_text("count_on", limits.NAME_BYTES) or DECIDE
    window = _window(section)
    if cap_id is None or limit is None:
        return None
    cap = Cap(
        id=cap_id,
        limit=limit,
        interruptions=interruptions,
        placements=tuple(name for _, name in placements),
        count_on=count_on,
        window=window,
        **targets.names(),
    )
    return LimitDraft(cap, section, targets, tuple(placements))


def read_budget(section: Section) -> LimitDraft | None:
    """Return a budget whose references are unchecked, or None with its problems noted."""
    section.check_keys(_BUDGET_KEYS, (), _BUDGET_HINTS)
    budget_id = section.identifier("id")
    unit = section.choice("unit", ("uses", "money"), "uses")
    amount = _amount(section, unit == "money")
    targets = _targets(section)
    if _names_nothing(section):
        section.problem("offers", "is missing: name offers or groups")
    period = section.choice("period", ("total", "day"), "total")
    pacing = section.choice("pacing", ("none", "even"), "none")
    zone = section.zone("zone", "UTC")
    if pacing == "even" and period != "day":
        section.problem("pacing", "even spreads a day's budget over the day: write period: day")
    if section.has("zone") and period != "day":
        section.problem("zone", "says when a day begins: write period: day, or remove it")
    count_on = section.filled_text("count_on", limits.NAME_BYTES) or DECIDE
    hard = section.flag("hard")
    if budget_id is None or amount is None:
        return None
    budget = Budget(
        id=budget_id,
        limit=amount,
        unit=cast('Literal["uses", "money"]', unit),
        period=cast('Literal["total", "day"]', period),
        zone=zone,
        pacing=cast('Literal["none", "even"]', pacing),
        count_on=count_on,
        hard=hard,
        **targets.names(),
    )
    return LimitDraft(budget, section, targets)


def check_limits(drafts: Sequence[LimitDraft], around: Surroundings) -> None:
    """Note what caps and budgets name that isn't there, and costs that a money budget misses."""
    groups = around.groups()
    kinds = (DECIDE, *(kind for kind in around.kinds if kind != NOT_SHOWN))
    for draft in drafts:
        _check_names(draft.section, "offers", "offer", draft.targets.offers, around.offer_ids)
        _check_names(draft.section, "placements", "placement", draft.placement_lines, around.placement_ids)
        if groups is not None:
            key = "groups" if draft.section.has("groups") else "group"
            _check_names(draft.section, key, "offer in group", draft.targets.groups, groups)
        if draft.limit.count_on not in kinds:
            hint = _near(draft.limit.count_on, kinds) or f"; known are {', '.join(kinds)}"
            problem = f"must be decide or a kind of feedback that can be counted{hint}"
            draft.section.problem("count_on", f"{problem} (is {quote(draft.limit.count_on)})")
        _check_offers(draft, around)


def _check_names(
    section: Section, key: str, word: str, lines: Sequence[tuple[int, str]], known: Collection[str]
) -> None:
    for line, name in lines:
        if name not in known:
            section.problem(key, f"there is no {word} {quote(name)}{_near(name, known)}", line=line)


def _near(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {quote(near[0])}?" if near else ""


def _check_offers(draft: LimitDraft, around: Surroundings) -> None:
    needs_cost = isinstance(draft.limit, Budget) and draft.limit.unit == "money"
    for line, name in draft.targets.offers:
        offer = around.offers.get(name)
        if offer is not None and offer.type is OfferType.NOTHING:
            problem = f"{quote(name)} is of type NOTHING, which nothing limits"
            draft.section.problem("offers", problem, line=line)
    if not needs_cost:
        return
    for offer in around.offers.values():
        named = offer.id in draft.limit.offers or (offer.group and offer.group in draft.limit.groups)
        cost = dict(offer.attributes.numbers).get("cost")
        if named and offer.type is not OfferType.NOTHING and (cost is None or cost < 0.0):
            has = "no cost" if cost is None else f"a cost of {cost:g}"
            advice = "each use of money needs one of at least 0: attributes: {cost: 2.5}"
            draft.section.problem("unit", f"offer {quote(offer.id)} has {has}; {advice}")


def _targets(section: Section) -> Targets:
    offers = section.identifiers("offers", limits.OFFERS)
    groups = section.identifiers("groups", limits.OFFERS)
    group = section.identifier("group") if section.has("group") else None
    if group is not None and section.has("groups"):
        section.problem("group", "stands beside groups: put it into that list")
    elif group is not None:
        groups = [(section.line_of("group"), group)]
    for key in ("offers", "groups"):
        if section.is_empty_list(key):
            section.problem(key, "an empty list says nothing: remove it")
    return Targets(tuple(offers), tuple(groups))


def _names_nothing(section: Section) -> bool:
    return not any(section.has(key) for key in ("offers", "group", "groups"))


def _window(section: Section) -> Window:
    node = section.node("within")
    period = node.text if isinstance(node, Scalar) and node.text in PERIODS else None
    zone = section.zone("zone", "UTC")
    if period is not None:
        return Window(period=cast('Literal["day", "week", "month"]', period), zone=zone)
    if section.has("zone"):
        section.problem("zone", "says when a day begins: write within: day, week or month, or remove it")
    if node is None:
        return Window()
    standard = float(limits.WINDOW_MAX_S)
    rolling_s = section.duration_s(
        "within", standard, limits.WINDOW_MIN_S, standard, or_else="day, week or month"
    )
    return Window(rolling_s=rolling_s)


def _amount(section: Section, is_money: bool) -> float | None:  # noqa: FBT001  (it is the unit)
    if not is_money:
        found = section.whole("limit", 1, int(limits.NUMBER_MAGNITUDE))
        return None if found is None else float(found)
    node = section.node("limit") if section.require("limit") else None
    amount = None if node is None else section.number_of(node, "limit")
    if amount is not None and amount <= 0.0:
        section.problem("limit", f"must be over 0 (is {amount:g})")
        return None
    return amount
