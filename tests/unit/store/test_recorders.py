"""Recorders show in the writer's cells what the disk refuses, until it takes it again."""

from __future__ import annotations

import errno

import pytest

from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.store.files import Moment
from offer_optimizer.store.group_sync import GroupSync
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.recorders import Inbox, Journal
from offer_optimizer.store.segment_writer import JournalSyncer, SegmentWriter
from offer_optimizer.store.writer_cells import Refused, WriterCells, read_cells
from tests.unit.learn.worlds import decision_of, feedback_of

BOOT = "01234567-89ab-cdef-0123-456789abcdef"
WRITER = "00000000000000aa"


class World:
    """One process's recorders over a disk that fails the steps that are named."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.files = MemoryFiles(self._on_step)
        self.cells = WriterCells.create(self.files, "/data", WRITER, 7, 0)
        self.writer = SegmentWriter(self.files, "/data", "journal", BOOT, WRITER)
        inbox = SegmentWriter(self.files, "/data", "inbox", BOOT, WRITER)
        self.journal = Journal(self.writer, self.cells, lambda: 5)
        self.inbox = Inbox(GroupSync(inbox), self.cells, lambda: 6)

    def _on_step(self, step: str, moment: Moment) -> None:
        if moment == "before" and step in self.failing:
            raise OSError(errno.EIO, "made to fail")

    def shown(self) -> dict[Refused, int]:
        (reading,) = read_cells(self.files, "/data")
        return dict(reading.refused_us)


def test_what_is_refused_is_shown_until_it_is_taken() -> None:
    world = World()
    world.journal.append(decision_of(1, 1, epoch=b"e" * 16), b"")
    world.inbox.append_durable([(b"", feedback_of("f", 1, decision=1))])
    assert world.shown() == {}
    world.failing = {"journal.append", "inbox.sync"}
    with pytest.raises(StorageUnavailable):
        world.journal.append(decision_of(2, 1, epoch=b"e" * 16), b"")
    with pytest.raises(StorageUnavailable):
        world.inbox.append_durable([(b"", feedback_of("g", 1, decision=1))])
    assert world.shown() == {Refused.JOURNAL: 5, Refused.INBOX: 6}
    world.failing = set()
    world.journal.append(decision_of(2, 1, epoch=b"e" * 16), b"")
    assert world.shown() == {Refused.INBOX: 6}
    world.inbox.append_durable([(b"", feedback_of("g", 1, decision=1))])
    assert world.shown() == {}


def test_a_batch_that_is_refused_is_shown_as_a_single_decision_is() -> None:
    """Health says that a disk refuses decisions, whichever call they came by."""
    world = World()
    entries = [(decision_of(number, 1, epoch=b"e" * 16), b"") for number in (1, 2)]
    world.failing = {"journal.append"}
    assert world.journal.append_all(entries) == 0
    assert world.shown() == {Refused.JOURNAL: 5}
    world.failing = set()
    assert world.journal.append_all(entries) == 2
    assert world.shown() == {}


def test_a_sync_that_the_disk_refuses_is_told_and_the_next_good_one_too() -> None:
    world = World()
    told: list[StorageUnavailable | None] = []
    syncer = JournalSyncer(world.writer, tell=told.append)
    for failing in (set(), {"journal.sync"}, set(), set()):
        world.writer.append(b"x")
        world.failing = failing
        syncer.sync_once()
    assert [failure is not None for failure in told] == [True, False]
    assert "made to fail" in str(told[0])
