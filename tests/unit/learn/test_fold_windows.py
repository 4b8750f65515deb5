"""Windows: whose clock decides, what ends them early, and how short and long they may be."""

from __future__ import annotations

import pytest

from offer_optimizer.core.catalog import Reward
from offer_optimizer.core.feedback import Fate
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.open_tables import GRACE_US
from tests.unit.learn.worlds import START_US, WINDOW_US, World, catalog, decision_of, feedback_of, placement

T = START_US
END = T + WINDOW_US
GRACE_S = 5.0
LAST = END + 5_000_000
TRUSTING = placement(trust_occur_time=True, grace_s=GRACE_S)
ENDING = placement(close_on=("conversion",), reward=Reward(formula="sum.conversion + 0.25 * count.click"))


def world_of(part: object = TRUSTING) -> tuple[World, bytes]:
    world = World()
    return world, world.apply(1, catalog(part))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("occur_us", "arrive_us", "fate"),
    [
        (END - 1, LAST - 1, Fate.APPLIED),
        (END, LAST - 1, Fate.LATE),
        (END - 1, LAST, Fate.LATE),
        (T - 9, END, Fate.APPLIED),
        (LAST, END - 1, Fate.APPLIED),
        (LAST, END, Fate.LATE),
        (None, END - 1, Fate.APPLIED),
        (None, END, Fate.LATE),
    ],
)
@pytest.mark.parametrize("ticked", [False, True])
def test_a_trusted_time_lies_in_the_window_and_arrives_within_the_grace(
    occur_us: int | None, arrive_us: int, fate: Fate, ticked: bool
) -> None:
    """It is moved into [decide time, receive time]; whether ledger time has come as far changes nothing."""
    world, epoch = world_of()
    world.decide(decision_of(1, T, epoch=epoch))
    if ticked:
        world.tick(arrive_us)
    assert world.hear(feedback_of("f", arrive_us, decision=1, occur_us=occur_us)) is fate


def test_a_time_that_is_not_trusted_is_kept_and_changes_nothing() -> None:
    world, epoch = world_of(placement())
    position = world.decide(decision_of(1, T, epoch=epoch))
    assert world.hear(feedback_of("a", END, decision=1, occur_us=T)) is Fate.LATE
    assert world.hear(feedback_of("b", T + 1, decision=1, occur_us=END)) is Fate.APPLIED
    world.tick(END)
    assert world.tables.closed_at(position) is not None


def test_a_placement_that_trusts_closes_a_grace_later() -> None:
    world, epoch = world_of()
    position = world.decide(decision_of(1, T, epoch=epoch))
    world.tick(LAST - 1)
    assert world.tables.closed_at(position) is None
    world.tick(LAST)
    closed = world.tables.closed_at(position)
    assert closed is not None
    assert closed.close_time_us == LAST


def test_first_and_last_and_delays_go_by_the_time_that_counts() -> None:
    """What occurred first is first, though it came last; of one time, the order of the ledger decides."""
    formula = Reward(formula="first.click + 10.0 * last.click + 100.0 * delay_s.click", max=1000.0)
    world, epoch = world_of(placement(trust_occur_time=True, grace_s=GRACE_S, reward=formula))
    position = world.decide(decision_of(1, T, epoch=epoch))
    occurred = [("a", 3_000_000, 0.5), ("b", 1_000_000, 2.0), ("c", 3_000_000, 0.25), ("d", 1_000_000, 9.0)]
    for number, (name, occur_us, value) in enumerate(occurred):
        arrived_us = T + 4_000_000 + number
        world.hear(feedback_of(name, arrived_us, decision=1, value=value, occur_us=T + occur_us))
    world.tick(LAST)
    assert world.reward(position) == 2.0 + 2.5 + 100.0
    world.hear(feedback_of("late", LAST, decision=1, kind="scroll", occur_us=T))
    world.tick(LAST + 1)
    assert world.tables.finals() == {}


def test_what_occurred_before_the_decision_has_its_time_and_the_order_of_the_ledger() -> None:
    formula = Reward(formula="first.click", max=10.0)
    world, epoch = world_of(placement(trust_occur_time=True, reward=formula))
    position = world.decide(decision_of(1, T, epoch=epoch))
    for name, occur_us, value in (("a", T - 1, 1.0), ("b", T - 2, 2.0)):
        world.hear(feedback_of(name, T + 5, decision=1, value=value, occur_us=occur_us))
    world.tick(END)
    assert world.reward(position) == 1.0


