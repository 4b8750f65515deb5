"""The funnel: the first reason that holds, in the order of docs/design.md, section 12."""

from __future__ import annotations

from typing import Any

import pytest

from offer_optimizer.core.catalog import (
    Budget,
    Cap,
    Catalog,
    Offer,
    OfferStatus,
    OfferType,
    Placement,
    Window,
)
from offer_optimizer.core.counting import Limits
from offer_optimizer.core.decision import ExclusionReason, InlineCandidate
from offer_optimizer.core.features import Features
from offer_optimizer.decide.candidates import CandidateMaker, find_baseline
from offer_optimizer.decide.counters import NO_COUNTERS, Counters
from offer_optimizer.decide.funnel import Funnel, FunnelPlan, Question

NOW = 1_750_000_000_000_000
PHONE = Features(categories=(("device", "phone"),), numbers=(("cart", 50.0),))


def offer(**fields: Any) -> Offer:  # noqa: ANN401  (fields of Offer)
    """Return a coupon with a cost."""
    attributes = Features(numbers=(("cost", 5.0),), categories=(("theme", "money"),))
    parts: dict[str, Any] = {"id": "coupon", "type": OfferType.COUPON, "attributes": attributes, **fields}
    return Offer(**parts)


def ask(
    *offers: Offer,
    caps: tuple[Cap, ...] = (),
    budgets: tuple[Budget, ...] = (),
    counters: Counters | None = NO_COUNTERS,
    context: Features = PHONE,
    left_out: tuple[str, ...] = (),
    rule: str = "",
    inline: tuple[InlineCandidate, ...] = (),
) -> Funnel:
    """Derive the funnel of a placement with these offers."""
    placement = Placement(id="home", offers=tuple(one.id for one in offers), eligible=rule)
    catalog = Catalog(offers=offers, placements=(placement,), caps=caps, budgets=budgets)
    limits = Limits(catalog)
    maker = CandidateMaker(catalog, limits)
    candidates = maker.inline(placement, inline) if inline else maker.of_placement(placement)
    plan = FunnelPlan(candidates, maker.rule(rule), limits)
    return plan.derive(Question(NOW, context, left_out, counters))


def reason(funnel: Funnel) -> ExclusionReason | None:
    """Return why the only candidate was excluded."""
    return ExclusionReason(funnel.reasons[0]) if funnel.reasons else None


CAP = Cap(id="weekly", limit=2, offers=("coupon",), window=Window(rolling_s=7 * 86400.0))
BUDGET = Budget(id="money", limit=100.0, unit="money", offers=("coupon",))
DAILY = Budget(id="money", limit=100.0, unit="money", offers=("coupon",), period="day", pacing="even")
LOW = Counters((0,), (0,), {0: 0.0})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"status": OfferStatus.PAUSED}, ExclusionReason.NOT_LIVE),
        ({"start_time_us": NOW + 1}, ExclusionReason.NOT_STARTED),
        ({"start_time_us": NOW}, None),
        ({"end_time_us": NOW}, ExclusionReason.ENDED),
        ({"end_time_us": NOW + 1}, None),
        ({"eligible": 'category.device == "phone"'}, None),
        ({"eligible": 'category.device == "desktop"'}, ExclusionReason.RULE),
        ({"eligible": 'category.missing == "x"'}, ExclusionReason.RULE_ERROR),
        ({"eligible": "offer.cost < 10.0"}, None),
        ({"eligible": "offer.cost > 10.0"}, ExclusionReason.RULE),
        ({"eligible": "offer.margin > 10.0"}, ExclusionReason.RULE_ERROR),
        ({"eligible": "number.cart > offer.cost"}, None),
        ({"eligible": "number.cart < offer.cost"}, ExclusionReason.RULE),
        # NOT_LIVE comes before everything else.
        ({"status": OfferStatus.DRAFT, "end_time_us": 1, "eligible": "1.0 > 2.0"}, ExclusionReason.NOT_LIVE),
    ],
)
def test_an_offer_is_excluded_for_its_first_reason(
    fields: dict[str, object], expected: ExclusionReason | None
) -> None:
    assert reason(ask(offer(**fields))) == expected


def test_the_caller_comes_before_rules() -> None:
    funnel = ask(offer(eligible="1.0 > 2.0"), left_out=("coupon",))
    assert reason(funnel) is ExclusionReason.CALLER_EXCLUDED


