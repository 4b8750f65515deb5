"""Feedback that comes before its decision: it waits, bounded, and is judged when the decision comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.feedback import Fate
from offer_optimizer.learn import parking
from offer_optimizer.learn.parking import PARKED_US
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.policy.epoch import epoch_of
from tests.unit.learn.worlds import START_US, WINDOW_US, World, catalog, decision_of, feedback_of, placement

T = START_US
EPOCH = epoch_of(placement()).id


@pytest.fixture
def world() -> World:
    made = World()
    made.apply(1, catalog())
    made.tick(T)
    return made


def fates(world: World) -> list[Fate]:
    rows = world.connection.execute("SELECT fate FROM fate ORDER BY position")
    return [Fate(fate) for (fate,) in rows]


def test_what_waited_is_judged_when_its_decision_comes_in_the_order_it_came(world: World) -> None:
    for value in (0.5, 0.5, 0.75):
        assert world.hear(feedback_of("a", T + 1, decision=1, value=value)) is Fate.PARKED
    assert world.hear(feedback_of("b", T + 1, decision=1, kind="strange")) is Fate.PARKED
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    assert fates(world) == [Fate.APPLIED, Fate.DUPLICATE, Fate.CONFLICTING, Fate.INVALID]
    assert [fate for _, fate in world.tables.feedback_of(position)] == fates(world)
    world.tick(T + WINDOW_US)
    assert world.reward(position) == 0.5
    judged = (Fate.APPLIED, Fate.DUPLICATE, Fate.CONFLICTING, Fate.INVALID)
    assert +world.fold.counts.fates == dict.fromkeys(judged, 1)


@pytest.mark.parametrize(("offset_us", "fate"), [(-1, Fate.APPLIED), (0, Fate.UNKNOWN)])
def test_it_waits_for_ten_minutes_of_ledger_time_behind_its_arrival(
    world: World, offset_us: int, fate: Fate
) -> None:
    world.hear(feedback_of("a", T + 5, decision=1))
    late_us = T + 5 + PARKED_US + offset_us
    world.tick(late_us)
    world.decide(decision_of(1, late_us, epoch=EPOCH))
    assert fates(world) == [fate]


def test_its_own_receive_time_decides_and_it_may_be_too_late_already(world: World) -> None:
    """The record of the decision was under way for longer than its window."""
    world.hear(feedback_of("a", T + 3, decision=1, value=0.5))
    world.hear(feedback_of("b", T + 2 * WINDOW_US, decision=1))
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    assert fates(world) == [Fate.APPLIED, Fate.LATE]
    world.tick(T + 2 * WINDOW_US)
    assert (world.reward(position), world.final(position)) == (0.5, 1.5)


def test_what_waited_for_a_decision_nobody_can_read_is_late(world: World) -> None:
    world.hear(feedback_of("a", T + 1, decision=1))
    position = world.decide(decision_of(1, T, epoch=EPOCH, revision=7))
    assert fates(world) == [Fate.LATE]
    assert world.tables.feedback_of(position) == [(position - 1, Fate.LATE)]


def test_what_waits_is_bounded_for_each_decision_and_in_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "PARKED_PER_DECISION", 3)
    monkeypatch.setattr(parking, "PARKED_FEEDBACK", 5)
    found = [world.hear(feedback_of(f"f{n}", T, decision=1)) for n in range(4)]
    found += [world.hear(feedback_of(f"f{n}", T, decision=2)) for n in range(3)]
    assert found == [Fate.PARKED] * 3 + [Fate.UNKNOWN] + [Fate.PARKED] * 2 + [Fate.UNKNOWN]
    world.reopen()
    assert world.hear(feedback_of("g", T, decision=3)) is Fate.UNKNOWN
    world.decide(decision_of(2, T, epoch=EPOCH))
    assert world.hear(feedback_of("g", T, decision=3)) is Fate.PARKED
    world.tick(T + PARKED_US)
    assert world.hear(feedback_of("h", T + PARKED_US, decision=3)) is Fate.PARKED


def test_by_visitor_nothing_waits(world: World) -> None:
    assert world.hear(feedback_of("a", T), "ann") is Fate.UNATTRIBUTED


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hear"), st.integers(0, 6), st.sampled_from("ab"), st.sampled_from([0.25, 0.5])),
        st.tuples(st.just("decide"), st.integers(0, 6)),
        st.tuples(st.just("tick"), st.integers(0, 400)),
    ),
    max_size=40,
)


@given(STEPS, st.integers(0, 60))
def test_a_rebuild_to_any_position_finds_no_difference_in_a_fold_that_ran_on(
    steps: list[tuple[object, ...]], back: int
) -> None:
    """Though parked items meet their fate, and final rewards move, long behind that position."""
    live = World()
    live.apply(1, catalog())
    clock_us, decided = T, set()
    for step in steps:
        match step:
            case ("hear", int(number), str(name), float(value)):
                live.hear(feedback_of(name, clock_us, decision=number, value=value))
            case ("decide", int(number)) if number not in decided:
                decided.add(number)
                live.decide(decision_of(number, clock_us, epoch=EPOCH))
            case ("tick", int(seconds)):
                clock_us += seconds * 1_000_000
                live.tick(clock_us)
    up_to = max(live.fold.position - back, 1)
    rebuilt = Rebuilt(live.ledger, up_to, lambda _done, _all: None)
    assert rebuilt.differing_rows(live.tables) == []
    rebuilt.close()


def test_a_rebuild_to_where_an_item_still_waited_does_not_miss_its_later_fate(world: World) -> None:
    world.hear(feedback_of("a", T, decision=1))
    up_to = world.fold.position
    world.decide(decision_of(1, T, epoch=EPOCH))
    rebuilt = Rebuilt(world.ledger, up_to, lambda _done, _all: None)
    assert rebuilt.differing_rows(world.tables) == []
    rebuilt.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE fate SET fate = 5 WHERE position = (SELECT MIN(position) FROM fate)",
        "UPDATE fate SET settled_position = NULL WHERE settled_position IS NOT NULL",
        "DELETE FROM fate WHERE position = (SELECT MIN(position) FROM fate)",
        "UPDATE final SET reward = 9.0",
        "DELETE FROM final",
        "UPDATE closed SET weight = 2.0",
    ],
)
def test_a_rebuild_finds_what_was_noted_otherwise(world: World, change: str) -> None:
    world.hear(feedback_of("a", T, decision=1))
    world.decide(decision_of(1, T, epoch=EPOCH))
    world.tick(T + WINDOW_US)
    world.hear(feedback_of("b", T + WINDOW_US, decision=1))
    world.tick(T + WINDOW_US + 1)
    rebuilt = Rebuilt(world.ledger, world.fold.position, lambda _done, _all: None)
    assert rebuilt.differing_rows(world.tables) == []
    world.connection.execute(change)
    assert rebuilt.differing_rows(world.tables) != []
    rebuilt.close()
