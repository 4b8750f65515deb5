"""Counting again: a hard budget is exact, in each of its periods, under one definition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from offer_optimizer.core.catalog import Cap, Catalog
from offer_optimizer.core.decision import Decision
from offer_optimizer.evaluate.verify_catalog import Candidate
from offer_optimizer.evaluate.verify_findings import Check
from offer_optimizer.evaluate.verify_merges import LAG_US
from offer_optimizer.evaluate.verify_recount import Recount
from tests.unit.evaluate.verify_world import CATALOG, DAILY, DAY_US, MSG, OFFERS, Situation, decide


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


def test_decisions_of_the_same_moment_are_looked_at_only_where_a_count_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a thousand decisions of a moment are each compared with all of them."""
    asked: list[Decision] = []
    is_near = Recount._is_near

    def noted(recount: Recount, other: Any, made: Any, cap: Cap) -> bool:  # noqa: ANN401
        asked.append(made.decision)
        return is_near(recount, other, made, cap)

    monkeypatch.setattr(Recount, "_is_near", noted)
    catalog = CATALOG.model_copy(update={"budgets": (), "caps": (CATALOG.caps[0],)})

    def problems(*logged: int) -> list[str]:
        asked.clear()
        recount, message = Recount(), Candidate.of_offer(OFFERS[MSG])
        for number, count in enumerate(logged):
            assert (
                list(recount.add(replace(shown(number), cap_counts=((0, count),)), 1, catalog, message)) == []
            )
        return [problem.what for problem, _, _ in recount.finish()]

    assert problems(0, 1, 2) == []
    assert asked == []
    # The second was counted first, though it is stamped later.
    assert problems(1, 0, 2) == []
    assert {decision.decision_id for decision in asked} == {shown(0).decision_id}
    assert problems(9, 9) == ["caps count more than the ledger has"]
