"""Counting again: a hard budget is exact, in each of its periods, under one definition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from offer_optimizer.core.catalog import Cap, Catalog
from offer_optimizer.core.decision import Decision
from offer_optimizer.evaluate.verify_catalog import Candidate
from offer_optimizer.evaluate.verify_findings import Check
from offer_optimizer.evaluate.verify_recount import SLACK_US, Recount
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
    for decision, catalog in made:
        recount.add(decision, 1, catalog, offer)
    problems = [problem for problem, _, _ in recount.finish()]
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
        recount.add(shown(number), 1, one, offer)
    second_us = shown(2).decide_time_us
    assert list(recount.tick(second_us + SLACK_US - 1)) == []
    (problem,) = recount.tick(second_us + SLACK_US)
    assert problem[1] == shown(2).decision_id
    assert list(recount.tick(second_us + DAY_US)) == []


def test_a_journal_that_reaches_the_ledger_a_minute_behind_the_others_is_no_finding() -> None:
    """A learner that is busy takes one decider's minute, then the other's: a TICK comes behind both."""
    catalog = CATALOG.model_copy(update={"budgets": (), "caps": (CATALOG.caps[0],)})
    message = Candidate.of_offer(OFFERS[MSG])
    made = [
        replace(shown(number), decide_time_us=shown(0).decide_time_us + number * 600_000)
        for number in range(100)
    ]
    recount = Recount()
    for journal in (made[::2], made[1::2]):
        for decision in journal:
            # Each of ten visitors comes ten times, to either decider in turn.
            number = made.index(decision)
            logged = replace(decision, cap_counts=((0, number // 10),))
            recount.add(logged, 1 + (number + number // 10) % 10, catalog, message)
    problems = [problem.what for problem, _ in recount.tick(made[-1].decide_time_us + DAY_US)]
    assert problems + [problem.what for problem, _, _ in recount.finish()] == []
    assert recount.judged_count == 100


def test_counts_of_a_journal_that_is_not_drained_yet_are_no_finding() -> None:
    """Verified while the learner is busy: behind the last TICK the ledger lacks what others counted."""
    catalog = CATALOG.model_copy(update={"budgets": (), "caps": (CATALOG.caps[0],)})

    def problems(ticked_us: int) -> list[str]:
        recount = Recount()
        for number in range(9):
            made = replace(shown(number), cap_counts=((0, 2 * number),))
            recount.add(made, 1, catalog, Candidate.of_offer(OFFERS[MSG]))
        found = [problem.what for problem, _ in recount.tick(ticked_us)]
        return found + [problem.what for problem, _, _ in recount.finish()]

    assert problems(shown(0).decide_time_us) == []
    assert problems(shown(9).decide_time_us + SLACK_US) == ["caps count more than the ledger has"]


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
            recount.add(replace(shown(number), cap_counts=((0, count),)), 1, catalog, message)
        return [problem.what for problem, _, _ in recount.finish()]

    assert problems(0, 1, 2) == []
    assert asked == []
    # The second was counted first, though it is stamped later.
    assert problems(1, 0, 2) == []
    assert {decision.decision_id for decision in asked} == {shown(0).decision_id}
    assert problems(9, 9) == ["caps count more than the ledger has"]
