"""Freeze, resume, rollback and quarantine: what the learner's model is made of, whatever is mixed.

The oracle keeps lists: what each version had learned, by hand; a rollback takes the list of its version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offer_optimizer.core.control import Audit, Learning, Quarantine, Rollback
from offer_optimizer.learn import models
from offer_optimizer.learn.examples import ExampleMaker
from offer_optimizer.learn.lineage import WHOLE
from offer_optimizer.learn.trainer import initial_model
from offer_optimizer.store.fold_tables import ClosedDecision, CloseStatus
from offer_optimizer.store.snapshots import Snapshot
from tests.unit.learn.histories import E1, FIRST, check, current, visit
from tests.unit.learn.service_in_memory import ServiceInMemory, Writer
from tests.unit.learn.worlds import PLACEMENT, WINDOW_S, WINDOW_US, catalog, decision_of, feedback_of, stored

AUDIT = Audit("ops", "a test", 1)


@pytest.fixture(autouse=True)
def small_slices() -> Iterator[None]:
    """Training anew takes several rounds, so that other things happen in its middle."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "SLICE", 2)
        patch.setattr(models, "SLICES", 2)
        yield


class Shop:
    """A service whose learner is steered, and the lists of what each version must have learned."""

    def __init__(self) -> None:
        self.service = ServiceInMemory()
        self.writer: Writer = self.service.writer(1)
        self.service.apply(self.writer, stored(1, catalog(FIRST)))
        self.service.run_for(0.1)
        self.visits = 0
        self.learned: list[ClosedDecision] = []
        self.noted = 0
        self.versions: list[tuple[Snapshot, list[ClosedDecision]]] = []
        self.quarantined: list[tuple[int, int, str]] = []
        self.frozen = False
        self.note()

    def visit(self) -> None:
        visit(self.service, self.writer, self.visits)
        self.visits += 1

    def run(self, seconds: float = 0.1) -> None:
        self.service.run_for(seconds)
        self.note()

    def note(self) -> None:
        """Append what has closed since, by a look at the table of closed decisions alone."""
        rows = self.service.learner.tables.settled("closed", 2**62)
        closed = sorted(rows, key=lambda row: row[2:4])
        new = closed[self.noted :]
        self.noted = len(closed)
        assert all((row[4] == CloseStatus.FROZEN) == self.frozen for row in new)
        self.learned += [
            ClosedDecision(PLACEMENT, E1, int(row[2]), int(row[3]), CloseStatus(row[4]), float(row[5]), False)  # type: ignore[call-overload, arg-type]
            for row in new
            if row[4] == CloseStatus.LEARNED
        ]
        # What is quarantined stays in the lists: the end filters.
        self.versions.append((current(self.service), list(self.learned)))

    def freeze(self, frozen: bool) -> None:
        self.service.steer(self.writer, Learning(PLACEMENT, frozen, AUDIT))
        self.run()
        self.frozen = frozen

    def roll_back(self, number: int) -> None:
        """Go back to a version that is kept, or to the initial model."""
        kept = [snapshot for _, snapshot in self.service.snapshots.readable(PLACEMENT, E1)]
        initial = (Snapshot(PLACEMENT, E1, "vw", 0, 0, 0, 0, b""), list[ClosedDecision]())
        known = [initial, *(version for version in self.versions if version[0] in kept)]
        self.roll_back_to(*known[number % len(known)])

    def roll_back_to(self, snapshot: Snapshot, learned: list[ClosedDecision]) -> None:
        self.learned = list(learned)
        self.service.steer(
            self.writer,
            Rollback(
                PLACEMENT,
                E1,
                snapshot.ledger_position,
                snapshot.close_time_us,
                snapshot.close_position,
                snapshot.learned_count,
                AUDIT,
            ),
        )
        self.run()

    def quarantine(self, seconds_ago: int, length_s: int, source: str = "") -> None:
        start_us = self.service.clock_us - seconds_ago * 1_000_000
        self.quarantined.append((start_us, start_us + length_s * 1_000_000, source))
        self.service.steer(self.writer, Quarantine("", *self.quarantined[-1][:2], "", source, AUDIT))

    def expected_state(self) -> bytes:
        """Train a policy on the list, without what is quarantined."""
        learner = self.service.learner
        epoch = learner.fold.revisions.epoch(E1)
        assert epoch is not None
        model = initial_model(epoch)
        maker = ExampleMaker(self.service.ledger, learner.tables, learner.fold.revisions)
        for lesson in self.learned:
            decided_us = lesson.close_time_us - WINDOW_US
            if any(start <= decided_us < end for start, end, _ in self.quarantined):
                continue
            found = maker.make(lesson, WHOLE)
            assert found is not None
            model.policy.learn(found)
        return model.policy.save()

    def settle(self) -> None:
        """Let all windows close and all training end."""
        self.run(WINDOW_S + 2)
        for _ in range(self.visits // 4 + 3):
            self.run()
        assert check(self.service) == [True]


VERBS = st.one_of(
    st.tuples(st.just("visit")),
    st.tuples(st.just("visit")),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 3.0, 11.0])),
    st.tuples(st.just("freeze"), st.booleans()),
    st.tuples(st.just("roll back"), st.integers(0, 50)),
    st.tuples(st.just("quarantine"), st.integers(0, 40), st.integers(1, 20)),
    st.tuples(st.just("restart")),
)


