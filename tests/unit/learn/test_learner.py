"""The learner: models follow the ledger through restarts, failures and changes of the catalog."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offer_optimizer.core.catalog import Reward
from offer_optimizer.learn.examples import ExampleMaker
from offer_optimizer.learn.lineage import Lineage
from offer_optimizer.learn.trainer import BATCH, Model, Trainer, initial_model, restore_model
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.snapshots import Snapshot
from tests.unit.learn.histories import E1, E2, FIRST, SECOND, check, current, visit
from tests.unit.learn.service_in_memory import ServiceInMemory, Writer
from tests.unit.learn.worlds import (
    PLACEMENT,
    START_US,
    WINDOW_S,
    WINDOW_US,
    World,
    catalog,
    decision_of,
    feedback_of,
    placement,
    stored,
)


@pytest.fixture
def service() -> ServiceInMemory:
    return ServiceInMemory()


@pytest.fixture
def writer(service: ServiceInMemory) -> Writer:
    made = service.writer(1)
    service.apply(made, stored(1, catalog(FIRST)))
    return made


def test_the_published_model_has_learned_all_closed_windows_and_equals_the_rebuilt_one(
    service: ServiceInMemory, writer: Writer
) -> None:
    for number in range(40):
        visit(service, writer, number)
        service.run_for(0.5)
    service.run_for(WINDOW_S + 2)
    assert current(service).learned_count == 40
    assert check(service) == [True]


def test_a_round_that_took_all_there_was_lets_the_next_wait_and_one_with_lessons_left_does_not(
    service: ServiceInMemory, writer: Writer
) -> None:
    """Rounds that follow each record at once made a transaction and a sync for every few of them."""
    for number in range(BATCH + 1):
        visit(service, writer, number)
    assert service.learner.step()
    assert not service.learner.is_behind
    service.clock_us += round((WINDOW_S + 2) * 1e6)
    service.boot_us += round((WINDOW_S + 2) * 1e6)
    service.learner.step()
    assert service.learner.is_behind
    service.learner.step()
    assert not service.learner.is_behind
    assert current(service).learned_count == BATCH + 1


def test_a_round_in_which_teaching_took_long_leaves_the_other_models_to_the_next(
    service: ServiceInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten models to teach had kept the learner from draining for seconds."""
    writer = service.writer(1)
    placements = [placement(id=f"place-{number}") for number in range(5)]
    service.apply(writer, stored(1, catalog(*placements)))
    service.run_for(1.0)
    taught: list[list[str]] = []
    seconds, original = [0.0], Trainer.teach

    def teach(self: Trainer, model: Model, *rest: Any) -> int:  # noqa: ANN401
        seconds[0] += 0.2
        taught[-1].append(model.placement_id)
        return original(self, model, *rest)

    monkeypatch.setattr(Trainer, "teach", teach)
    service.learner.seconds = lambda: seconds[0]
    behind = []
    for _ in range(5):
        taught.append([])
        service.learner.step()
        behind.append(service.learner.is_behind)
    assert taught == [[f"place-{(3 * turn + number) % 5}" for number in range(3)] for turn in range(5)]
    assert behind == [True] * 5
    seconds[0] = -(2.0**60)  # a clock that stands still from here on
    taught.append([])
    service.learner.step()
    assert (len(taught[-1]), service.learner.is_behind) == (5, False)


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["visit", "visit", "wait", "restart", "fail"]), min_size=5, max_size=40))
def test_a_learner_restarted_or_failing_anywhere_gives_the_model_of_an_uninterrupted_one(
    events: list[str],
) -> None:
    service = ServiceInMemory()
    writer = service.writer(1)
    service.apply(writer, stored(1, catalog(FIRST)))
    number = 0
    for event in events:
        match event:
            case "visit":
                visit(service, writer, number)
                number += 1
            case "restart":
                service.start()
            case "fail":
                service.connection.fail_at = 5 + number
        service.learner.step()
        service.connection.fail_at = -1
        service.run_for(3.0)
    service.run_for(WINDOW_S + 2)
    assert current(service).learned_count == number
    assert check(service) == [True]