def test_by_visitor_a_trusted_time_may_arrive_in_the_grace() -> None:
    world, epoch = world_of()
    world.decide(decision_of(1, T, epoch=epoch), "ann")
    assert world.hear(feedback_of("a", LAST - 1, occur_us=END - 1), "ann") is Fate.APPLIED
    assert world.hear(feedback_of("b", LAST - 1, occur_us=END), "ann") is Fate.UNATTRIBUTED


def test_by_visitor_a_trusted_time_credits_the_decision_of_then() -> None:
    world, epoch = world_of()
    first = world.decide(decision_of(1, T, epoch=epoch), "ann")
    second = world.decide(decision_of(2, T + 1_000_000, epoch=epoch), "ann")
    world.hear(feedback_of("a", T + 2_000_000, occur_us=T + 999_999, value=0.5), "ann")
    world.hear(feedback_of("b", T + 2_000_000, occur_us=T + 1_000_000, value=0.75), "ann")
    assert world.hear(feedback_of("c", T + 2_000_000, occur_us=T - 1), "ann") is Fate.UNATTRIBUTED
    # In the first one's window, whose grace is over; and in both of none.
    assert world.hear(feedback_of("d", LAST, occur_us=T + 999_999), "ann") is Fate.UNATTRIBUTED
    world.tick(LAST + 1_000_000)
    assert (world.reward(first), world.reward(second)) == (0.5, 0.75)


def test_a_terminal_kind_ends_the_window_behind_its_own_time_and_closes_at_the_next_tick() -> None:
    world, epoch = world_of(ENDING)
    position = world.decide(decision_of(1, T, epoch=epoch))
    found = [
        world.hear(feedback_of("a", T + 5, decision=1)),
        world.hear(feedback_of("b", T + 7, decision=1, kind="conversion", value=0.5)),
        world.hear(feedback_of("c", T + 7, decision=1)),
        world.hear(feedback_of("d", T + 6, decision=1)),
        world.hear(feedback_of("e", T + 8, decision=1, kind="conversion", value=0.25)),
    ]
    assert found == [Fate.APPLIED] * 4 + [Fate.LATE]
    assert world.tables.closed_at(position) is None
    world.tick(T + 8)
    closed = world.tables.closed_at(position)
    assert closed is not None
    assert (closed.close_time_us, closed.reward) == (T + 8, 1.0)
    assert world.hear(feedback_of("f", T + 9, decision=1)) is Fate.LATE
    world.tick(T + 10)
    assert (world.reward(position), world.final(position)) == (1.0, 1.0)


def test_a_terminal_item_stamped_behind_ledger_time_closes_after_it() -> None:
    """Or what closes would be out of order behind a snapshot's cursor."""
    world, epoch = world_of(ENDING)
    position = world.decide(decision_of(1, T, epoch=epoch))
    world.tick(T + 100)
    world.hear(feedback_of("a", T + 5, decision=1, kind="conversion"))
    world.tick(T + 101)
    closed = world.tables.closed_at(position)
    assert closed is not None
    assert closed.close_time_us == T + 101


def test_a_terminal_item_in_the_grace_does_not_lengthen_the_window() -> None:
    world, epoch = world_of(placement(trust_occur_time=True, grace_s=GRACE_S, close_on=("click",)))
    position = world.decide(decision_of(1, T, epoch=epoch))
    world.hear(feedback_of("a", LAST - 1, decision=1, occur_us=T))
    world.tick(LAST)
    closed = world.tables.closed_at(position)
    assert closed is not None
    assert closed.close_time_us == LAST


@pytest.mark.parametrize("shown_first", [True, False])
def test_what_is_deferred_waits_until_it_is_shown(shown_first: bool) -> None:
    world, epoch = world_of(ENDING)
    position = world.decide(decision_of(1, T, epoch=epoch, deferred=True))
    items = [
        feedback_of("s", T + 1, decision=1, kind="shown"),
        feedback_of("c", T + 2, decision=1, kind="conversion"),
    ]
    first, second = items if shown_first else items[::-1]
    world.hear(first)
    world.tick(T + 50)
    assert world.tables.open_at(position) is not None
    world.hear(second)
    world.tick(T + 60)
    assert world.reward(position) == 1.0


def test_what_was_taken_back_before_it_came_and_what_is_taken_back_end_nothing() -> None:
    world, epoch = world_of(ENDING)
    position = world.decide(decision_of(1, T, epoch=epoch))
    world.hear(feedback_of("r", T + 1, decision=1, kind="conversion", retracts="c"))
    world.hear(feedback_of("c", T + 2, decision=1, kind="conversion"))
    world.tick(T + 10)
    assert world.tables.closed_at(position) is None


