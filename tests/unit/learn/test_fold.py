"""The fold: what becomes of decisions, feedback and ticks, and that nothing but the ledger decides it."""

from __future__ import annotations

import pytest

from offer_optimizer.core.catalog import Kind, Reward
from offer_optimizer.core.decision import Consent, Reason
from offer_optimizer.core.feedback import Fate
from offer_optimizer.learn.parking import PARKED_US
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import Tick
from offer_optimizer.store.fold_tables import CloseStatus
from offer_optimizer.store.open_tables import GRACE_US
from tests.unit.learn.worlds import (
    PLACEMENT,
    START_US,
    WINDOW_US,
    World,
    catalog,
    decision_of,
    feedback_of,
    placement,
)

T = START_US


@pytest.fixture
def world() -> World:
    made = World()
    made.apply(1, catalog())
    return made


EPOCH = epoch_of(placement()).id


def test_feedback_in_its_window_is_applied_and_makes_the_reward(world: World) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    assert world.hear(feedback_of("f", T + 1, decision=1, value=0.75)) is Fate.APPLIED
    world.tick(T + WINDOW_US)
    assert world.reward(position) == 0.75
    assert world.tables.feedback_of(position) == [(position + 1, Fate.APPLIED)]


@pytest.mark.parametrize(
    ("offset_us", "fate"), [(WINDOW_US - 1, Fate.APPLIED), (WINDOW_US, Fate.LATE), (WINDOW_US + 1, Fate.LATE)]
)
@pytest.mark.parametrize("ticked", [False, True])
def test_a_window_is_half_open_to_the_microsecond(
    world: World, offset_us: int, fate: Fate, ticked: bool
) -> None:
    """Whether ledger time has come as far or not."""
    world.decide(decision_of(1, T, epoch=EPOCH))
    if ticked:
        world.tick(T + offset_us)
    assert world.hear(feedback_of("f", T + offset_us, decision=1)) is fate


@pytest.mark.parametrize(("offset_us", "open_count"), [(-1, 1), (0, 0)])
def test_a_window_closes_when_ledger_time_reaches_its_end(
    world: World, offset_us: int, open_count: int
) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    world.tick(T + WINDOW_US + offset_us)
    assert (world.tables.open_at(position) is not None) == bool(open_count)
    assert (world.tables.closed_at(position) is None) == bool(open_count)


@pytest.mark.parametrize(
    ("offset_us", "fate"),
    [
        (-1, Fate.UNATTRIBUTED),
        (0, Fate.APPLIED),
        (WINDOW_US - 1, Fate.APPLIED),
        (WINDOW_US, Fate.UNATTRIBUTED),
    ],
)
def test_feedback_by_visitor_needs_a_window_that_contains_its_time(
    world: World, offset_us: int, fate: Fate
) -> None:
    world.decide(decision_of(1, T, epoch=EPOCH), "ann")
    assert world.hear(feedback_of("f", T + offset_us), "ann") is fate


def test_feedback_by_visitor_is_not_credited_to_a_decision_made_after_it(world: World) -> None:
    """Drained in one round, both decisions precede the feedback in the ledger, but it was about the first."""
    first = world.decide(decision_of(1, T, epoch=EPOCH), "ann")
    second = world.decide(decision_of(2, T + 101, epoch=EPOCH), "ann")
    assert world.hear(feedback_of("f", T + 100), "ann") is Fate.APPLIED
    world.tick(T + 2 * WINDOW_US)
    assert (world.reward(first), world.reward(second)) == (1.0, 0.125)


def test_feedback_by_visitor_credits_the_newest_active_decision_and_no_other(world: World) -> None:
    """Not the older, not the deferred one that was never shown, not another visitor's, not elsewhere."""
    older = world.decide(decision_of(1, T, epoch=EPOCH), "ann")
    newest = world.decide(decision_of(2, T + 1, epoch=EPOCH), "ann")
    deferred = world.decide(decision_of(3, T + 2, epoch=EPOCH, deferred=True), "ann")
    other = world.decide(decision_of(4, T + 3, epoch=EPOCH), "bob")
    assert world.hear(feedback_of("f", T + 5, value=0.5), "ann") is Fate.APPLIED
    world.tick(T + 2 * WINDOW_US)
    assert [world.reward(position) for position in (older, newest, other)] == [0.125, 0.5, 0.125]
    closed = world.tables.closed_at(deferred)
    assert closed is not None
    assert closed.status is CloseStatus.NOT_ACTIVATED


