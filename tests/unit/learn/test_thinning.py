"""Thinning silence: by a lot that anybody can repeat, only while a model lags, and exact in a rebuild."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core import draw
from offer_optimizer.core.control import Thinning
from offer_optimizer.core.decision import Consent
from offer_optimizer.learn.examples import ExampleMaker
from offer_optimizer.learn.lineage import WHOLE
from offer_optimizer.learn.pressure import LEAST_SHARE, Pressure
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.learn.thinning import is_kept
from offer_optimizer.learn.trainer import BATCH, Model, Trainer, initial_model
from offer_optimizer.policy import registry
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.policy.vw import WEIGHT_CAP
from offer_optimizer.store.fold_tables import CloseStatus
from tests.unit.learn.histories import E1, FIRST, check, current
from tests.unit.learn.service_in_memory import ServiceInMemory
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

T = START_US
EPOCH = epoch_of(placement()).id
SECOND_US = 1_000_000
HALVE_US = Pressure.halve_us


@given(st.binary(min_size=16, max_size=16), st.floats(2**-60, 1.0), st.floats(2**-60, 1.0))
def test_who_is_kept_at_a_share_is_kept_at_every_greater_one(
    decision_id: bytes, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert is_kept(decision_id, 1.0)
    assert is_kept(decision_id, high) or not is_kept(decision_id, low)


def test_the_lot_keeps_its_share_and_knows_nothing_of_the_draw() -> None:
    """Of 20,000 ids 5,000 are kept, and of those drawn low or high alike; 5 sigma, so 1 in a million."""
    ids = [number.to_bytes(16, "big") for number in range(20_000)]
    kept = [is_kept(decision_id, 0.25) for decision_id in ids]
    low = [draw.uniform(bytes(32), PLACEMENT, decision_id, 0) < 0.5 for decision_id in ids]
    assert abs(sum(kept) - 5000) < 5 * 61.3
    both = sum(one and other for one, other in zip(kept, low, strict=True))
    assert abs(both - sum(kept) / 2) < 5 * 35.4


def test_silence_is_learned_by_lot_with_its_weight_and_answers_always() -> None:
    world = World()
    world.apply(1, catalog())
    world.add(Thinning(PLACEMENT, 0.25))
    positions = {}
    for number in range(60):
        decision = decision_of(number, T, epoch=EPOCH)
        positions[world.decide(decision)] = decision.decision_id
        if number % 3 == 0:
            world.hear(feedback_of("s", T, decision=number, kind="shown"))
        if number % 3 == 1:
            world.hear(feedback_of("c", T, decision=number, value=0.5))
    world.tick(T + WINDOW_US)
    for number, (position, decision_id) in enumerate(positions.items()):
        closed = world.tables.closed_at(position)
        assert closed is not None
        if number % 3 == 1:
            expected = (CloseStatus.LEARNED, 1.0, 0.5)
        elif is_kept(decision_id, 0.25):
            expected = (CloseStatus.LEARNED, 4.0, 0.125)
        else:
            expected = (CloseStatus.THINNED, 1.0, 0.125)
        assert (closed.status, closed.weight, closed.reward) == expected
    lessons = world.tables.lessons(PLACEMENT, EPOCH, (0, 0), None, 99)
    assert {lesson.weight for lesson in lessons} == {1.0, 4.0}
    maker = ExampleMaker(world.ledger, world.tables, world.fold.revisions)
    for lesson in lessons:
        example = maker.make(lesson, WHOLE)
        assert example is not None
        assert example.weight == lesson.weight


def test_thinning_concerns_its_placement_until_it_ends_and_nothing_that_is_not_learned() -> None:
    world = World()
    elsewhere = placement(id="elsewhere")
    world.apply(1, catalog(placement(), elsewhere))
    world.add(Thinning(PLACEMENT, 2.0**-60))
    silent = [
        world.decide(decision_of(1, T, epoch=EPOCH)),
        world.decide(decision_of(2, T, epoch=epoch_of(elsewhere).id, placement_id="elsewhere")),
        world.decide(decision_of(3, T, epoch=EPOCH, consent=Consent.SERVE_ONLY)),
        world.decide(decision_of(4, T, epoch=EPOCH, deferred=True)),
        world.decide(decision_of(5, T + 1, epoch=EPOCH)),
    ]
    world.tick(T + WINDOW_US)
    world.reopen()
    world.add(Thinning(PLACEMENT, 1.0))
    world.tick(T + WINDOW_US + 1)
    found = [world.tables.closed_at(position) for position in silent]
    assert [closed.status for closed in found if closed] == [
        CloseStatus.THINNED,
        CloseStatus.LEARNED,
        CloseStatus.NOT_LEARNABLE,
        CloseStatus.NOT_ACTIVATED,
        CloseStatus.LEARNED,
    ]


@dataclass
class Queue:
    """Lessons that wait, by the times at which they closed."""

    closed_us: list[int]

    def move(self, microseconds: int) -> None:
        """Let all of them close later."""
        self.closed_us = [closed_us + microseconds for closed_us in self.closed_us]

    def nth_lesson_us(
        self, _placement: str, _epoch: bytes, _after: tuple[int, int], number: int
    ) -> int | None:
        return self.closed_us[number] if number < len(self.closed_us) else None


def pressure(*closed_us: int, waiting: int = 100) -> Pressure:
    return Pressure(Queue(list(closed_us)), waiting=waiting)  # type: ignore[arg-type]


@pytest.fixture
def model() -> Iterator[Model]:
    made = Model(PLACEMENT, EPOCH, "uniform", registry.create("uniform", {}, ()))
    yield made
    made.policy.close()


@pytest.mark.parametrize(("behind_us", "share"), [(4_999_999, None), (5_000_000, 0.5)])
def test_a_model_lags_by_the_age_of_its_next_lesson(
    model: Model, behind_us: int, share: float | None
) -> None:
    lagging = pressure(T - behind_us)
    assert lagging.new_share(model, 1.0, BATCH, T) is None
    assert lagging.new_share(model, 1.0, BATCH, T) is None, "no time has passed"
    lagging.tables.move(HALVE_US)  # type: ignore[attr-defined]
    assert lagging.new_share(model, 1.0, BATCH, T + HALVE_US) == share


def test_a_jump_of_ledger_time_that_is_learned_at_once_is_no_lag(model: Model) -> None:
    lagging = pressure(0)
    assert lagging.new_share(model, 1.0, BATCH, T) is None
    assert lagging.new_share(model, 1.0, BATCH - 1, T) is None
    assert lagging.new_share(model, 1.0, BATCH, T + HALVE_US) is None


@pytest.mark.parametrize(("count", "share"), [(100, None), (101, 0.5)])
def test_a_model_lags_by_the_number_of_its_lessons(model: Model, count: int, share: float | None) -> None:
    lagging = pressure(*[T + HALVE_US] * count)
    assert lagging.new_share(model, 1.0, BATCH, T) is None
    assert lagging.new_share(model, 1.0, BATCH, T + HALVE_US) == share


def test_the_share_is_halved_step_by_step_down_to_a_sixteenth(model: Model) -> None:
    lagging, share, changes = pressure(0), 1.0, []
    for seconds in range(60):
        found = lagging.new_share(model, share, BATCH, T + seconds * SECOND_US)
        if found is not None:
            share = found
            changes.append((seconds, found))
    assert changes == [(5, 0.5), (10, 0.25), (15, 0.125), (20, 0.0625)]
    assert share == LEAST_SHARE == 1 / WEIGHT_CAP, "a policy that counted less would be biased"


def test_the_share_is_doubled_step_by_step_while_nothing_waits(model: Model) -> None:
    lagging = pressure(0)
    assert lagging.new_share(model, 0.5, BATCH, T - HALVE_US) is None
    assert lagging.new_share(model, 0.5, BATCH, T) == 0.25
    assert lagging.new_share(model, 0.25, BATCH - 1, T + 19_999_999) is None
    assert lagging.new_share(model, 0.25, BATCH - 1, T + 20_000_000) == 0.5
    assert lagging.new_share(model, 0.5, BATCH - 1, T + 39_999_999) is None
    assert lagging.new_share(model, 0.5, BATCH - 1, T + 40_000_000) == 1.0
    assert lagging.new_share(model, 1.0, BATCH - 1, T + 200_000_000) is None


def test_a_new_life_ends_what_an_earlier_one_began(model: Model) -> None:
    assert pressure().new_share(model, 0.5, 0, T) == 1.0


def test_a_learner_that_lags_thins_and_ends_that_and_a_rebuild_repeats_it() -> None:
    service = ServiceInMemory()
    writer = service.writer(1)
    service.apply(writer, stored(1, catalog(FIRST)))
    service.run_for(0.1)
    # This learner learns a batch in no time: lagging once is enough here.
    service.learner.pressure = Pressure(service.learner.tables, halve_us=0)

    def visits(first: int, count: int) -> None:
        for number in range(first, first + count):
            writer.decide(decision_of(number, service.clock_us, epoch=E1))

    visits(0, BATCH + 100)
    service.run_for(WINDOW_S + 7)
    assert service.learner.fold.kept_share == {PLACEMENT: 0.5}
    visits(1000, 100)
    service.run_for(WINDOW_S + 2)
    assert service.learner.fold.kept_share == {PLACEMENT: 0.5}
    visits(2000, 1)
    service.run_for(70.0)
    visits(2001, 1)
    service.run_for(WINDOW_S + 2)
    assert service.learner.fold.kept_share == {PLACEMENT: 1.0}
    kept = sum(is_kept(number.to_bytes(16, "big"), 0.5) for number in (*range(1000, 1100), 2000))
    assert current(service).learned_count == BATCH + 100 + kept + 1
    assert check(service) == [True]


def test_the_next_lessons_close_time_is_found_by_its_number() -> None:
    world = World()
    world.apply(1, catalog())
    for number in range(3):
        world.decide(decision_of(number, T + number, epoch=EPOCH))
    world.tick(T + WINDOW_US + 5)
    cursor = (T + WINDOW_US, 2**40)
    found = [world.tables.nth_lesson_us(PLACEMENT, EPOCH, cursor, number) for number in range(3)]
    assert found == [T + WINDOW_US + 1, T + WINDOW_US + 2, None]


def test_a_rebuild_needs_nothing_but_the_ledger_to_thin_alike() -> None:
    world = World()
    world.apply(1, catalog())
    for number in range(100):
        world.decide(decision_of(number, T + number * SECOND_US, epoch=EPOCH))
        world.tick(T + number * SECOND_US)
        if number % 20 == 10:
            world.add(Thinning(PLACEMENT, 1.0 / (1 + number // 20)))
    world.tick(T + 200 * SECOND_US)
    rebuilt = Rebuilt(world.ledger, world.fold.position, lambda _done, _all: None)
    assert rebuilt.differing_rows(world.tables) == []
    model, live = rebuilt.model(EPOCH), initial_model(world.fold.revisions.epoch(EPOCH))  # type: ignore[arg-type]
    Trainer(world.ledger, world.tables, world.fold.revisions).teach(live)
    assert model.policy.save() == live.policy.save()
    rebuilt.close()