def test_by_visitor_feedback_behind_an_early_end_stays_with_its_decision() -> None:
    """Not with an older decision whose window is still open; and it counts once until that would be over."""
    world, epoch = world_of(ENDING)
    older = world.decide(decision_of(1, T, epoch=epoch), "ann")
    newest = world.decide(decision_of(2, T + 1, epoch=epoch), "ann")
    assert world.hear(feedback_of("buy", T + 2, kind="conversion"), "ann") is Fate.APPLIED
    assert world.hear(feedback_of("before", T + 3), "ann") is Fate.LATE
    world.tick(T + 4)
    again = feedback_of("more", T + 5)
    assert [world.hear(again, "ann"), world.hear(again, "ann")] == [Fate.LATE, Fate.DUPLICATE]
    assert world.hear(feedback_of("buy", T + 6, kind="conversion"), "ann") is Fate.DUPLICATE
    world.tick(END + 1)
    assert (world.reward(older), world.tables.final_at(older)) == (0.0, None)
    assert (world.reward(newest), world.final(newest)) == (1.0, 1.0)  # more than 1 is clipped
    world.tick(END + GRACE_US)
    assert world.hear(again, "ann") is Fate.DUPLICATE
    assert world.connection.execute("SELECT COUNT(*) FROM ended_decision").fetchone() == (0,)


def test_a_merge_takes_along_what_ended_early() -> None:
    world, epoch = world_of(ENDING)
    world.decide(decision_of(1, T, epoch=epoch), "bob")
    world.decide(decision_of(2, T + 1, epoch=epoch), "ann")
    world.hear(feedback_of("buy", T + 2, kind="conversion"), "ann")
    world.tick(T + 4)
    merge = world.ledger.merge_visitors(b"ann", b"bob")
    assert merge is not None
    world.take(world.ledger.append_body(merge))
    assert world.hear(feedback_of("more", T + 5), "bob") is Fate.LATE


def test_who_comes_again_after_an_early_end_is_credited_with_the_new_decision() -> None:
    world, epoch = world_of(ENDING)
    world.decide(decision_of(1, T, epoch=epoch), "ann")
    world.hear(feedback_of("buy", T + 2, kind="conversion"), "ann")
    world.tick(T + 10)
    second = world.decide(decision_of(2, T + 20, epoch=epoch), "ann")
    assert world.hear(feedback_of("a", T + 21), "ann") is Fate.APPLIED
    assert world.hear(feedback_of("b", T + 11), "ann") is Fate.LATE
    world.tick(END + 20)
    assert world.reward(second) == 0.25


@pytest.mark.parametrize("window_s", [1.0, 90 * 86400.0])
def test_the_shortest_and_the_longest_window_are_kept_to_the_microsecond(window_s: float) -> None:
    world, epoch = world_of(placement(window_s=window_s))
    end_us = T + round(window_s * 1e6)
    for number in (1, 2):
        world.decide(decision_of(number, T, epoch=epoch))
    world.tick(end_us - 1)
    assert world.hear(feedback_of("f", end_us - 1, decision=1)) is Fate.APPLIED
    assert world.hear(feedback_of("f", end_us, decision=2)) is Fate.LATE
    world.tick(end_us)
    assert world.fold.counts.closed.total() == 2


def test_what_a_window_is_like_is_the_decisions_own_revisions() -> None:
    world, epoch = world_of(ENDING)
    position = world.decide(decision_of(1, T, epoch=epoch))
    world.apply(2, catalog(TRUSTING))
    world.hear(feedback_of("c", T + 2, decision=1, kind="conversion"))
    second = world.decide(decision_of(2, T + 3, epoch=epoch_of(TRUSTING).id, revision=2))
    world.hear(feedback_of("c", T + 4, decision=2, kind="conversion"))
    world.tick(T + 5)
    assert world.tables.closed_at(position) is not None
    assert world.tables.closed_at(second) is None


def test_a_custom_kind_is_counted_valued_and_terminal_as_any_other() -> None:
    formula = Reward(formula="mean.scroll / 100.0 + (count.scroll > 1.0 ? 0.25 : 0.0)")
    world, epoch = world_of(placement(close_on=("scroll",), reward=formula))
    position = world.decide(decision_of(1, T, epoch=epoch))
    for name, value in (("a", 40.0), ("b", 60.0)):
        assert world.hear(feedback_of(name, T + 1, decision=1, kind="scroll", value=value)) is Fate.APPLIED
    world.tick(T + 2)
    assert world.reward(position) == 0.75
