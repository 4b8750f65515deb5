"""Draining: every record once, decisions before their feedback, ledger time behind what is under way."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Fate
from offer_optimizer.core.limits import PARKED_S
from offer_optimizer.learn.drain import TICK_MARGIN_US
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import Epoch, RecordKind, StoredCatalog, Tick
from offer_optimizer.store.segment_reader import list_segments
from tests.unit.learn.service_in_memory import SALTS, SEGMENTS, ServiceInMemory, Writer
from tests.unit.learn.worlds import (
    START_US,
    WINDOW_S,
    bodies,
    catalog,
    decision_of,
    feedback_of,
    placement,
    stored,
)

EPOCH = epoch_of(placement()).id


@pytest.fixture
def service() -> ServiceInMemory:
    return ServiceInMemory()


@pytest.fixture
def writer(service: ServiceInMemory) -> Writer:
    made = service.writer(1)
    service.apply(made, stored(1, catalog()))
    return made


def kinds(service: ServiceInMemory) -> list[RecordKind]:
    return [record.kind for record in service.ledger.records()]


def now(service: ServiceInMemory, number: int, **changes: object) -> Decision:
    return decision_of(number, service.clock_us, epoch=EPOCH, **changes)  # type: ignore[arg-type]


def test_a_fresh_ledger_begins_with_the_salts(service: ServiceInMemory) -> None:
    assert bodies(service.ledger.records()) == list(SALTS)
    service.start()
    assert bodies(service.ledger.records()) == list(SALTS)


def test_a_decision_precedes_its_feedback_whoever_wrote_them(
    service: ServiceInMemory, writer: Writer
) -> None:
    """Though the feedback's segment comes first by name, and both come in one round."""
    early, late = service.writer(2), service.writer(3)
    late.decide(now(service, 1), "ann")
    early.hear(feedback_of("f", service.clock_us, decision=1))
    early.hear(feedback_of("g", service.clock_us), "ann")
    service.run_for(0.1)
    assert service.learner.fold.counts.fates == {Fate.APPLIED: 2}


def test_a_decision_and_feedback_written_while_the_learner_looks_keep_their_order(
    service: ServiceInMemory, writer: Writer
) -> None:
    """Looking at the inbox first: what is written between two looks is taken next time, or in order."""
    looks = 0
    look = service.learner.drainer._look

    def look_and_write(kind: str) -> object:
        nonlocal looks
        looks += 1
        found = look(kind)
        writer.decide(now(service, looks))
        writer.hear(feedback_of("f", service.clock_us, decision=looks))
        return found

    service.learner.drainer._look = look_and_write  # type: ignore[assignment]
    for _ in range(3):
        service.learner.step()
    service.learner.drainer._look = look  # type: ignore[method-assign]
    service.run_for(0.1)
    assert looks >= 9
    assert service.learner.fold.counts.fates == {Fate.APPLIED: looks}


def test_a_tick_stays_a_second_behind_the_clock(service: ServiceInMemory, writer: Writer) -> None:
    writer.decide(now(service, 1))
    service.run_for(5.0)
    assert service.learner.fold.time_us == service.clock_us - TICK_MARGIN_US


def test_a_tick_never_passes_a_record_that_is_stamped_and_not_written(
    service: ServiceInMemory, writer: Writer
) -> None:
    """Not after minutes: the window of a decision stays open for feedback that is under way."""
    writer.decide(now(service, 1))
    service.run_for(1.0)
    with writer.inbox.stamp() as time_us:
        service.run_for(3 * WINDOW_S)
        assert service.learner.fold.time_us <= time_us
        writer.hear(feedback_of("f", time_us, decision=1))
    service.run_for(3 * WINDOW_S)
    assert service.learner.fold.counts.fates == {Fate.APPLIED: 1}
    assert service.learner.fold.counts.closed.total() == 1


def test_the_clock_is_read_before_the_cells_and_the_cells_before_the_segments(
    service: ServiceInMemory, writer: Writer
) -> None:
    """A record stamped and written between reading clock and ends may not be overtaken."""
    service.run_for(0.1)
    look = service.learner.drainer._look

    def look_late(kind: str) -> object:
        service.clock_us += 30_000_000
        service.boot_us += 30_000_000
        return look(kind)

    service.learner.drainer._look = look_late  # type: ignore[assignment]
    before_us = service.clock_us
    writer.decide(now(service, 1))
    service.learner.drainer.drain()
    assert service.learner.fold.time_us <= before_us


def test_a_dead_writer_does_not_hold_ledger_time(service: ServiceInMemory, writer: Writer) -> None:
    other = service.writer(2)
    thread = threading.Thread(target=lambda: other.cells.begin(lambda: service.clock_us))
    thread.start()
    thread.join()
    other.die()
    writer.decide(now(service, 1))
    service.run_for(30.0)
    assert service.learner.fold.counts.closed.total() == 1