def test_training_goes_on_from_a_snapshot_at_any_close_cursor_byte_for_byte() -> None:
    world = World()
    epoch = world.apply(1, catalog(FIRST))
    for number in range(30):
        world.decide(decision_of(number, START_US + number * 7919 % 5, epoch=epoch))
        world.hear(feedback_of("f", START_US + 10, decision=number, value=(number % 4) / 2))
    world.tick(START_US + WINDOW_US + 10)
    trainer = Trainer(world.ledger, world.tables, world.fold.revisions)
    stored_epoch = world.fold.revisions.epoch(epoch)
    assert stored_epoch is not None
    whole = initial_model(stored_epoch)
    assert trainer.teach(whole) == 30
    expected = whole.policy.save()
    for stop in range(0, 31, 3):
        first = initial_model(stored_epoch)
        trainer.teach(first, limit=stop)
        assert first.learned_count == stop
        second = restore_model(stored_epoch, first.policy.save(), first.cursor, first.learned_count)
        trainer.teach(second)
        assert (second.policy.save(), second.cursor, second.learned_count) == (expected, whole.cursor, 30)
        up_to = initial_model(stored_epoch)
        trainer.teach(up_to, up_to=first.cursor)
        assert up_to.policy.save() == first.policy.save()


def test_rewards_reach_the_policy_scaled_to_zero_to_one_with_the_logged_propensity() -> None:
    world = World()
    epoch = world.apply(1, catalog(FIRST))
    world.decide(decision_of(1, START_US, epoch=epoch))
    world.hear(feedback_of("f", START_US, decision=1, value=1.25))
    world.tick(START_US + WINDOW_US)
    (lesson,) = world.tables.lessons(PLACEMENT, epoch, (0, 0), None, 9)
    example = ExampleMaker(world.ledger, world.tables, world.fold.revisions).make(lesson, Lineage())
    assert example is not None
    assert (example.reward, example.propensity, example.chosen) == (0.75, 0.25, 1)
    assert [action.id for action in example.actions] == ["msg", "save5", "nothing"]
    assert example.context.categories == (("device", "mobile"),)


def test_a_policy_changed_and_changed_back_goes_on_where_it_was(
    service: ServiceInMemory, writer: Writer
) -> None:
    """Both epochs stay current, each for itself: deciders serve at once what the old policy had learned."""
    for number in range(10):
        visit(service, writer, number)
    service.run_for(WINDOW_S + 2)
    service.apply(writer, stored(2, catalog(SECOND)))
    for number in range(10, 15):
        visit(service, writer, number, E2, 2)
    service.run_for(WINDOW_S + 2)
    assert (current(service, E1).learned_count, current(service, E2).learned_count) == (10, 5)
    service.apply(writer, stored(3, catalog(FIRST)))
    service.run_for(1.0)
    for number in range(15, 18):
        visit(service, writer, number, E1, 3)
    service.run_for(WINDOW_S + 2)
    assert (current(service, E1).learned_count, current(service, E2).learned_count) == (13, 5)
    assert check(service) == [True, True]


def test_a_new_formula_is_a_new_epoch(service: ServiceInMemory, writer: Writer) -> None:
    """What was decided under the old one is not taught to the new model."""
    visit(service, writer, 1)
    doubled = placement(reward=Reward(formula="2.0 * sum.click", max=2.0))
    service.apply(writer, stored(2, catalog(doubled)))
    service.run_for(WINDOW_S + 2)
    assert current(service, epoch_of(doubled).id).learned_count == 0


def test_a_placement_that_left_the_catalog_does_not_stop_the_others_at_shutdown(
    service: ServiceInMemory, writer: Writer
) -> None:
    """It had learned something that was not yet published."""
    service.publish_interval_us = 3_600_000_000
    service.start()
    service.apply(writer, stored(2, catalog(FIRST, placement(id="leaving"))))
    service.run_for(0.1)
    visit(service, writer, 1)
    writer.decide(
        decision_of(
            2,
            service.clock_us,
            epoch=epoch_of(placement(id="leaving")).id,
            revision=2,
            placement_id="leaving",
        )
    )
    service.run_for(WINDOW_S + 2)
    service.apply(writer, stored(3, catalog(FIRST)))
    service.run_for(0.1)
    service.learner.close()
    assert current(service).learned_count == 1


def test_a_clock_that_went_back_does_not_hold_models_back(service: ServiceInMemory, writer: Writer) -> None:
    service.publish_interval_us = 500_000
    service.start()
    visit(service, writer, 1)
    service.run_for(WINDOW_S + 2)
    visit(service, writer, 2)
    service.run_for(0.1)
    service.learner.publisher._states[E1].time_us = service.clock_us + 3_600_000_000
    service.run_for(WINDOW_S + 2)
    assert current(service).learned_count == 2


def test_models_are_published_at_most_once_an_interval_and_only_with_news(
    service: ServiceInMemory, writer: Writer
) -> None:
    service.publish_interval_us = 5_000_000
    service.start()
    for number in range(20):
        visit(service, writer, number)
        service.run_for(1.0)
    service.run_for(WINDOW_S + 2)
    service.run_for(6.0)
    published = service.verifier.asked_count
    assert published <= 2 + 34 / 5
    assert current(service).learned_count == 20
    service.run_for(60.0)
    assert service.verifier.asked_count == published


