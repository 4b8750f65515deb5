"""History scored by another reward: what a promoted model is made of, and when it serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offer_optimizer.core.catalog import Placement, Reward
from offer_optimizer.core.control import Audit, Learning, Promotion, Quarantine
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.learn import models
from offer_optimizer.learn.lineage import END, Start
from offer_optimizer.learn.rescore import Rescorer
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.epoch import epoch_of, parse_description
from offer_optimizer.store.codec import RecordKind
from tests.unit.learn.histories import E1, FIRST, check, current, visit
from tests.unit.learn.service_in_memory import ServiceInMemory, Writer
from tests.unit.learn.worlds import (
    OFFERS,
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

AUDIT = Audit("ops", "a test", 1)
COUNTED = placement(reward=Reward(formula="count.click - 0.25 * offer.cost", min=-0.5, max=1.0))
NEW = epoch_of(COUNTED).id


@pytest.fixture(autouse=True)
def small_slices() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "SLICE", 2)
        patch.setattr(models, "SLICES", 2)
        yield


@pytest.fixture
def service() -> ServiceInMemory:
    return ServiceInMemory()


@pytest.fixture
def writer(service: ServiceInMemory) -> Writer:
    made = service.writer(1)
    service.apply(made, stored(1, catalog(FIRST)))
    return made


def promotion(part: Placement, *, uses_final: bool = False) -> Promotion:
    epoch = epoch_of(part)
    return Promotion(PLACEMENT, epoch.id, epoch.description, 0, 0, uses_final, AUDIT)


def expected(part: Placement, rewards: dict[int, float]) -> bytes:
    """Train a policy by hand on decisions by number, with rewards as the placement's formula makes them."""
    policy = registry.create(*parse_description(epoch_of(part).description))
    actions = tuple(Action(offer.id, offer.attributes) for offer in OFFERS)
    low, high = part.reward.min, part.reward.max
    for number, reward in rewards.items():
        device = Features(categories=(("device", "mobile" if number % 2 else "desktop"),))
        propensity = (0.5, 0.25, 0.25)[number % 3]
        policy.learn(Example(device, actions, number % 3, propensity, (reward - low) / (high - low)))
    return policy.save()


def by_count(number: int) -> float:
    """Return what COUNTED makes of `visit`: a click for two in three, and offer 1 costs 0.25."""
    return (1.0 if number % 3 else 0.0) - (0.0625 if number % 3 == 1 else 0.0)


def train(service: ServiceInMemory, rounds: int = 30) -> None:
    for _ in range(rounds):
        service.run_for(0.1)


def test_a_promoted_model_learns_history_by_its_own_reward_and_waits_for_the_catalog(
    service: ServiceInMemory, writer: Writer
) -> None:
    for number in range(20):
        visit(service, writer, number)
        service.run_for(0.5)
    service.run_for(WINDOW_S + 2)
    before = current(service)
    service.steer(writer, promotion(COUNTED))
    service.run_for(0.1)
    assert service.snapshots.current_name(PLACEMENT, NEW) is None
    train(service)
    rewards = {number: by_count(number) if number % 3 else 0.0 for number in range(20)}
    assert current(service, NEW).state == expected(COUNTED, rewards)
    assert service.snapshots.promoted_names(PLACEMENT) == {service.snapshots.current_name(PLACEMENT, NEW)}
    assert current(service) == before

    service.apply(writer, stored(2, catalog(COUNTED)))
    service.run_for(0.1)
    for number in range(20, 25):
        visit(service, writer, number, NEW, 2)
    service.run_for(WINDOW_S + 2)
    rewards |= {number: by_count(number) if number % 3 else 0.0 for number in range(20, 25)}
    assert current(service, NEW).state == expected(COUNTED, rewards)
    assert check(service) == [True, True]


def test_what_closes_behind_the_promotion_under_the_old_epoch_is_not_learned_by_the_new_one(
    service: ServiceInMemory, writer: Writer
) -> None:
    for number in range(4):
        visit(service, writer, number)
    service.run_for(WINDOW_S + 2)
    visit(service, writer, 4)
    service.steer(writer, promotion(COUNTED))
    train(service)
    service.run_for(WINDOW_S + 2)
    assert current(service).learned_count == 5
    assert current(service, NEW).learned_count == 4