@pytest.mark.parametrize(
    ("placement_rule", "own_rule", "expected"),
    [
        ("number.cart > 100.0", "", ExclusionReason.PLACEMENT_RULE),
        ("number.cart > 100.0", "number.none > 1.0", ExclusionReason.PLACEMENT_RULE),
        ("number.none > 100.0", "", ExclusionReason.RULE_ERROR),
        ("number.none > 100.0", "number.cart > 100.0", ExclusionReason.RULE),
        ("number.cart > 10.0", "", None),
        ("offer.cost > 10.0", "", ExclusionReason.PLACEMENT_RULE),
    ],
)
def test_a_placements_rule_holds_for_every_candidate(
    placement_rule: str, own_rule: str, expected: ExclusionReason | None
) -> None:
    assert reason(ask(offer(eligible=own_rule), rule=placement_rule)) == expected


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        (Counters((0,), (1,), {}), None),
        (Counters((0,), (2,), {}), ExclusionReason.CAPPED),
        (None, ExclusionReason.COUNTERS_UNREADY),
    ],
)
def test_a_cap_excludes_at_its_limit(counters: Counters | None, expected: ExclusionReason | None) -> None:
    assert reason(ask(offer(), caps=(CAP,), counters=counters)) == expected


@pytest.mark.parametrize(
    ("spent", "expected"),
    [(95.0, None), (95.1, ExclusionReason.BUDGET_SPENT), (100.0, ExclusionReason.BUDGET_SPENT)],
)
def test_a_budget_excludes_what_would_exceed_it(spent: float, expected: ExclusionReason | None) -> None:
    """The offer costs 5 of 100."""
    assert reason(ask(offer(), budgets=(BUDGET,), counters=Counters((), (), {0: spent}))) == expected


def test_a_paced_budget_excludes_what_the_clock_does_not_allow_yet() -> None:
    """NOW is 15:06:40 UTC, 63 % of the day: with one hundredth on top it allows 63.96 of 100."""
    assert reason(ask(offer(), budgets=(DAILY,), counters=Counters((), (), {0: 58.9}))) is None
    assert (
        reason(ask(offer(), budgets=(DAILY,), counters=Counters((), (), {0: 59.0})))
        is ExclusionReason.BUDGET_PACED
    )


def test_nothing_is_never_limited() -> None:
    everything = Cap(id="interruptions", limit=1, interruptions=True)
    nothing = offer(id="nothing", type=OfferType.NOTHING)
    funnel = ask(offer(), nothing, caps=(everything,), counters=Counters((0,), (5,), {}))
    assert [candidate.offer_id for candidate in funnel.eligible] == ["nothing"]
    assert funnel.excluded == (0,)


def test_a_rule_reads_the_counts_that_the_decision_read() -> None:
    rule = 'visitor["weekly"] < 1.0'
    assert reason(ask(offer(eligible=rule), caps=(CAP,), counters=Counters((0,), (0,), {}))) is None
    assert (
        reason(ask(offer(eligible=rule), caps=(CAP,), counters=Counters((0,), (1,), {})))
        is ExclusionReason.RULE
    )


def test_an_inline_candidate_keeps_the_catalogs_rules_and_has_its_own_attributes() -> None:
    dear = Features(numbers=(("cost", 50.0),))
    known = InlineCandidate("coupon", dear)
    assert reason(ask(offer(eligible="offer.cost < 10.0"), inline=(known,))) is ExclusionReason.RULE
    paused = offer(status=OfferStatus.PAUSED)
    assert reason(ask(paused, inline=(known,))) is ExclusionReason.NOT_LIVE
    funnel = ask(paused, inline=(InlineCandidate("new", dear),))
    assert [(candidate.offer_id, candidate.index) for candidate in funnel.eligible] == [("new", 1)]


def test_the_baseline_is_the_first_eligible_of_the_list_else_nothing() -> None:
    nothing = offer(id="nothing", type=OfferType.NOTHING)
    funnel = ask(offer(), offer(id="news"), nothing)
    assert find_baseline(("gone", "news", "coupon"), funnel.eligible) == 1
    assert find_baseline(("gone",), funnel.eligible) == 2
    assert find_baseline(("gone",), funnel.eligible[:2]) is None