def test_a_deferred_decision_that_was_shown_takes_feedback_by_visitor(world: World) -> None:
    older = world.decide(decision_of(1, T, epoch=EPOCH), "ann")
    deferred = world.decide(decision_of(2, T + 1, epoch=EPOCH, deferred=True), "ann")
    assert world.hear(feedback_of("s", T + 2, decision=2, kind="shown")) is Fate.APPLIED
    assert world.hear(feedback_of("f", T + 3, value=0.5), "ann") is Fate.APPLIED
    world.tick(T + 2 * WINDOW_US)
    assert [world.reward(position) for position in (older, deferred)] == [0.125, 0.5]


def test_feedback_by_visitor_is_not_credited_at_another_placement() -> None:
    world = World()
    elsewhere = placement(id="elsewhere")
    world.apply(1, catalog(placement(), elsewhere))
    there = world.decide(decision_of(1, T, epoch=epoch_of(elsewhere).id, placement_id="elsewhere"), "ann")
    assert world.hear(feedback_of("f", T + 1), "ann") is Fate.UNATTRIBUTED
    world.tick(T + WINDOW_US)
    assert world.reward(there) == 0.125


def test_a_visitor_nothing_was_decided_for_is_unattributed_and_gets_no_key(world: World) -> None:
    assert world.hear(feedback_of("f", T), "nobody") is Fate.UNATTRIBUTED
    assert world.connection.execute("SELECT COUNT(*) FROM visitor").fetchone() == (0,)


def test_a_deferred_decision_is_learned_only_if_shown_arrives(world: World) -> None:
    shown = world.decide(decision_of(1, T, epoch=EPOCH, deferred=True))
    unseen = world.decide(decision_of(2, T, epoch=EPOCH, deferred=True))
    world.hear(feedback_of("c", T + 1, decision=1, value=0.5))
    world.hear(feedback_of("c", T + 1, decision=2, value=0.5))
    world.hear(feedback_of("n", T + 1, decision=2, kind="not_shown"))
    world.hear(feedback_of("s", T + 2, decision=1, kind="shown"))
    world.hear(feedback_of("s", T + WINDOW_US, decision=2, kind="shown"))
    world.tick(T + WINDOW_US)
    lessons = world.tables.lessons(PLACEMENT, EPOCH, (0, 0), None, 10)
    assert [(lesson.position, lesson.reward) for lesson in lessons] == [(shown, 0.5)]
    closed = world.tables.closed_at(unseen)
    assert closed is not None
    assert closed.status is CloseStatus.NOT_ACTIVATED


@pytest.mark.parametrize("kinds", [(), ("shown",), ("shown", "not_shown")])
def test_silence_earns_the_default_reward(world: World, kinds: tuple[str, ...]) -> None:
    """Being shown is not an answer."""
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    for kind in kinds:
        assert world.hear(feedback_of(kind, T + 1, decision=1, kind=kind)) is Fate.APPLIED
    world.tick(T + WINDOW_US)
    assert world.reward(position) == 0.125


def test_any_other_kind_is_not_silence(world: World) -> None:
    """A declared kind that the formula does not read makes the formula speak: here it says 0."""
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    assert world.hear(feedback_of("f", T + 1, decision=1, kind="scroll")) is Fate.APPLIED
    world.tick(T + WINDOW_US)
    assert world.reward(position) == 0.0


def test_the_same_id_is_a_duplicate_and_with_another_body_conflicting(world: World) -> None:
    """The first in ledger order wins, and the receive time is no part of the body."""
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    world.decide(decision_of(2, T, epoch=EPOCH))
    fates = [
        world.hear(feedback_of("f", T + 1, decision=1, value=0.5)),
        world.hear(feedback_of("f", T + 2, decision=1, value=0.5)),
        world.hear(feedback_of("f", T + 3, decision=1, value=0.75)),
        world.hear(feedback_of("f", T + 4, decision=2, value=0.5)),
    ]
    assert fates == [Fate.APPLIED, Fate.DUPLICATE, Fate.CONFLICTING, Fate.APPLIED]
    world.tick(T + WINDOW_US)
    assert world.reward(position) == 0.5