def test_a_restart_in_the_middle_and_a_quarantine_in_the_middle_end_in_what_the_ledger_says(
    service: ServiceInMemory, writer: Writer
) -> None:
    times = []
    for number in range(30):
        times.append(service.clock_us)
        visit(service, writer, number)
        service.run_for(1.0)
    service.run_for(WINDOW_S + 2)
    service.steer(writer, promotion(COUNTED))
    service.run_for(0.1)
    service.start()
    service.run_for(0.1)
    service.steer(writer, Quarantine("", times[5], times[9], "", "", AUDIT))
    service.run_for(0.1)
    service.start()
    train(service)
    rewards = {number: by_count(number) if number % 3 else 0.0 for number in range(30) if not 5 <= number < 9}
    assert current(service, NEW).state == expected(COUNTED, rewards)
    assert current(service).learned_count == 26
    assert check(service) == [True, True]


def test_what_closed_while_learning_was_frozen_is_no_history(
    service: ServiceInMemory, writer: Writer
) -> None:
    visit(service, writer, 1)
    service.run_for(WINDOW_S + 2)
    service.steer(writer, Learning("", True, AUDIT))
    visit(service, writer, 2)
    service.run_for(WINDOW_S + 2)
    service.steer(writer, promotion(COUNTED))
    train(service)
    assert current(service, NEW).learned_count == 1


def test_final_history_counts_what_came_late_and_not_what_was_taken_back_up_to_the_promotion(
    service: ServiceInMemory, writer: Writer
) -> None:
    """The same epoch: its model is replaced, and what comes later still changes nothing."""
    rewards = {}
    for number in range(4):
        writer.decide(decision_of(number, service.clock_us, epoch=E1))
        writer.hear(feedback_of("f", service.clock_us, decision=number, value=0.5))
        rewards[number] = 0.5
    service.run_for(WINDOW_S + 2)
    late = feedback_of("late", service.clock_us, decision=1, value=1.0)
    back = Feedback("b", (2).to_bytes(16, "big"), "", 0, "click", 0.0, service.clock_us, None, "f")
    writer.hear(late)
    writer.hear(back)
    service.run_for(1.0)
    service.steer(writer, promotion(FIRST, uses_final=True))
    service.run_for(0.1)
    writer.hear(replace(late, decision_id=(3).to_bytes(16, "big")))
    train(service)
    rewards |= {1: 1.5, 2: 0.125}
    assert current(service).state == expected(FIRST, rewards)
    assert check(service) == [True]
    service.start()
    train(service)
    assert current(service).state == expected(FIRST, rewards)


def test_an_epoch_record_precedes_a_promotion_to_an_epoch_that_is_new(
    service: ServiceInMemory, writer: Writer
) -> None:
    service.steer(writer, promotion(COUNTED))
    service.steer(writer, promotion(COUNTED))
    train(service, 2)
    kinds = [record.kind for record in service.ledger.records()]
    assert kinds.count(RecordKind.EPOCH) == 2
    assert kinds.index(RecordKind.PROMOTION) == len(kinds) - 1 - kinds[::-1].index(RecordKind.EPOCH) + 1


ITEMS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["click", "dismiss", "shown", "scroll", "strange"]),
        st.sampled_from(["", "a", "b"]),
        st.integers(0, 9_000_000),
        st.sampled_from([0.5, 1.0, 2.0]),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(ITEMS, st.integers(0, 3_000_000))
def test_scored_by_its_own_formula_a_decision_earns_what_was_learned(
    items: list[tuple[int, str, str, int, float]], late_by_us: int
) -> None:
    """Also where the clock went back, so that effective times are not those of the records."""
    reward = Reward(
        formula="sum.click - median.dismiss + 0.1 * delay_s.click", min=-9.0, max=9.0, default=0.5
    )
    world = World()
    part = placement(reward=reward)
    epoch = world.apply(1, catalog(part))
    world.tick(START_US)
    positions = [
        world.decide(decision_of(number, START_US - late_by_us + number, epoch=epoch)) for number in range(6)
    ]
    for at, (number, kind, retracts, after_us, value) in enumerate(items):
        item = feedback_of(
            "ab"[at] if at < 2 else f"f{at}",
            START_US + after_us - late_by_us,
            decision=number,
            kind=kind,
            value=value,
        )
        world.hear(replace(item, retracts_feedback_id=retracts))
    world.tick(START_US + 2 * WINDOW_US)
    rescorer = Rescorer(world.ledger, world.tables, world.fold.revisions)
    start = Start(10**6, replace(promotion(part), close_time_us=END[0], close_position=END[1]))
    for position in positions:
        closed = world.tables.closed_at(position)
        decision = world.ledger.record_at(position).body()
        assert closed is not None
        assert rescorer.earned(closed, decision, start).reward == closed.reward  # type: ignore[arg-type]
