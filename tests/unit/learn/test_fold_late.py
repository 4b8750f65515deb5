"""Late and retracted feedback: what was learned stays, the final reward moves, and nothing counts twice."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.catalog import Reward
from offer_optimizer.core.feedback import Fate
from offer_optimizer.learn import attribution
from offer_optimizer.learn.late import ClosedDecisions
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.fold_tables import CloseStatus
from offer_optimizer.store.ledger import LedgerRecord
from tests.unit.learn.worlds import START_US, WINDOW_US, World, catalog, decision_of, feedback_of, placement

T = START_US
END = T + WINDOW_US
EPOCH = epoch_of(placement()).id


@pytest.fixture
def world() -> World:
    made = World()
    made.apply(1, catalog())
    return made


def test_late_feedback_moves_the_final_reward_and_leaves_what_was_learned(world: World) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    world.hear(feedback_of("a", T + 1, decision=1, value=0.5))
    world.tick(END)
    assert world.hear(feedback_of("b", END + 1, decision=1, value=0.75)) is Fate.LATE
    assert world.tables.final_at(position) is None
    world.tick(END + 2)
    assert (world.reward(position), world.final(position)) == (0.5, 1.25)
    assert world.tables.feedback_of(position)[-1] == (position + 3, Fate.LATE)


def test_what_is_late_but_comes_before_the_close_moves_the_final_reward_too(world: World) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    assert world.hear(feedback_of("a", END, decision=1, value=0.75)) is Fate.LATE
    assert world.hear(feedback_of("a", END + 1, decision=1, value=0.75)) is Fate.DUPLICATE
    world.tick(END + 1)
    assert (world.reward(position), world.final(position)) == (0.125, 0.75)


def test_late_feedback_counts_once_and_the_first_wins(world: World) -> None:
    """Also against an item that was applied before the close, and one that came late before a restart."""
    position = world.decide(decision_of(1, T, epoch=EPOCH), "ann")
    world.hear(feedback_of("a", T + 1, decision=1, value=0.25))
    world.tick(END)
    fates = [
        world.hear(feedback_of("a", END + 1, decision=1, value=0.25)),
        world.hear(feedback_of("b", END + 1, decision=1, value=0.5)),
        world.hear(feedback_of("b", END + 2, decision=1, value=0.5)),
        world.hear(feedback_of("b", END + 2, decision=1, value=0.75)),
    ]
    world.reopen()
    fates.append(world.hear(feedback_of("b", END + 3, decision=1, value=0.5)))
    assert fates == [Fate.DUPLICATE, Fate.LATE, Fate.DUPLICATE, Fate.CONFLICTING, Fate.DUPLICATE]
    world.tick(END + 4)
    assert world.final(position) == 0.75


def test_a_final_reward_is_kept_only_where_it_differs_or_once_moved(world: World) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    world.tick(END)
    world.hear(feedback_of("s", END + 1, decision=1, kind="shown"))
    world.tick(END + 1)
    assert world.tables.finals() == {}
    world.hear(feedback_of("c", END + 2, decision=1))
    world.tick(END + 2)
    changed = world.ledger.last_position()
    world.hear(feedback_of("r", END + 3, decision=1, retracts="c"))
    world.tick(END + 3)
    assert world.tables.finals() == {position: (0.125, changed + 2)}


def test_final_rewards_keep_delays_and_order_of_the_effective_times() -> None:
    """The clock had gone back: the record says less than what the reward was made of."""
    world = World()
    formula = Reward(formula="delay_s.click + 10.0 * first.click", min=-1e3, max=1e3)
    epoch = world.apply(1, catalog(placement(reward=formula)))
    world.tick(T)
    position = world.decide(decision_of(1, T - 5_000_000, epoch=epoch))
    world.tick(T + 3_000_000)
    world.hear(feedback_of("a", T - 4_000_000, decision=1, value=2.0))
    world.tick(END)
    assert world.reward(position) == 23.0
    world.hear(feedback_of("s", END + 1, decision=1, kind="scroll"))
    world.tick(END + 2)
    assert world.tables.finals() == {}


@pytest.mark.parametrize("status", [CloseStatus.NOT_ACTIVATED, CloseStatus.REWARD_FAILED])
def test_a_decision_without_a_reward_gets_no_final_one(status: CloseStatus) -> None:
    world = World()
    failing = placement(reward=Reward(formula="1.0 / (count.click - 1.0)", min=-9.0, max=9.0))
    epoch = world.apply(1, catalog(failing))
    position = world.decide(decision_of(1, T, epoch=epoch, deferred=status is CloseStatus.NOT_ACTIVATED))
    world.hear(feedback_of("a", T, decision=1))
    world.tick(END)
    world.hear(feedback_of("b", END, decision=1))
    world.tick(END + 1)
    assert world.fold.counts.closed == {status: 1}
    assert world.tables.final_at(position) is None


def test_a_formula_that_fails_on_late_feedback_is_counted_and_changes_nothing() -> None:
    world = World()
    failing = placement(reward=Reward(formula="1.0 / (count.click - 2.0)", min=-9.0, max=9.0))
    epoch = world.apply(1, catalog(failing))
    position = world.decide(decision_of(1, T, epoch=epoch))
    world.hear(feedback_of("a", T, decision=1))
    world.tick(END)
    world.hear(feedback_of("b", END, decision=1))
    world.tick(END + 1)
    assert (world.final(position), world.fold.counts.final_failed) == (-1.0, 1)


def test_an_unknown_kind_is_invalid_however_late(world: World) -> None:
    world.decide(decision_of(1, T, epoch=EPOCH))
    world.tick(END)
    assert world.hear(feedback_of("a", END, decision=1, kind="strange")) is Fate.INVALID


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])), ids=str)
def test_what_is_taken_back_does_not_count_whichever_comes_first(
    world: World, order: tuple[int, ...]
) -> None:
    """A refund: the conversion is gone, and the refund itself is no evidence of anything."""
    items = [
        feedback_of("buy", T + 1, decision=1, value=0.5),
        feedback_of("refund", T + 2, decision=1, kind="dismiss", retracts="buy"),
        feedback_of("other", T + 3, decision=1, value=0.25),
    ]
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    assert [world.hear(items[at]) for at in order] == [Fate.APPLIED] * 3
    world.tick(END)
    assert world.reward(position) == 0.25


def test_a_decision_whose_only_feedback_was_taken_back_is_silent(world: World) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    world.hear(feedback_of("buy", T + 1, decision=1))
    world.hear(feedback_of("refund", T + 2, decision=1, retracts="buy"))
    world.tick(END)
    assert world.reward(position) == 0.125


def test_a_retraction_after_the_close_moves_the_final_reward(world: World) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    world.hear(feedback_of("buy", T + 1, decision=1))
    world.tick(END)
    refund = feedback_of("refund", END + 5, decision=1, retracts="buy")
    assert [world.hear(refund), world.hear(refund)] == [Fate.LATE, Fate.DUPLICATE]
    world.tick(END + 6)
    assert (world.reward(position), world.final(position)) == (1.0, 0.125)


def test_a_value_is_changed_by_taking_it_back_and_sending_it_under_another_id(world: World) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    world.hear(feedback_of("order-7", T + 1, decision=1, value=1.0))
    world.tick(END)
    world.hear(feedback_of("order-7-off", END + 1, decision=1, retracts="order-7"))
    world.hear(feedback_of("order-7b", END + 1, decision=1, value=0.25))
    world.tick(END + 2)
    assert world.final(position) == 0.25


def test_a_retraction_can_not_be_taken_back(world: World) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    world.hear(feedback_of("buy", T + 1, decision=1))
    world.hear(feedback_of("refund", T + 2, decision=1, retracts="buy"))
    world.hear(feedback_of("oops", T + 3, decision=1, retracts="refund"))
    world.tick(END)
    assert world.reward(position) == 0.125


def test_a_shown_that_is_taken_back_was_not_shown(world: World) -> None:
    taken_back = world.decide(decision_of(1, T, epoch=EPOCH, deferred=True))
    still_shown = world.decide(decision_of(2, T, epoch=EPOCH, deferred=True))
    for number in (1, 2):
        world.hear(feedback_of("s", T + 1, decision=number, kind="shown"))
        world.hear(feedback_of("c", T + 2, decision=number))
    world.hear(feedback_of("r", T + 3, decision=1, kind="shown", retracts="s"))
    world.hear(feedback_of("r", T + 3, decision=2, retracts="c"))
    world.tick(END)
    found = [world.tables.closed_at(position) for position in (taken_back, still_shown)]
    assert [closed and closed.status for closed in found] == [CloseStatus.NOT_ACTIVATED, CloseStatus.LEARNED]


def test_a_shown_that_is_only_taken_back_shows_nothing(world: World) -> None:
    world.decide(decision_of(1, T, epoch=EPOCH, deferred=True), "ann")
    world.hear(feedback_of("r", T + 1, decision=1, kind="shown", retracts="s"))
    assert world.hear(feedback_of("c", T + 2), "ann") is Fate.UNATTRIBUTED


def test_by_visitor_a_retraction_goes_where_the_item_went_that_it_takes_back(world: World) -> None:
    """Not to the newest decision: open or closed, the visitor may have come again since."""
    first = world.decide(decision_of(1, T, epoch=EPOCH), "ann")
    world.hear(feedback_of("buy", T + 1), "ann")
    world.hear(feedback_of("more", T + 2), "ann")
    second = world.decide(decision_of(2, T + 3, epoch=EPOCH), "ann")
    assert world.hear(feedback_of("refund", T + 4, retracts="buy"), "ann") is Fate.APPLIED
    world.tick(END)
    refund = feedback_of("second refund", END + 1, retracts="more")
    assert [world.hear(refund, "ann"), world.hear(refund, "ann")] == [Fate.LATE, Fate.DUPLICATE]
    world.tick(END + WINDOW_US)
    assert (world.reward(first), world.final(first)) == (1.0, 0.125)
    assert (world.reward(second), world.tables.final_at(second)) == (0.125, None)


@pytest.mark.parametrize("comes_us", [4, WINDOW_US + 1], ids=["in time", "late"])
def test_by_visitor_an_item_goes_where_the_retraction_went_that_came_before_it(
    world: World, comes_us: int
) -> None:
    """Else it would count at the newest decision, where nobody takes it back."""
    first = world.decide(decision_of(1, T, epoch=EPOCH), "ann")
    world.hear(feedback_of("refund", T + 2, retracts="buy"), "ann")
    second = world.decide(decision_of(2, T + 3, epoch=EPOCH), "ann")
    buy = feedback_of("buy", T + comes_us)
    fates = [world.hear(buy, "ann"), world.hear(buy, "ann")]
    assert fates == [Fate.APPLIED if comes_us < WINDOW_US else Fate.LATE, Fate.DUPLICATE]
    assert world.hear(feedback_of("more", T + 5, value=0.5), "ann") is Fate.APPLIED
    world.tick(END + WINDOW_US)
    assert (world.final(first), world.final(second)) == (0.125, 0.5)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2 * WINDOW_US), st.sampled_from("abcd"), st.sampled_from(["", "", "a", "b", "c"])
        ),
        max_size=12,
    )
)
def test_the_final_reward_is_that_of_an_endless_window(items: list[tuple[int, str, str]]) -> None:
    """Whatever came when: it is what a window that holds all of it would have earned."""
    rewards = []
    for window_s in (10.0, 1000.0):
        world = World()
        epoch = world.apply(1, catalog(placement(window_s=window_s)))
        position = world.decide(decision_of(1, T, epoch=epoch))
        for offset_us, name, retracts in sorted(items):
            world.hear(feedback_of(name + retracts, T + offset_us, decision=1, value=0.25, retracts=retracts))
            world.tick(T + offset_us)
        world.tick(T + 1_000_000_000)
        rewards.append(world.final(position))
    assert rewards[0] == rewards[1]


def test_many_late_items_for_one_decision_are_not_read_again_for_each(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One caller can't make the join quadratic: records read are counted."""
    world.decide(decision_of(1, T, epoch=EPOCH))
    world.tick(END)
    reads: list[int] = []
    record_at = world.ledger.record_at

    def counted(position: int) -> LedgerRecord:
        reads.append(position)
        return record_at(position)

    monkeypatch.setattr(world.ledger, "record_at", counted)
    for number in range(300):
        assert world.hear(feedback_of(f"f{number}", END, decision=1)) is Fate.LATE
    assert len(reads) < 10
    world.tick(END + 1)
    assert len(reads) < 320


