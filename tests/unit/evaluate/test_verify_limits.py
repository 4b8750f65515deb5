"""What caps and budgets say of a candidate, at their bounds and across changes of the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from offer_optimizer.core.catalog import Budget, Cap, Catalog, Offer, OfferType, Placement, Window
from offer_optimizer.core.decision import ExclusionReason
from offer_optimizer.core.features import Features
from offer_optimizer.evaluate.verify_catalog import Candidate, Reads, Rules
from offer_optimizer.evaluate.verify_exclusions import before_limits
from offer_optimizer.evaluate.verify_limits import (
    Limits,
    Logged,
    judge_limits,
    limits_of,
    paced_limit,
)
from offer_optimizer.evaluate.verify_recount import window_start_us

COUPON = Offer(
    id="save5", type=OfferType.COUPON, group="coupons", attributes=Features(numbers=(("cost", 5.0),))
)
NOTHING = Offer(id="nothing", type=OfferType.NOTHING, group="coupons")
CANDIDATE = Candidate.of_offer(COUPON)


def judged(limits: Limits, log: Logged) -> tuple[set[int], str]:
    """Return the allowed verdicts for the coupon, and what was missing."""
    verdicts, missing = judge_limits(limits, CANDIDATE, log)
    return set(verdicts), missing


def us(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1e6)


def logged(**changes: Any) -> Logged:  # noqa: ANN401  (fields of Logged)
    parts: dict[str, Any] = {
        "now_us": us("2026-06-09T12:00"), "has_visitor": True, "is_unready": False, "counts": {}, "spent": {},
    }  # fmt: skip
    return Logged(**(parts | changes))


def caught(offer: Offer, *, cap: Cap | None = None, budget: Budget | None = None, at: str = "home") -> bool:
    catalog = Catalog(
        offers=(COUPON, NOTHING),
        placements=(Placement(id="home", offers=("save5",)),),
        caps=() if cap is None else (cap,),
        budgets=() if budget is None else (budget,),
    )
    return limits_of(catalog, at, Candidate.of_offer(offer)) != Limits()


@pytest.mark.parametrize(
    ("cap", "is_limited"),
    [
        (Cap(id="c", limit=1, offers=("save5",)), True),
        (Cap(id="c", limit=1, groups=("coupons",)), True),
        (Cap(id="c", limit=1, interruptions=True), True),
        (Cap(id="c", limit=1, interruptions=True, placements=("home",)), True),
        (Cap(id="c", limit=1, interruptions=True, placements=("cart",)), False),
        (Cap(id="c", limit=1, offers=("other",)), False),
        (Cap(id="c", limit=1, groups=("other",)), False),
        (Cap(id="c", limit=1, placements=("home",)), False),
    ],
)
def test_a_cap_limits_what_it_names(cap: Cap, is_limited: bool) -> None:
    assert caught(COUPON, cap=cap) is is_limited
    assert not caught(NOTHING, cap=cap), "NOTHING is never capped"


def test_a_budget_limits_what_it_names_and_never_nothing() -> None:
    assert caught(COUPON, budget=Budget(id="b", limit=1, offers=("save5",)))
    assert caught(COUPON, budget=Budget(id="b", limit=1, groups=("coupons",)))
    assert not caught(COUPON, budget=Budget(id="b", limit=1, offers=("other",)))
    assert not caught(NOTHING, budget=Budget(id="b", limit=1, groups=("coupons",)))


@pytest.mark.parametrize(("count", "reason"), [(2, 0), (3, ExclusionReason.CAPPED)])
def test_a_cap_acts_from_its_limit_on(count: int, reason: int) -> None:
    limits = Limits(caps=((0, Cap(id="c", limit=3, offers=("save5",))),))
    assert judged(limits, logged(counts={0: count})) == ({reason}, "")


@pytest.mark.parametrize(("spent", "reason"), [(95.0, 0), (95.01, ExclusionReason.BUDGET_SPENT)])
def test_a_budget_acts_when_one_use_more_would_exceed_it(spent: float, reason: int) -> None:
    limits = Limits(budgets=((0, Budget(id="b", limit=100.0, unit="money", offers=("save5",))),))
    assert judged(limits, logged(spent={0: spent})) == ({reason}, "")


def test_a_budget_in_uses_charges_one() -> None:
    limits = Limits(budgets=((0, Budget(id="b", limit=10.0, offers=("save5",))),))
    assert judged(limits, logged(spent={0: 9.0})) == ({0}, "")
    assert judged(limits, logged(spent={0: 10.0})) == ({ExclusionReason.BUDGET_SPENT}, "")


def test_pacing_allows_the_share_of_the_day_and_a_hundredth() -> None:
    """At noon half of 1,000, and 10; where rounding decides, either answer is right."""
    budget = Budget(id="b", limit=1000.0, offers=("save5",), period="day", pacing="even")
    limits = Limits(budgets=((0, budget),))
    assert paced_limit(budget, us("2026-06-09T12:00")) == pytest.approx(510.0)
    assert judged(limits, logged(spent={0: 508.0})) == ({0}, "")
    assert judged(limits, logged(spent={0: 509.0}))[0] == {0, ExclusionReason.BUDGET_PACED}
    assert judged(limits, logged(spent={0: 510.0})) == ({ExclusionReason.BUDGET_PACED}, "")


def test_a_day_of_23_hours_is_paced_by_its_own_length() -> None:
    """29 March 2026 in Berlin: noon is 11 hours after midnight, of 23."""
    budget = Budget(
        id="b", limit=2300.0, offers=("x",), period="day", pacing="even", zone="Europe/Berlin"
    )  # fmt: skip
    assert paced_limit(budget, us("2026-03-29T12:00", "Europe/Berlin")) == pytest.approx(1100.0 + 23.0)


def test_what_was_not_logged_is_named_unless_it_makes_no_difference() -> None:
    caps = tuple((n, Cap(id=f"c{n}", limit=1, offers=("save5",))) for n in range(2))
    assert judged(Limits(caps=caps), logged(counts={0: 0})) == (set(), "cap c1")
    assert judged(Limits(caps=caps), logged(counts={0: 1}))[0] == {ExclusionReason.CAPPED}
    budgets = ((0, Budget(id="b", limit=1, offers=("save5",))),)
    assert judged(Limits(budgets=budgets), logged()) == (set(), "budget b")


def test_a_visitor_without_an_id_has_counted_nothing() -> None:
    limits = Limits(caps=((0, Cap(id="c", limit=1, offers=("save5",))),))
    assert judged(limits, logged(has_visitor=False)) == ({0}, "")


def test_unready_counters_exclude_what_is_limited_and_nothing_else() -> None:
    limits = Limits(caps=((0, Cap(id="c", limit=1, offers=("save5",))),))
    assert judged(limits, logged(is_unready=True)) == (
        {ExclusionReason.COUNTERS_UNREADY},
        "",
    )
    assert judged(Limits(), logged(is_unready=True)) == ({0}, "")


@pytest.mark.parametrize(
    ("window", "begin"),
    [
        (Window(rolling_s=3600.0), us("2026-06-10T10:00")),
        (Window(period="day", zone="Europe/Berlin"), us("2026-06-10T00:00", "Europe/Berlin")),
        (Window(period="week", zone="Europe/Berlin"), us("2026-06-08T00:00", "Europe/Berlin")),
        (Window(period="month", zone="Europe/Berlin"), us("2026-06-01T00:00", "Europe/Berlin")),
        (Window(period="day", zone="Asia/Tokyo"), us("2026-06-10T00:00", "Asia/Tokyo")),
    ],
)
def test_a_window_begins_where_the_design_says(window: Window, begin: int) -> None:
    """Of a Wednesday, 11:00 UTC. Calendar windows have their first instant in them, rolling ones do not."""
    cap = Cap(id="c", limit=1, offers=("x",), window=window)
    is_rolling = window.rolling_s is not None
    assert window_start_us(cap, us("2026-06-10T11:00")) == (begin if is_rolling else begin - 1)


@pytest.mark.parametrize(
    ("now_us", "reason"),
    [(99, ExclusionReason.NOT_STARTED), (100, None), (199, None), (200, ExclusionReason.ENDED)],
)
def test_an_offer_runs_from_its_start_until_before_its_end(
    now_us: int, reason: ExclusionReason | None
) -> None:
    candidate = replace(CANDIDATE, start_time_us=100, end_time_us=200)
    placement = Placement(id="home", offers=("save5",))
    rules = Rules().for_decision(Reads(Features(), {}))
    assert before_limits(now_us, placement, candidate, frozenset(), rules) is reason


def test_a_placement_rule_that_fails_comes_after_an_offers_that_says_no() -> None:
    """RULE is row 6 and RULE_ERROR row 7, whichever of the two rules raised."""
    placement = Placement(id="home", offers=("save5",), eligible="number.missing > 0.0")
    rules = Rules().for_decision(Reads(Features(), {}))
    says_no = replace(CANDIDATE, rule="1 > 2")
    assert before_limits(1, placement, says_no, frozenset(), rules) is ExclusionReason.RULE
    assert before_limits(1, placement, CANDIDATE, frozenset(), rules) is ExclusionReason.RULE_ERROR