def test_an_id_addressed_by_visitor_stays_spent_beyond_its_window(world: World) -> None:
    """A retry that comes after the first decision closed must not be credited to the next one."""
    world.decide(decision_of(1, T, epoch=EPOCH), "ann")
    assert world.hear(feedback_of("f", T + 1), "ann") is Fate.APPLIED
    assert world.hear(feedback_of("f", T + 2), "ann") is Fate.DUPLICATE
    world.tick(T + WINDOW_US)
    second = world.decide(decision_of(2, T + WINDOW_US + 1, epoch=EPOCH), "ann")
    assert world.hear(feedback_of("f", T + WINDOW_US + 2), "ann") is Fate.DUPLICATE
    assert world.hear(feedback_of("f", T + WINDOW_US + 2, value=0.5), "ann") is Fate.CONFLICTING
    world.tick(T + 3 * WINDOW_US)
    assert world.reward(second) == 0.125


@pytest.mark.parametrize(("offset_us", "fate"), [(-1, Fate.DUPLICATE), (0, Fate.APPLIED)])
def test_a_spent_id_is_free_again_when_its_grace_ends(world: World, offset_us: int, fate: Fate) -> None:
    world.decide(decision_of(1, T, epoch=EPOCH), "ann")
    world.hear(feedback_of("f", T + 1), "ann")
    end = T + WINDOW_US + GRACE_US + offset_us
    world.tick(end)
    world.decide(decision_of(2, end, epoch=EPOCH), "ann")
    assert world.hear(feedback_of("f", end + 1), "ann") is fate


@pytest.mark.parametrize("by_decision_first", [True, False])
def test_an_id_counts_once_within_a_decision_however_it_is_addressed(
    world: World, by_decision_first: bool
) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH), "ann")
    by_decision, by_visitor = (feedback_of("f", T + 1, decision=1), ""), (feedback_of("f", T + 1), "ann")
    order = (by_decision, by_visitor) if by_decision_first else (by_visitor, by_decision)
    assert [world.hear(*item) for item in order] == [Fate.APPLIED, Fate.DUPLICATE]
    world.tick(T + WINDOW_US)
    assert world.reward(position) == 1.0


def test_late_and_unknown_are_told_apart(world: World) -> None:
    world.decide(decision_of(1, T, epoch=EPOCH))
    world.tick(T + WINDOW_US)
    assert world.hear(feedback_of("f", T + 1, decision=1)) is Fate.LATE
    assert world.hear(feedback_of("f", T + 1, decision=99)) is Fate.PARKED
    world.tick(T + WINDOW_US + PARKED_US)
    world.decide(decision_of(99, T + WINDOW_US + PARKED_US, epoch=EPOCH))
    assert +world.fold.counts.fates == {Fate.LATE: 1, Fate.UNKNOWN: 1}


def test_a_kind_that_the_decisions_revision_lacks_is_invalid(world: World) -> None:
    world.decide(decision_of(1, T, epoch=EPOCH))
    richer = catalog()
    world.apply(2, richer.model_copy(update={"kinds": (*richer.kinds, Kind(id="save"))}))
    world.decide(decision_of(2, T, epoch=EPOCH, revision=2))
    assert world.hear(feedback_of("f", T + 1, decision=1, kind="save")) is Fate.INVALID
    assert world.hear(feedback_of("f", T + 1, decision=2, kind="save")) is Fate.APPLIED


@pytest.mark.parametrize(("value", "reward", "clipped"), [(2.0, 2.0, 0), (2.5, 2.0, 1), (-9.0, -1.0, 1)])
def test_a_reward_beyond_its_range_is_clipped_and_counted(
    world: World, value: float, reward: float, clipped: int
) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH))
    world.hear(feedback_of("f", T + 1, decision=1, value=value))
    world.tick(T + WINDOW_US)
    assert (world.reward(position), world.fold.counts.clipped) == (reward, clipped)


def test_a_formula_that_fails_closes_the_decision_unlearned_and_is_counted() -> None:
    world = World()
    failing = placement(reward=Reward(formula="1.0 / (count.click - 2.0)"))
    epoch = world.apply(1, catalog(failing))
    position = world.decide(decision_of(1, T, epoch=epoch))
    for name in ("a", "b"):
        world.hear(feedback_of(name, T + 1, decision=1))
    world.tick(T + WINDOW_US)
    assert world.fold.counts.closed == {CloseStatus.REWARD_FAILED: 1}
    assert world.tables.lessons(PLACEMENT, epoch, (0, 0), None, 10) == []
    assert world.tables.open_at(position) is None


def test_the_formula_reads_the_chosen_offers_numbers_and_delays_in_seconds() -> None:
    world = World()
    formula = "offer.cost * 2.0 + delay_s.click / 100.0"
    epoch = world.apply(1, catalog(placement(reward=Reward(formula=formula))))
    position = world.decide(decision_of(1, T, epoch=epoch))
    world.hear(feedback_of("f", T + 2_000_000, decision=1))
    world.tick(T + WINDOW_US)
    assert world.reward(position) == pytest.approx(0.25 * 2 + 0.02)


