"""What caps and budgets say about one candidate, from the values that the decision logged.

Written from docs/design.md, section 12, alone. What always holds: an answer is the set of verdicts that the
text allows, more than one only where rounding decides. It may not know how counts come about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from offer_optimizer.core.catalog import Budget, Cap, Catalog, OfferType
from offer_optimizer.core.decision import ExclusionReason
from offer_optimizer.evaluate.verify_catalog import Candidate

ELIGIBLE: Final = 0
"""Stands beside the numbers of ExclusionReason: no reason holds."""
_PACING_HEADROOM: Final = 0.01
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Logged:
    """What a decision read: counts by index of the cap, spent by index of the budget."""

    now_us: int
    has_visitor: bool
    is_unready: bool
    counts: Mapping[int, int]
    spent: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps and budgets that limit one candidate, with their index in the catalog."""

    caps: tuple[tuple[int, Cap], ...] = ()
    budgets: tuple[tuple[int, Budget], ...] = ()


class LimitsReader:
    """What limits the offers of one catalog revision. Answers for its own offers are kept."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[tuple[str, str], Limits] = {}

    def of(self, placement_id: str, candidate: Candidate) -> Limits:
        """Return what limits a candidate at a placement."""
        if candidate.id not in self._catalog.offer_index:
            return limits_of(self._catalog, placement_id, candidate)
        key = (placement_id, candidate.id)
        if key not in self._known:
            self._known[key] = limits_of(self._catalog, placement_id, candidate)
        return self._known[key]


def limits_of(catalog: Catalog, placement_id: str, candidate: Candidate) -> Limits:
    """Return what limits a candidate at a placement. Nothing limits an offer of type NOTHING."""
    if candidate.type is OfferType.NOTHING:
        return Limits()
    caps = tuple((i, cap) for i, cap in enumerate(catalog.caps) if _cap_limits(cap, placement_id, candidate))
    budgets = tuple(
        (i, budget)
        for i, budget in enumerate(catalog.budgets)
        if candidate.id in budget.offers or (candidate.group and candidate.group in budget.groups)
    )
    return Limits(caps, budgets)


def _cap_limits(cap: Cap, placement_id: str, candidate: Candidate) -> bool:
    if cap.placements and placement_id not in cap.placements:
        return False
    in_group = bool(candidate.group) and candidate.group in cap.groups
    return cap.interruptions or candidate.id in cap.offers or in_group


def judge_limits(limits: Limits, candidate: Candidate, logged: Logged) -> tuple[frozenset[int], str]:
    """Return the verdicts that the text allows, and which value they need that was not logged, if any."""
    if not limits.caps and not limits.budgets:
        return frozenset({ELIGIBLE}), ""
    if logged.is_unready:
        return frozenset({int(ExclusionReason.COUNTERS_UNREADY)}), ""
    missing = ""
    for index, cap in limits.caps:
        count = logged.counts.get(index)
        if count is None and logged.has_visitor:
            missing = missing or f"cap {cap.id}"
        elif (count or 0) >= cap.limit:
            return frozenset({int(ExclusionReason.CAPPED)}), ""
    if missing:
        return frozenset(), missing
    return _judge_budgets(limits.budgets, candidate, logged)


def _judge_budgets(
    budgets: tuple[tuple[int, Budget], ...], candidate: Candidate, logged: Logged
) -> tuple[frozenset[int], str]:
    is_missing = [budget.id for index, budget in budgets if index not in logged.spent]
    if is_missing:
        return frozenset(), f"budget {is_missing[0]}"
    after = [(budget, logged.spent[index] + use_of(budget, candidate)) for index, budget in budgets]
    if any(total > budget.limit for budget, total in after):
        return frozenset({int(ExclusionReason.BUDGET_SPENT)}), ""
    verdicts = {ELIGIBLE}
    for budget, total in after:
        if budget.pacing != "even":
            continue
        over = total - paced_limit(budget, logged.now_us)
        if over > _ROUNDING * budget.limit:
            return frozenset({int(ExclusionReason.BUDGET_PACED)}), ""
        if over > -_ROUNDING * budget.limit:
            verdicts.add(int(ExclusionReason.BUDGET_PACED))
    return frozenset(verdicts), ""


def use_of(budget: Budget, candidate: Candidate) -> float:
    """Return what showing a candidate once would use: one, or its cost."""
    return 1.0 if budget.unit == "uses" else candidate.cost


def paced_limit(budget: Budget, now_us: int) -> float:
    """Return what the clock allows by now: the fraction of the local day that has passed, and a hundredth."""
    zone = ZoneInfo(budget.zone)
    now = datetime.fromtimestamp(now_us // 1_000_000, UTC).astimezone(zone)
    begin_s = midnight_s(now, zone)
    # Two days of summer time a year have 23 or 25 hours: the next midnight is asked, not assumed.
    end_s = midnight_s(now + timedelta(days=1), zone)
    fraction = (now_us / 1e6 - begin_s) / (end_s - begin_s)
    return budget.limit * fraction + budget.limit * _PACING_HEADROOM


def midnight_s(moment: datetime, zone: ZoneInfo) -> float:
    """Return when the local day of a moment began, in seconds since the epoch."""
    return datetime.combine(moment.date(), time(), zone).timestamp()
