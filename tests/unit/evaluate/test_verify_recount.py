"""Counting again: a hard budget is exact, in each of its periods, under one definition."""

from __future__ import annotations

from dataclasses import replace

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.decision import Decision
from offer_optimizer.evaluate.verify_catalog import Candidate
from offer_optimizer.evaluate.verify_findings import Check
from offer_optimizer.evaluate.verify_merges import LAG_US
from offer_optimizer.evaluate.verify_recount import Recount
from tests.unit.evaluate.verify_world import CATALOG, DAILY, DAY_US, OFFERS, Situation, decide


def catalog_of(limit: float, *, hard: bool = True) -> Catalog:
    budgets = (CATALOG.budgets[1].model_copy(update={"limit": limit, "hard": hard, "pacing": "none"}),)
    return CATALOG.model_copy(update={"budgets": budgets, "caps": ()})


def shown(number: int, *, day: int = 0, deferred: bool = False) -> Decision:
    at = Situation(number, placement="plain", deferred=deferred)
    return replace(decide(at), decide_time_us=at.time_us + number + day * DAY_US)


def found(*made: tuple[Decision, Catalog]) -> list[str]:
    """Return what is wrong when each of the decisions shows `daily`."""
    recount = Recount()
    offer = Candidate.of_offer(OFFERS[DAILY])
    problems = [problem for d, catalog in made for problem, _ in recount.add(d, 1, catalog, offer)]
    problems += [problem for problem, _, _ in recount.finish()]
    assert all(problem.check is Check.RECOUNT for problem in problems)
    return [problem.what for problem in problems]


def test_a_hard_budget_may_be_used_up_and_not_exceeded_by_one() -> None:
    two = catalog_of(2.0)
    assert found((shown(1), two), (shown(2), two)) == []
    assert found((shown(1), two), (shown(2), two), (shown(3), two)) == ["a hard budget is exceeded"]


def test_a_soft_budget_may_overshoot() -> None:
    soft = catalog_of(1.0, hard=False)
    assert found((shown(1), soft), (shown(2), soft)) == []


def test_a_new_day_begins_anew() -> None:
    one = catalog_of(1.0)
    assert found((shown(1), one), (shown(2, day=1), one)) == []


def test_a_budget_that_was_changed_is_counted_from_there() -> None:
    """What was spent under the old definition may be more than the new one allows."""
    assert found((shown(1), catalog_of(2.0)), (shown(2), catalog_of(1.0))) == []


def test_a_reservation_may_have_been_released() -> None:
    one = catalog_of(1.0)
    assert found((shown(1, deferred=True), one), (shown(2), one)) == []


def test_decisions_wait_until_none_can_precede_them() -> None:
    recount = Recount()
    offer = Candidate.of_offer(OFFERS[DAILY])
    one = catalog_of(1.0)
    for number in (1, 2):
        assert list(recount.add(shown(number), 1, one, offer)) == []
    later = replace(shown(3), decide_time_us=shown(3).decide_time_us + LAG_US)
    (problem,) = recount.add(later, None, one, None)
    assert problem[1] == shown(2).decision_id