def test_a_model_that_answers_otherwise_elsewhere_is_never_published(
    service: ServiceInMemory, writer: Writer
) -> None:
    visit(service, writer, 1)
    service.run_for(0.1)
    before = service.snapshots.current_name(PLACEMENT, E1)
    assert before is not None
    service.verifier.offset = 1e-16
    service.run_for(WINDOW_S + 2)
    assert service.snapshots.current_name(PLACEMENT, E1) == before
    service.verifier.offset = 0.0
    service.run_for(1.0)
    assert current(service).learned_count == 1


def test_a_damaged_snapshot_is_passed_over_and_replaced(service: ServiceInMemory, writer: Writer) -> None:
    for number in range(4):
        visit(service, writer, number)
        service.run_for(WINDOW_S + 2)
    name = service.snapshots.current_name(PLACEMENT, E1)
    path = f"/data/snapshots/{PLACEMENT}/{name}"
    service.files.replace(path, service.files.read(path)[:-1], "test")
    service.start()
    service.run_for(1.0)
    assert current(service).learned_count == 4
    assert check(service) == [True]


def test_a_snapshot_of_another_ledger_is_passed_over(service: ServiceInMemory, writer: Writer) -> None:
    """The ledger was restored from a backup, or is a new one: what the model knows is not in it."""
    for number in range(5):
        visit(service, writer, number)
    service.run_for(WINDOW_S + 2)
    ahead = Snapshot(PLACEMENT, E1, "vw", 10**6, START_US, 3, 77, current(service).state)
    other = Snapshot(
        PLACEMENT, E1, "vw", service.learner.fold.position, START_US + 1, 3, 55, current(service).state
    )
    for foreign in (ahead, other):
        service.snapshots.publish(foreign, service.clock_us)
    service.start()
    service.run_for(1.0)
    assert current(service).learned_count == 5
    assert check(service) == [True]


def test_a_ledger_that_fails_again_during_recovery_is_tried_again(
    service: ServiceInMemory, writer: Writer
) -> None:
    visit(service, writer, 1)
    for fail_at in range(12):
        service.connection.fail_at = 0
        assert service.learner.step() is False
        service.connection.fail_at = fail_at
        service.learner.step()
        service.connection.fail_at = -1
    service.run_for(WINDOW_S + 2)
    assert current(service).learned_count == 1


def test_learning_silence_of_many_is_not_slowed_by_decisions_it_can_not_learn() -> None:
    """What is closed but not learned is not read again and again; steps of SQLite's machine are counted."""
    world = World()
    epoch = world.apply(1, catalog(FIRST))
    for number in range(2000):
        world.decide(decision_of(number, START_US, epoch=epoch, deferred=True))
    world.tick(START_US + WINDOW_US)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    world.connection.set_progress_handler(count, 10)
    assert world.tables.lessons(PLACEMENT, epoch, (0, 0), None, 500) == []
    world.connection.set_progress_handler(None, 10)
    assert steps < 20


def test_dedupe_within_a_decision_is_not_slowed_by_its_other_feedback() -> None:
    """One hostile caller can't make the join quadratic."""
    world = World()
    epoch = world.apply(1, catalog(FIRST))
    position = world.decide(decision_of(1, START_US, epoch=epoch))
    for number in range(1000):
        world.hear(feedback_of(f"f{number}", START_US, decision=1))
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    world.connection.set_progress_handler(count, 10)
    assert world.tables.find_joined(position, "absent") is None
    world.connection.set_progress_handler(None, 10)
    assert steps < 20


def test_nothing_is_published_from_a_fold_that_was_not_committed(
    service: ServiceInMemory, writer: Writer
) -> None:
    """The round failed, and the process is told to stop before the next one."""
    visit(service, writer, 1)
    service.run_for(WINDOW_S + 2)
    before = service.snapshots.current_name(PLACEMENT, E1)
    visit(service, writer, 2)
    service.connection.fail_at = 6
    service.learner.step()
    service.connection.fail_at = -1
    service.learner.close()
    assert service.snapshots.current_name(PLACEMENT, E1) == before


def test_the_failing_connection_of_these_tests_fails(service: ServiceInMemory) -> None:
    """Guards the injection itself."""
    service.connection.fail_at = 0
    with pytest.raises(sqlite3.OperationalError):
        service.connection.execute("SELECT 1")
