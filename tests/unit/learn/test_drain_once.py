"""Every record is drained once, whatever fails, dies or restarts in between, decisions before feedback."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import RecordKind, Salt
from tests.unit.learn.service_in_memory import SALTS, ServiceInMemory, Writer
from tests.unit.learn.worlds import (
    WINDOW_S,
    WINDOW_US,
    bodies,
    catalog,
    decision_of,
    feedback_of,
    placement,
    stored,
)

EPOCH = epoch_of(placement()).id


def written(service: ServiceInMemory, writer: Writer) -> None:
    """Record what a busy second brings."""
    for number in range(3):
        writer.decide(decision_of(number, service.clock_us, epoch=EPOCH), f"visitor-{number % 2}")
        writer.hear(feedback_of("f", service.clock_us, decision=number))
        writer.hear(feedback_of(f"v{number}", service.clock_us), f"visitor-{number % 2}")


def without_ticks(service: ServiceInMemory) -> list[tuple[RecordKind, bytes]]:
    """Return the records; which rounds wrote a TICK may differ."""
    return [
        (record.kind, record.data) for record in service.ledger.records() if record.kind != RecordKind.TICK
    ]


def run_with_failure(fail_at: int) -> tuple[ServiceInMemory, bool]:
    """Run a fixed history whose statement number `fail_at` fails once; return whether it was reached."""
    service = ServiceInMemory()
    writer = service.writer(1)
    service.apply(writer, stored(1, catalog()))
    service.run_for(0.1)
    written(service, writer)
    service.clock_us += 100_000
    service.boot_us += 100_000
    service.connection.fail_at = fail_at
    service.learner.step()
    was_reached = service.connection.fail_at == -1 and fail_at >= 0
    service.connection.fail_at = -1
    service.learner.step()
    service.run_for(WINDOW_S + 2)
    return service, was_reached


def test_a_transaction_that_fails_anywhere_leaves_every_record_in_once() -> None:
    """Each statement of a round fails in turn, BEGIN and COMMIT included: no loss, no repeat."""
    reference, _ = run_with_failure(-1)
    expected = without_ticks(reference)
    fail_at, was_reached = 0, True
    while was_reached:
        service, was_reached = run_with_failure(fail_at)
        assert not service.connection.in_transaction
        assert without_ticks(service) == expected, fail_at
        assert service.learner.fold.position == service.ledger.last_position()
        fates = service.learner.tables.fate_counts()
        assert fates == {Fate.APPLIED: 6}, fail_at
        assert service.learner.tables.state("position") == service.ledger.last_position()
        fail_at += 1
    assert fail_at > 60


@settings(max_examples=25)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("decide"), st.integers(1, 3), st.sampled_from("ab")),
            st.tuples(st.just("hear"), st.integers(1, 3), st.sampled_from("ab")),
            st.tuples(st.just("step"), st.just(0), st.just("")),
            st.tuples(st.just("die"), st.integers(1, 3), st.just("")),
            st.tuples(st.just("restart"), st.just(0), st.just("")),
        ),
        max_size=40,
    )
)
def test_whatever_the_interleaving_feedback_finds_its_decision_and_nothing_is_lost_or_repeated(
    events: list[tuple[str, int, str]],
) -> None:
    """Three writers that die and come back, a learner that restarts, rounds in between."""
    service = ServiceInMemory()
    service.apply(service.writer(100), stored(1, catalog()))
    writers = {number: service.writer(number) for number in (1, 2, 3)}
    decided: list[int] = []
    heard: list[Feedback] = []
    for event, number, visitor in events:
        service.clock_us += 1000
        service.boot_us += 1000
        match event:
            case "decide":
                decided.append(len(decided) + 1)
                writers[number].decide(decision_of(decided[-1], service.clock_us, epoch=EPOCH), visitor)
            case "hear" if decided:
                heard.append(feedback_of(f"f{len(heard)}", service.clock_us, decision=decided[-1]))
                writers[number].hear(heard[-1])
            case "step":
                service.learner.step()
            case "die":
                writers[number].die()
                writers[number] = service.writer(10 * len(decided) + 1000 * len(heard) + service.clock_us)
            case "restart":
                service.start()
    service.run_for(0.1)
    found = bodies(service.ledger.records())
    numbers = sorted(int.from_bytes(body.decision_id) for body in found if isinstance(body, Decision))
    assert numbers == decided
    assert sorted(body.feedback_id for body in found if isinstance(body, Feedback)) == sorted(
        item.feedback_id for item in heard
    )
    assert service.learner.tables.fate_counts() == ({Fate.APPLIED: len(heard)} if heard else {})


def test_salts_and_windows_are_as_the_tests_assume() -> None:
    """Guards the worlds these tests are built on."""
    assert all(isinstance(salt, Salt) for salt in SALTS)
    assert WINDOW_US == WINDOW_S * 1e6