def test_windows_close_on_quiet_traffic_and_an_idle_learner_writes_nothing(
    service: ServiceInMemory, writer: Writer
) -> None:
    writer.decide(now(service, 1))
    service.run_for(0.1)
    service.run_for(WINDOW_S + 2)
    assert service.learner.fold.counts.closed.total() == 1
    count = service.ledger.last_position()
    service.run_for(60.0)
    assert service.ledger.last_position() == count


def test_what_waited_in_vain_is_given_up_on_quiet_traffic(service: ServiceInMemory, writer: Writer) -> None:
    service.run_for(2)
    writer.hear(feedback_of("a", service.clock_us, decision=1))
    service.run_for(2)
    assert service.learner.tables.fate_counts() == {Fate.PARKED: 1}
    service.run_for(PARKED_S + 2)
    assert service.learner.tables.fate_counts() == {Fate.UNKNOWN: 1}
    before = len(kinds(service))
    service.run_for(100)
    assert len(kinds(service)) == before


def test_a_reward_is_made_final_on_quiet_traffic_once_the_clock_is_trusted_again(
    service: ServiceInMemory, writer: Writer
) -> None:
    service.run_for(2)
    writer.decide(now(service, 1))
    service.run_for(WINDOW_S + 5)
    service.clock_us += 100_000_000
    writer.hear(feedback_of("a", service.clock_us, decision=1))
    service.run_for(1)
    assert service.learner.tables.finals() == {}
    service.clock_us -= 100_000_000
    service.run_for(1)
    assert [reward for reward, _ in service.learner.tables.finals().values()] == [1.0]


def test_when_the_clock_goes_back_ledger_time_stands_still(service: ServiceInMemory, writer: Writer) -> None:
    writer.decide(now(service, 1))
    service.run_for(2.0)
    reached_us = service.learner.fold.time_us
    service.clock_us -= 30_000_000
    writer.decide(now(service, 2))
    service.run_for(1.0)
    assert service.learner.fold.time_us == reached_us
    assert Tick(reached_us) in bodies(service.ledger.records())


@pytest.mark.parametrize("jump_s", [61, -61, 86_400])
def test_a_jump_of_the_clock_stops_ledger_time_until_it_is_back(
    service: ServiceInMemory, writer: Writer, jump_s: int
) -> None:
    """Decisions are drained all the while."""
    service.run_for(0.1)
    service.clock_us += jump_s * 1_000_000
    writer.decide(decision_of(1, START_US, epoch=EPOCH))
    service.run_for(5.0)
    assert service.learner.fold.time_us < START_US
    assert service.learner.fold.counts.decisions == 1
    service.clock_us -= jump_s * 1_000_000
    service.run_for(WINDOW_S + 2)
    assert service.learner.fold.counts.closed.total() == 1


def test_small_corrections_of_the_clock_never_add_up_to_a_jump(
    service: ServiceInMemory, writer: Writer
) -> None:
    for number in range(30):
        service.clock_us += 5_000_000
        writer.decide(now(service, number))
        service.run_for(0.1)
    assert service.learner.fold.time_us == service.clock_us - TICK_MARGIN_US


def test_a_dead_writers_drained_segments_are_removed_and_a_living_ones_stay(
    service: ServiceInMemory, writer: Writer
) -> None:
    other = service.writer(2)
    for each in (writer, other):
        each.decide(now(service, id(each) % 1000))
    service.run_for(0.1)
    other.die()
    service.run_for(0.1)
    left = {segment.name.writer_id for segment in list_segments(service.files, SEGMENTS)}
    assert left == {f"{1:016x}"}
    assert set(service.ledger.segment_offsets()) == {
        str(segment.name) for segment in list_segments(service.files, SEGMENTS)
    }


def test_a_removed_segment_that_a_power_cut_brings_back_is_not_drained_twice(
    service: ServiceInMemory, writer: Writer
) -> None:
    """Its offset is forgotten only once its name is gone for good."""
    writer.decide(now(service, 1), "ann")
    writer.hear(feedback_of("f", service.clock_us), "ann")
    writer.die()
    service.files.sync_dir(SEGMENTS, "test")
    service.run_for(0.05)
    sync_dir = service.files.disk.sync_dir
    service.files.disk.sync_dir = lambda path: (_ for _ in ()).throw(OSError(5, "made to fail"))  # type: ignore[method-assign]
    service.files.remove(f"{SEGMENTS}/none", "test")
    service.run_for(0.05)
    service.files.disk.sync_dir = sync_dir  # type: ignore[method-assign]
    service.files.disk.power_cut()
    service.start()
    service.run_for(0.1)
    assert [kinds(service).count(kind) for kind in (RecordKind.DECISION, RecordKind.FEEDBACK)] == [1, 1]


