"""A jump of the clock stops attribution until an operator accepts it, through restarts too."""

from __future__ import annotations

from pathlib import Path

import pytest

from offer_optimizer.core.control import Audit, ClockAccepted
from offer_optimizer.store.clock_file import ClockFile
from offer_optimizer.store.codec import RecordKind
from offer_optimizer.store.memory_files import MemoryFiles
from tests.unit.learn.histories import FIRST, check, current, visit
from tests.unit.learn.service_in_memory import ServiceInMemory, Writer
from tests.unit.learn.worlds import WINDOW_S, catalog, stored

AUDIT = Audit("ops", "the time server was wrong", 1)


@pytest.fixture
def service() -> ServiceInMemory:
    return ServiceInMemory()


@pytest.fixture
def writer(service: ServiceInMemory) -> Writer:
    made = service.writer(1)
    service.apply(made, stored(1, catalog(FIRST)))
    service.run_for(0.1)
    return made


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_learner_that_starts_in_a_jump_waits_until_it_is_accepted(
    service: ServiceInMemory, writer: Writer, jump_s: int
) -> None:
    visit(service, writer, 1)
    service.run_for(1.0)
    before_us = service.learner.fold.time_us
    service.clock_us += jump_s * 1_000_000
    service.run_for(1.0)
    service.start()
    service.run_for(WINDOW_S + 2)
    assert service.learner.fold.time_us == before_us
    service.steer(writer, ClockAccepted(AUDIT))
    service.run_for(1.0)
    service.start()
    # After a jump back, ledger time stands still until the clock is where it was.
    service.run_for(max(-jump_s, 0) + WINDOW_S + 2)
    assert current(service).learned_count == 1
    assert check(service) == [True]
    accepted = [
        record.body() for record in service.ledger.records() if record.kind is RecordKind.CLOCK_ACCEPTED
    ]
    assert accepted == [ClockAccepted(AUDIT)]


def test_after_a_boot_the_clock_is_taken_as_it_is(service: ServiceInMemory, writer: Writer) -> None:
    visit(service, writer, 1)
    service.run_for(1.0)
    service.clock_us += 86_400_000_000
    service.boot_us = 5_000_000
    service.boot = "another boot"
    service.start()
    service.run_for(WINDOW_S + 2)
    assert current(service).learned_count == 1


def test_a_clock_that_drifted_slowly_before_a_restart_is_still_trusted(
    service: ServiceInMemory, writer: Writer
) -> None:
    for _ in range(30):
        service.clock_us += 5_000_000
        service.run_for(0.1)
    service.start()
    visit(service, writer, 1)
    service.run_for(WINDOW_S + 2)
    assert current(service).learned_count == 1


def test_the_offset_is_written_when_it_moves_and_not_at_every_look(
    service: ServiceInMemory, writer: Writer
) -> None:
    steps: list[str] = []
    service.on_step = lambda step, _moment: steps.append(step)
    for _ in range(20):
        service.clock_us += 100_000
        service.run_for(0.1)
    assert 2 <= sum(step == "clock.write.rename" for step in steps) <= 4


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"[]", b'{"boot_id": "b"}', b'{"boot_id": "b", "offset_us": "x"}']
)
def test_a_file_that_says_nothing_counts_as_not_there(content: bytes) -> None:
    files = MemoryFiles(directories=("/data",))
    kept = ClockFile(files, Path("/data/clock"), "b")
    assert kept.load() is None
    kept.save(-5)
    assert kept.load() == -5
    files.replace("/data/clock", content, "test")
    assert kept.load() is None