@settings(max_examples=25)
@given(st.lists(VERBS, min_size=5, max_size=40))
@example([("visit",), ("wait", 11.0), ("wait", 3.0), ("visit",), ("wait", 11.0), ("roll back", 0)])
def test_the_model_is_made_of_what_the_verbs_left_and_a_rebuild_makes_it_again(
    verbs: list[tuple[object, ...]],
) -> None:
    shop = Shop()
    for verb in verbs:
        match verb:
            case ("visit",):
                shop.visit()
            case ("wait", float(seconds)):
                shop.run(seconds)
            case ("freeze", bool(frozen)):
                shop.freeze(frozen)
            case ("roll back", int(number)):
                shop.roll_back(number)
            case ("quarantine", int(ago), int(length)):
                shop.quarantine(ago, length)
            case ("restart",):
                shop.service.start()
                assert check(shop.service) == [True]
        shop.run()
    shop.settle()
    assert current(shop.service).state == shop.expected_state()


def test_what_closes_while_learning_is_frozen_is_never_learned_and_what_closes_later_is() -> None:
    shop = Shop()
    for _ in range(3):
        shop.visit()
    shop.run(WINDOW_S - 1)
    shop.freeze(frozen=True)
    shop.visit()
    shop.run(3.0)
    assert current(shop.service).learned_count == 0
    shop.freeze(frozen=False)
    shop.settle()
    assert current(shop.service).learned_count == 1
    statuses = [row[4] for row in shop.service.learner.tables.settled("closed", 2**62)]
    assert sorted(statuses) == [CloseStatus.LEARNED, *[CloseStatus.FROZEN] * 3]  # type: ignore[type-var]


def test_a_rollback_serves_the_old_model_in_the_round_that_drains_it() -> None:
    shop = Shop()
    shop.visit()
    shop.run(WINDOW_S + 2)
    before = current(shop.service)
    shop.visit()
    shop.run(WINDOW_S + 2)
    assert current(shop.service).learned_count == 2
    shop.roll_back_to(*next(version for version in shop.versions if version[0] == before))
    after = current(shop.service)
    assert (after.state, after.learned_count) == (before.state, 1)
    assert after.ledger_position > before.ledger_position