def test_an_offset_behind_the_end_of_a_segment_means_its_rows_are_in_the_ledger(
    service: ServiceInMemory, writer: Writer
) -> None:
    """A power cut took the tail of a journal after the ledger had it."""
    writer.journal._writer.sync()
    writer.decide(now(service, 1))
    writer.journal._writer.sync()
    for number in (2, 3):
        writer.decide(now(service, number))
    service.run_for(0.1)
    service.files.disk.power_cut()
    service.start()
    service.run_for(0.1)
    assert kinds(service).count(RecordKind.DECISION) == 3
    assert list_segments(service.files, SEGMENTS) == []


def test_offsets_of_segments_removed_by_an_earlier_life_are_forgotten(service: ServiceInMemory) -> None:
    service.ledger.set_segment_offset("journal-01234567-00000000000000aa-000000.seg", 999)
    service.start()
    assert service.ledger.segment_offsets() == {}


def test_a_decision_that_comes_twice_counts_once_and_stops_nothing(
    service: ServiceInMemory, writer: Writer
) -> None:
    """As when somebody puts an old segment back."""
    writer.decide(now(service, 1))
    writer.decide(now(service, 1))
    writer.decide(now(service, 2))
    service.run_for(0.1)
    assert kinds(service).count(RecordKind.DECISION) == 2


def test_a_repeat_of_a_decision_that_was_moved_to_the_archive_stops_nothing(
    service: ServiceInMemory, writer: Writer
) -> None:
    """Its id is known for longer than its record; the learner had tried such a round again and again."""
    first = now(service, 1)
    writer.decide(first)
    service.run_for(0.1)
    service.connection.execute("DELETE FROM record WHERE kind = 1")
    writer.decide(first)
    writer.decide(now(service, 2))
    service.run_for(0.1)
    assert service.learner.retry_s == 0.0
    assert kinds(service).count(RecordKind.DECISION) == 1


def test_a_repeat_is_dropped_without_a_word_and_another_decision_of_its_id_is_not(
    service: ServiceInMemory, writer: Writer
) -> None:
    first = now(service, 1)
    with capture_logs() as logs:
        writer.decide(first)
        service.run_for(0.1)
        writer.decide(first)
        service.run_for(0.1)
        assert logs == []
        writer.decide(replace(first, decide_time_us=first.decide_time_us + 1))
        service.run_for(0.1)
    assert [entry["event"] for entry in logs] == ["decision_twice"]
    assert kinds(service).count(RecordKind.DECISION) == 1


def test_a_revision_file_without_control_record_is_taken_when_a_decision_names_it(
    service: ServiceInMemory, writer: Writer
) -> None:
    """The crash lay between the two; the revision before it comes first."""
    service.run_for(0.1)
    for revision in (2, 3):
        service.revisions.stored[revision] = stored(revision, catalog(placement(window_s=float(revision))))
    writer.decide(now(service, 1, revision=3))
    service.run_for(0.1)
    service.apply(writer, service.revisions.stored[3])
    service.run_for(0.1)
    found = [body.revision for body in bodies(service.ledger.records()) if isinstance(body, StoredCatalog)]
    assert found == [1, 2, 3]
    (opened,) = service.learner.tables.due(1 << 60, 10)
    assert opened.close_time_us - opened.decide_time_us == 3_000_000


def test_a_control_record_without_revision_file_is_taken_as_it_is(
    service: ServiceInMemory, writer: Writer
) -> None:
    service.run_for(0.1)
    service.revisions.stored.clear()
    second = stored(2, catalog())
    service.apply(writer, second)
    service.revisions.stored.clear()
    service.run_for(0.1)
    assert second in bodies(service.ledger.records())


def test_control_records_out_of_order_put_the_newest_in_force(service: ServiceInMemory) -> None:
    """Two deciders applied one revision each, and the later one's segment comes first by name."""
    first, second = service.writer(9), service.writer(2)
    service.apply(first, stored(1, catalog()))
    service.apply(second, stored(2, catalog(placement(window_s=5.0))))
    service.run_for(0.1)
    found = [body for body in bodies(service.ledger.records()) if isinstance(body, StoredCatalog | Epoch)]
    assert [body.revision for body in found if isinstance(body, StoredCatalog)] == [1, 2]
    assert service.learner.fold.revisions.newest == 2


def test_feedback_alone_makes_no_visitor_key(service: ServiceInMemory, writer: Writer) -> None:
    """Somebody without consent is never given one."""
    writer.hear(feedback_of("f", service.clock_us), "nobody")
    service.run_for(0.1)
    assert service.connection.execute("SELECT COUNT(*) FROM visitor").fetchone() == (0,)
    assert service.learner.fold.counts.fates == {Fate.UNATTRIBUTED: 1}