def test_feedback_stamped_before_its_decision_by_a_clock_that_went_back_has_no_delay() -> None:
    world = World()
    epoch = world.apply(1, catalog(placement(reward=Reward(formula="delay_s.click", min=-1.0))))
    position = world.decide(decision_of(1, T, epoch=epoch))
    assert world.hear(feedback_of("f", T - 500_000, decision=1)) is Fate.APPLIED
    world.tick(T + WINDOW_US)
    assert world.reward(position) == 0.0


@pytest.mark.parametrize(
    ("reason", "consent"),
    [(Reason.BASELINE, Consent.FULL), (Reason.MODEL, Consent.SERVE_ONLY), (Reason.NO_CONSENT, Consent.NONE)],
)
def test_what_the_policy_did_not_draw_with_full_consent_is_closed_but_not_learned(
    world: World, reason: Reason, consent: Consent
) -> None:
    position = world.decide(decision_of(1, T, epoch=EPOCH, reason=reason, consent=consent))
    world.tick(T + WINDOW_US)
    assert world.fold.counts.closed == {CloseStatus.NOT_LEARNABLE: 1}
    assert world.reward(position) == 0.125


def test_ledger_time_never_goes_back(world: World) -> None:
    world.tick(T + 100)
    world.tick(T + 50)
    assert world.fold.time_us == T + 100


def test_a_decision_stamped_behind_ledger_time_gets_its_whole_window_from_there(world: World) -> None:
    """The clock went back an hour: its window may not close before it was open."""
    world.tick(T)
    position = world.decide(decision_of(1, T - 3_600_000_000, epoch=EPOCH), "ann")
    world.tick(T + WINDOW_US - 1)
    assert world.hear(feedback_of("a", T - 3_600_000_000, decision=1)) is Fate.APPLIED
    assert world.hear(feedback_of("b", T - 3_600_000_000), "ann") is Fate.APPLIED
    assert world.tables.open_at(position) is not None
    world.tick(T + WINDOW_US)
    assert world.reward(position) == 2.0


def test_decisions_close_in_the_order_of_their_windows_ends_then_positions(world: World) -> None:
    for number, time_us in enumerate([T + 2, T + 1, T + 2, T]):
        world.decide(decision_of(number, time_us, epoch=EPOCH))
    world.tick(T + WINDOW_US + 2)
    lessons = world.tables.lessons(PLACEMENT, EPOCH, (0, 0), None, 10)
    first = min(lesson.position for lesson in lessons)
    assert [lesson.position - first for lesson in lessons] == [3, 1, 0, 2]


def test_a_decision_of_a_revision_nobody_knows_is_counted_and_harms_nothing(world: World) -> None:
    world.decide(decision_of(1, T, epoch=EPOCH, revision=7))
    assert world.fold.counts.orphans == 1
    assert world.hear(feedback_of("f", T + 1, decision=1)) is Fate.LATE
    world.tick(T + WINDOW_US)


def test_decisions_keep_the_window_and_formula_of_their_own_revision(world: World) -> None:
    """Epochs do not mix, and a window that was shortened or a placement that left changes nothing behind."""
    before = world.decide(decision_of(1, T, epoch=EPOCH))
    doubled = placement(window_s=1.0, reward=Reward(formula="2.0 * sum.click", max=2.0, default=0.25))
    epoch = world.apply(2, catalog(doubled))
    after = world.decide(decision_of(2, T, epoch=epoch, revision=2))
    world.apply(3, catalog(placement(id="other")))
    for number in (1, 2):
        assert world.hear(feedback_of("f", T + 1, decision=number, value=0.5)) is Fate.APPLIED
    world.tick(T + 1_000_000)
    assert world.tables.closed_at(before) is None
    assert world.reward(after) == 1.0
    world.tick(T + WINDOW_US)
    assert world.reward(before) == 0.5
    for learned, position in ((EPOCH, before), (epoch, after)):
        lessons = world.tables.lessons(PLACEMENT, learned, (0, 0), None, 10)
        assert [lesson.position for lesson in lessons] == [position]


def test_records_are_taken_one_after_the_other(world: World) -> None:
    record = world.ledger.append_body(Tick(T))
    world.take(record)
    with pytest.raises(ValueError, match="does not follow"):
        world.fold.apply(record)
