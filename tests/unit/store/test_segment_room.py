"""Room ahead of a journal's end: there while it takes appends, and given back when it takes no more."""

from __future__ import annotations

import pytest

from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.segment_reader import list_segments
from offer_optimizer.store.segment_writer import ROLL_BYTES, ROOM_BYTES, JournalSyncer
from tests.unit.store.test_segments import Faults, make


def rooms(files: MemoryFiles) -> list[int]:
    """Return what is reserved behind the end of each segment."""
    return [files.disk.room_behind(segment.path) for segment in list_segments(files, "/data")]


def test_the_syncer_keeps_room_ahead_of_what_is_appended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a sync has to allocate, appends wait for it."""
    files, reserved = MemoryFiles(), list[int]()
    monkeypatch.setattr(files.disk, "reserve", lambda _fd, size: reserved.append(size))
    writer = make(files, roll_bytes=ROLL_BYTES)
    syncer = JournalSyncer(writer, 0.05)
    ends = []
    for _ in range(60):
        ends.append(writer.append(bytes(30_000)))
        syncer.sync_once()
    assert all(any(end + ROOM_BYTES // 2 <= room for room in reserved) for end in ends)
    assert len(reserved) < 10, "not at each of 60 syncs"


def test_a_segment_has_no_more_room_than_it_grows() -> None:
    files = MemoryFiles()
    writer = make(files, roll_bytes=100_000)
    syncer = JournalSyncer(writer, 0.05)
    for _ in range(5):
        end = writer.append(bytes(10_000))
        syncer.sync_once()
        assert rooms(files) == [100_000 - end]


def test_segments_that_were_rolled_and_closed_keep_no_room() -> None:
    files = MemoryFiles()
    writer = make(files, roll_bytes=100_000)
    syncer = JournalSyncer(writer, 0.05)
    for _ in range(25):
        writer.append(bytes(30_000))
        syncer.sync_once()
    *rolled, living = rooms(files)
    assert living > 0
    assert rolled == [0] * 6
    syncer.stop()
    writer.close()
    assert rooms(files) == [0] * 7


def test_a_segment_that_was_given_up_keeps_no_room() -> None:
    faults = Faults()
    files = MemoryFiles(faults)
    writer = make(files)
    syncer = JournalSyncer(writer, 0.05)
    writer.append(b"one")
    syncer.sync_once()
    assert rooms(files)[0] > 0
    writer.append(b"two")
    faults.steps = {"journal.sync"}
    assert not syncer.sync_once()
    assert rooms(files) == [0]


def test_behind_a_cut_there_is_room_again() -> None:
    files = MemoryFiles()
    writer = make(files)
    syncer = JournalSyncer(writer, 0.05)
    writer.append(b"one")
    syncer.sync_once()
    files.disk.capacity_bytes = files.size(str(writer.path)) + 5
    with pytest.raises(StorageUnavailable):
        writer.append(bytes(100))
    assert rooms(files) == [0]
    files.disk.capacity_bytes = None
    writer.append(b"two")
    syncer.sync_once()
    assert rooms(files)[0] > 0


def test_who_stops_reserves_nothing_more() -> None:
    files = MemoryFiles()
    writer = make(files)
    writer.append(b"one")
    JournalSyncer(writer, 0.05).stop()
    assert rooms(files) == [0]
