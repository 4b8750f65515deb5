"""Rollups against a count of their own over the ledger: after any history, restart, grouping and rebuild."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.decision import Decision, ExclusionReason, InlineCandidate, Reason, SlotChoice
from offer_optimizer.core.features import EMPTY
from offer_optimizer.core.feedback import NOT_SHOWN, SHOWN, Fate, Feedback
from offer_optimizer.learn import rollups as learn_rollups
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.store.rollup_tables import (
    DELAY_EDGES_US,
    HOUR_US,
    KEPT_DAYS,
    Measure,
    RollupTables,
    delay_bucket,
)
from offer_optimizer.store.sqlite import open_writer
from tests.unit.learn.worlds import (
    OFFERS,
    PLACEMENT,
    START_US,
    WINDOW_US,
    World,
    catalog,
    decision_of,
    feedback_of,
)

Row = tuple[str, int, str, str, int]
DAY_US = 24 * HOUR_US


def opened(world: World | None = None) -> tuple[World, bytes]:
    world = world or World()
    return world, world.apply(1, catalog())


def rows(world: World) -> set[Row]:
    return RollupTables(world.connection).rows()


def counts(world: World, measure: Measure) -> dict[str, int]:
    found: Counter[str] = Counter()
    for _, _, name, label, value in rows(world):
        if name == measure:
            found[label] += value
    return dict(found)


def counted_by_hand(world: World) -> set[Row]:
    """Count the ledger over again, record by record: what decisions, fates and closings say by themselves."""
    found: Counter[tuple[str, int, str, str]] = Counter()
    decisions: dict[int, tuple[Decision, int]] = {}
    answered: set[tuple[int, bool]] = set()
    time_us = 0
    for record in world.ledger.records():
        body = record.body()
        if isinstance(body, Decision):
            hour = max(body.decide_time_us, time_us) // HOUR_US
            decisions[record.position] = (body, max(body.decide_time_us, time_us))
            found[PLACEMENT, hour, "decision", body.reason.name] += 1
            offer = OFFERS[body.eligible()[body.slots[0].chosen]].id
            found[PLACEMENT, hour, "offer", offer] += 1
        elif isinstance(body, Feedback):
            fate = world.tables.fate_of(record.position)
            assert fate is not None
            at_us = max(body.receive_time_us, time_us)
            row = world.connection.execute(
                "SELECT decision_position FROM fate WHERE position = ?", (record.position,)
            ).fetchone()
            place = PLACEMENT if row[0] is not None or body.placement_id else ""
            found[place, at_us // HOUR_US, "feedback", f"{fate.name} {body.kind}"] += 1
            if fate is not Fate.APPLIED or body.kind == NOT_SHOWN:
                continue
            decision, decided_us = decisions[row[0]]
            if (row[0], body.kind == SHOWN) in answered:
                continue
            answered.add((row[0], body.kind == SHOWN))
            offer = OFFERS[decision.eligible()[decision.slots[0].chosen]].id
            bucket = sum(edge <= max(at_us - decided_us, 0) for edge in DELAY_EDGES_US)
            key = ("shown", offer) if body.kind == SHOWN else ("arrival", str(bucket))
            found[PLACEMENT, decided_us // HOUR_US, *key] += 1
        elif hasattr(body, "time_us") and not isinstance(body, Feedback):
            time_us = max(time_us, getattr(body, "time_us", 0))
    for position, (_, decided_us) in decisions.items():
        closed = world.tables.closed_at(position)
        if closed is not None:
            found[PLACEMENT, decided_us // HOUR_US, "closed", closed.status.name] += 1
    return {(*key, value) for key, value in found.items()}


COUNTED = {"decision", "offer", "feedback", "shown", "arrival", "closed"}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["decide", "shown", "click", "dismiss", "other", "unknown", "tick", "restart"]),
        st.integers(0, 40),
        st.integers(0, 3_000_000),
    ),
    max_size=60,
)


def play(world: World, epoch: bytes, steps: list[tuple[str, int, int]], *, restarts: bool = True) -> None:
    now_us, decided = START_US + HOUR_US - 20_000_000, 0
    for number, (step, pick, gap_us) in enumerate(steps):
        now_us += gap_us
        if step == "decide":
            decided += 1
            world.decide(decision_of(decided, now_us, epoch=epoch, deferred=pick % 5 == 0), f"v{pick % 3}")
        elif step == "tick":
            world.tick(now_us)
        elif step == "restart":
            if restarts:
                world.reopen()
        elif step == "other":
            world.hear(feedback_of(f"f{pick % 4}", now_us), f"v{pick % 3}")
        elif step == "unknown" or decided:
            at = 999 if step == "unknown" else 1 + pick % max(decided, 1)
            kind = "click" if step == "unknown" else step
            world.hear(feedback_of(f"{kind}{pick % 7}-{number % 3}", now_us, decision=at, kind=kind))


@given(STEPS)
def test_rollups_are_what_the_ledger_says_after_any_history(steps: list[tuple[str, int, int]]) -> None:
    world, epoch = opened()
    play(world, epoch, steps)
    assert {row for row in rows(world) if row[2] in COUNTED} == counted_by_hand(world)


@given(STEPS)
def test_neither_restarts_nor_a_rebuild_show(steps: list[tuple[str, int, int]]) -> None:
    """Live learning writes at every record and forgets at restarts; a rebuild writes once."""
    world, epoch = opened()
    play(world, epoch, steps)
    rebuilt = Rebuilt(world.ledger, world.fold.position, lambda _done, _all: None)
    assert rebuilt.differing_rows(world.tables) == []
    rebuilt.close()


def test_a_changed_rollup_is_found_by_a_rebuild() -> None:
    world, epoch = opened()
    world.decide(decision_of(1, START_US, epoch=epoch))
    world.connection.execute("UPDATE rollup SET value = value + 1 WHERE measure = 'offer'")
    rebuilt = Rebuilt(world.ledger, world.fold.position, lambda _done, _all: None)
    found = rebuilt.differing_rows(world.tables)
    rebuilt.close()
    assert [line.rsplit(": ", 1)[1] for line in found] == ["only rebuilt", "only live"]
    assert all(line.startswith("rollup ") and "offer" in line for line in found)


def test_what_was_forgotten_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn_rollups, "_REMEMBERED_MOST", 2)
    world, epoch = opened()
    for number in range(1, 8):
        world.decide(decision_of(number, START_US, epoch=epoch))
    for number in range(1, 8):
        for feedback_id in ("a", "b"):
            for kind in ("shown", "click"):
                item = feedback_of(kind + feedback_id, START_US + 1, decision=number, kind=kind)
                assert world.hear(item) is Fate.APPLIED
    assert counts(world, Measure.SHOWN) == counts(world, Measure.OFFER)
    assert sum(counts(world, Measure.ARRIVAL).values()) == 7


@pytest.mark.parametrize("reopens", [False, True])
def test_what_was_taken_back_before_it_came_answers_nothing(reopens: bool) -> None:
    """Nor does it after a restart, which reads from the ledger who was answered."""
    world, epoch = opened()
    world.decide(decision_of(1, START_US, epoch=epoch))
    world.hear(feedback_of("r", START_US, decision=1, retracts="x"))
    if reopens:
        world.reopen()
    world.hear(feedback_of("c", START_US + 1, decision=1))
    world.tick(START_US + WINDOW_US)
    assert counts(world, Measure.ARRIVAL) == {"0": 1}


@pytest.mark.parametrize("reopens", [False, True])
def test_a_kind_that_left_the_catalog_keeps_its_name(reopens: bool) -> None:
    world, epoch = opened()
    world.decide(decision_of(1, START_US, epoch=epoch))
    world.apply(2, catalog().model_copy(update={"kinds": ()}))
    if reopens:
        world.reopen()
    world.hear(feedback_of("s", START_US + 1, decision=1, kind="scroll"))
    world.tick(START_US + WINDOW_US)
    assert counts(world, Measure.FEEDBACK) == {"APPLIED scroll": 1}


def test_what_comes_is_counted_in_the_hour_of_its_decision_and_feedback_in_its_own() -> None:
    world, epoch = opened()
    before_us = (START_US // HOUR_US + 1) * HOUR_US - 1_000_000
    world.decide(decision_of(1, before_us, epoch=epoch))
    for kind in ("shown", "click"):
        world.hear(feedback_of(kind, before_us + 3_000_000, decision=1, kind=kind))
    world.tick(before_us + WINDOW_US)
    hours = {(measure, hour - before_us // HOUR_US) for _, hour, measure, _, _ in rows(world)}
    cohort = ("decision", "offer", "shown", "arrival", "closed", "reward")
    assert {(measure, 0) for measure in cohort} <= hours
    assert {measure for measure, later in hours if later} == {"feedback"}


def test_exploration_is_counted_from_the_logged_pmfs() -> None:
    world, epoch = opened()
    pmfs = [(0.5, 0.25, 0.25), (0.125, 0.75, 0.125), (1.0,), (0.5, 0.5)]
    for number, (pmf, chosen) in enumerate(zip(pmfs, (1, 1, 0, 1), strict=True), 1):
        stored = np.array(pmf, dtype=np.float32)
        slot = SlotChoice(stored, chosen, float(stored[chosen]))
        gone = tuple(range(len(pmf), 3))
        decision = replace(
            decision_of(number, START_US, epoch=epoch),
            slots=(slot,),
            excluded=gone,
            exclusion_reasons=(int(ExclusionReason.COUNTERS_UNREADY),) * len(gone),
        )
        world.decide(decision)
    total = {measure: counts(world, measure).get("") for measure in Measure}
    assert total[Measure.DRAWN] == 3
    assert total[Measure.EXPLORED] == 2
    assert total[Measure.EXPLORE_MASS] == 1_250_000
    assert total[Measure.UNREADY] == 2
    nats = -sum(p * math.log(p) for pmf in pmfs for p in pmf)
    assert total[Measure.ENTROPY] == pytest.approx(nats * 1e6, abs=4)
    assert total[Measure.ENTROPY_MOST] == pytest.approx((2 * math.log(3) + math.log(2)) * 1e6, abs=3)
    assert total[Measure.PROPENSITY_LEAST] == 250_000_000


def test_rewards_are_shares_of_the_declared_range_and_clipping_is_counted() -> None:
    """The range is [-1, 2]: a click of 5 is clipped to 2, a dismissal earns -0.5, silence 0.125."""
    world, epoch = opened()
    for number in (1, 2, 3):
        world.decide(decision_of(number, START_US, epoch=epoch))
    world.hear(feedback_of("f", START_US, decision=1, value=5.0))
    world.hear(feedback_of("f", START_US, decision=2, kind="dismiss"))
    world.tick(START_US + WINDOW_US)
    shares = [1.0, 0.5 / 3.0, 1.125 / 3.0]
    assert counts(world, Measure.REWARD) == {"-1.0 2.0": sum(round(share * 1e6) for share in shares)}
    assert counts(world, Measure.REWARD_SQUARE) == {"-1.0 2.0": sum(round(s * s * 1e6) for s in shares)}
    assert counts(world, Measure.CLIPPED) == {"": 1}


def test_names_that_callers_make_up_are_not_kept() -> None:
    world, epoch = opened()
    inline = (InlineCandidate("made-up-1", EMPTY), InlineCandidate("save5", EMPTY))
    for number, chosen in ((1, 0), (2, 1)):
        decision = replace(decision_of(number, START_US, epoch=epoch), candidates=(3, 4, 0), inline=inline)
        slot = replace(decision.slots[0], chosen=chosen)
        world.decide(replace(decision, slots=(slot,)))
    world.hear(feedback_of("f", START_US, decision=1, kind="made-up-2"))
    assert world.hear(replace(feedback_of("g", START_US), placement_id="made-up-3"), "v") is Fate.UNATTRIBUTED
    assert counts(world, Measure.OFFER) == {"(other)": 1, "save5": 1}
    assert counts(world, Measure.FEEDBACK) == {"INVALID (other)": 1, "UNATTRIBUTED click": 1}
    assert {row[0] for row in rows(world)} == {PLACEMENT, ""}


def test_a_decision_without_an_offer_is_counted_by_its_reason_alone() -> None:
    world, epoch = opened()
    world.decide(replace(decision_of(1, START_US, epoch=epoch, reason=Reason.NO_ELIGIBLE_OFFER), slots=()))
    assert {row[2:] for row in rows(world)} == {("decision", "NO_ELIGIBLE_OFFER", 1)}


def total_by_label(found: set[Row]) -> Counter[tuple[str, str]]:
    total: Counter[tuple[str, str]] = Counter()
    for _, _, measure, label, value in found:
        total[measure, label] += value
    return total


def test_old_hours_become_days_nothing_is_lost_and_a_late_closing_finds_its_day() -> None:
    world, epoch = opened()
    for number in range(1, 31):
        world.decide(decision_of(number, START_US + number * HOUR_US, epoch=epoch))
    before = total_by_label(rows(world))
    world.tick(START_US + 16 * DAY_US)
    found = rows(world)
    assert {row[1] % 24 for row in found} == {0}
    after = total_by_label(found)
    assert after[Measure.CLOSED, "LEARNED"] == 30
    least = (Measure.PROPENSITY_LEAST, "")
    kept = set(before) - {least}
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert {row[4] for row in found if row[2:4] == least} == {250_000_000}
    hours = RollupTables(world.connection).read()
    assert {rollup.hours for rollup in hours} == {24}


def test_after_four_hundred_days_rows_go() -> None:
    world, epoch = opened()
    world.decide(decision_of(1, START_US, epoch=epoch))
    world.tick(START_US + (KEPT_DAYS - 1) * DAY_US)
    assert rows(world)
    world.tick(START_US + (KEPT_DAYS + 1) * DAY_US)
    assert not rows(world)


def test_a_failed_transaction_leaves_no_count_behind() -> None:
    world, epoch = opened()
    world.connection.execute("BEGIN")
    world.decide(decision_of(1, START_US, epoch=epoch))
    world.connection.execute("ROLLBACK")
    world.reopen()
    assert not rows(world)


def test_a_reader_of_a_ledger_without_rollups_finds_none() -> None:
    tables = RollupTables(open_writer(None))
    assert (tables.read(), tables.rows(), tables.open_count("home", 0)) == ([], set(), 0)


def test_open_decisions_are_those_that_have_not_closed() -> None:
    world, epoch = opened()
    for number in range(1, 4):
        world.decide(decision_of(number, START_US + number * 2_000_000, epoch=epoch))
    count: Callable[[], int] = lambda: RollupTables(world.connection).open_count(PLACEMENT, 0)  # noqa: E731
    assert count() == 3
    world.tick(START_US + WINDOW_US + 4_000_000)
    assert count() == 1


@given(st.integers(0, 10**14))
def test_a_bucket_ends_before_the_delay_of_the_next(delay_us: int) -> None:
    bucket = delay_bucket(delay_us)
    assert bucket == 0 or DELAY_EDGES_US[bucket - 1] <= delay_us
    assert bucket == len(DELAY_EDGES_US) or delay_us < DELAY_EDGES_US[bucket]