@pytest.mark.parametrize("reopens", [False, True])
def test_one_decision_takes_so_many_items_and_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch, reopens: bool
) -> None:
    """Open or closed, and whatever is remembered: else one sender could stop the learner."""
    monkeypatch.setattr(attribution, "FEEDBACK_PER_DECISION", 4)
    monkeypatch.setattr(attribution, "_REMEMBERED_COUNTS", 1)
    world.decide(decision_of(1, T, epoch=EPOCH))
    world.decide(decision_of(2, T, epoch=EPOCH))

    def hear(names: str, time_us: int) -> list[Fate]:
        found = []
        for name in names:
            if reopens:
                world.reopen()
            found += [world.hear(feedback_of(name, time_us, decision=number)) for number in (1, 2)][:1]
        return found

    assert hear("abc", T) == [Fate.APPLIED] * 3
    world.tick(END)
    assert hear("def", END) == [Fate.LATE, Fate.INVALID, Fate.INVALID]
    assert hear("a", END) == [Fate.DUPLICATE]
    world.decide(decision_of(3, END, epoch=EPOCH))
    fates = [world.hear(feedback_of(name, END, decision=3)) for name in "abcdeab"]
    assert fates == [Fate.APPLIED] * 4 + [Fate.INVALID, Fate.DUPLICATE, Fate.DUPLICATE]


def test_what_is_remembered_of_closed_decisions_is_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offer_optimizer.learn.late.REMEMBERED_IDS", 20)
    for number in range(30):
        world.decide(decision_of(number, T, epoch=EPOCH))
    world.tick(END)
    fates = [world.hear(feedback_of("a", END, decision=number)) for number in (*range(30), *range(30))]
    assert fates == [Fate.LATE] * 30 + [Fate.DUPLICATE] * 30
    closed: ClosedDecisions = world.fold._attribution.closed
    assert len(closed._recent) <= 10
    assert closed._id_count == sum(len(found.ids) + 1 for found in closed._recent.values())