def test_rollbacks_behind_rollbacks_give_what_the_last_version_had_and_what_came_later() -> None:
    """Back to 2, to 3 on the new branch, to 4 on the one that was left, and behind all of that to 1."""
    shop = Shop()
    for _ in range(5):
        shop.visit()
        shop.run(WINDOW_S + 2)
    by_count = {snapshot.learned_count: (snapshot, learned) for snapshot, learned in shop.versions}
    learned_counts = []
    for count in (2, 4, 1):
        shop.roll_back_to(*by_count[count])
        shop.visit()
        shop.run(WINDOW_S + 2)
        learned_counts.append(current(shop.service).learned_count)
        assert current(shop.service).state == shop.expected_state()
        shop.service.start()
        shop.run()
        assert current(shop.service).state == shop.expected_state()
        assert check(shop.service) == [True]
        if count == 2:
            newest = shop.versions[-1]
            shop.visit()
            shop.run(WINDOW_S + 2)
            shop.roll_back_to(*newest)
            assert current(shop.service).learned_count == 3
    assert learned_counts == [3, 5, 2]


def test_a_restart_in_the_middle_of_training_serves_the_present_model_and_trains_on() -> None:
    shop = Shop()
    for _ in range(20):
        shop.visit()
        shop.run(1.0)
    shop.run(WINDOW_S)
    shop.quarantine(25, 8)
    for restart in range(10):
        shop.run()
        if restart < 3:
            assert current(shop.service).learned_count == 20
            shop.service.start()
            shop.visit()
    shop.settle()
    assert current(shop.service).learned_count == 15
    assert current(shop.service).state == shop.expected_state()


def test_the_present_model_learns_on_until_the_one_without_the_quarantine_has_caught_up() -> None:
    shop = Shop()
    for _ in range(20):
        shop.visit()
        shop.run(1.0)
    shop.run(WINDOW_S)
    assert current(shop.service).learned_count == 20
    shop.quarantine(25, 8)
    shop.visit()
    counts = []
    for _ in range(12):
        shop.run(2.0)
        counts.append(current(shop.service).learned_count)
    assert counts[:4] == [20] * 4
    assert counts[-1] == 13
    assert current(shop.service).state == shop.expected_state()


def test_a_model_that_only_meets_what_is_quarantined_says_how_far_it_has_come() -> None:
    """Else it would look like one that can't publish."""
    shop = Shop()
    shop.visit()
    shop.run(WINDOW_S + 2)
    shop.quarantine(0, 1000)
    for _ in range(3):
        shop.visit()
        shop.run(WINDOW_S + 2)
    found = current(shop.service)
    assert (found.learned_count, found.state) == (1, shop.expected_state())
    assert (found.close_time_us, found.close_position) == (
        shop.learned[-1].close_time_us,
        shop.learned[-1].position,
    )


@pytest.mark.parametrize("source", ["crm", "page"])
def test_a_quarantine_of_a_source_leaves_out_what_it_sent_feedback_for(source: str) -> None:
    service = ServiceInMemory()
    writer = service.writer(1)
    service.apply(writer, stored(1, catalog(FIRST)))
    service.run_for(0.1)
    for number in range(6):
        writer.decide(decision_of(number, service.clock_us, epoch=E1))
        item = feedback_of("f", service.clock_us, decision=number)
        sent_by = ("crm", "page", "")[number % 3] if number < 4 else "crm"
        # The last two come in after the interval.
        service.clock_us += 5_000_000 * (number == 4)
        service.boot_us += 5_000_000 * (number == 4)
        writer.hear(replace(item, receive_time_us=service.clock_us, source=sent_by))
    service.run_for(WINDOW_S + 2)
    end_us = service.clock_us - round((WINDOW_S + 2) * 1e6)
    service.steer(writer, Quarantine(PLACEMENT, 0, end_us, "", source, AUDIT))
    for _ in range(5):
        service.run_for(0.1)
    assert current(service).learned_count == {"crm": 4, "page": 5}[source]
    assert check(service) == [True]


def test_the_ledger_goes_on_where_a_model_takes_over_so_that_no_two_models_share_a_version() -> None:
    shop = Shop()
    for _ in range(20):
        shop.visit()
        shop.run(1.0)
    shop.run(WINDOW_S)
    shop.quarantine(25, 8)
    learner = shop.service.learner
    learner.step()
    pair, position = learner._models.pairs[E1], learner.fold.position
    assert pair.anew is not None
    while pair.anew is not None:
        assert learner.fold.position == position
        learner.step()
    assert learner.fold.position == position + 1
