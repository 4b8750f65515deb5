"""Group commit: shared syncs, nothing accepted that a power cut could take, failures for all concerned."""

from __future__ import annotations

import errno
import threading

import pytest

from offer_optimizer.core.errors import InvalidInput, StorageUnavailable
from offer_optimizer.store.files import Moment
from offer_optimizer.store.group_sync import GroupSync
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.segment_reader import list_segments, read_frames
from offer_optimizer.store.segment_writer import SegmentWriter

BOOT = "0123456789abcdef"
WRITER = "00000000000000aa"
SOON_S = 20.0
"""Far longer than anything here takes; only a defect waits for it."""


class Disk:
    """Lets tests hold a sync, fail it, and wait until a number of appends is done."""

    def __init__(self) -> None:
        self.appended = threading.Semaphore(0)
        self.sync_begins = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self.fails = False

    def __call__(self, step: str, moment: Moment) -> None:
        if (step, moment) == ("inbox.append", "after"):
            self.appended.release()
        if (step, moment) == ("inbox.sync", "before"):
            self.sync_begins.release()
            assert self.go_on.wait(SOON_S)
            if self.fails:
                raise OSError(errno.EIO, "made to fail")

    def wait_appended(self, count: int) -> None:
        for _ in range(count):
            assert self.appended.acquire(timeout=SOON_S)


class Callers:
    """Threads that each append one record, and what they were told."""

    def __init__(self, group: GroupSync) -> None:
        self.group = group
        self.threads: list[threading.Thread] = []
        self.accepted: set[bytes] = set()
        self.refused: dict[bytes, str] = {}

    def start(self, *payloads: bytes) -> None:
        for payload in payloads:
            thread = threading.Thread(target=self.call, args=(payload,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def call(self, payload: bytes) -> None:
        try:
            self.group.append_durable([payload])
        except StorageUnavailable as failure:
            self.refused[payload] = str(failure)
        else:
            self.accepted.add(payload)

    def join(self) -> None:
        for thread in self.threads:
            thread.join(SOON_S)
            assert not thread.is_alive()


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def files(disk: Disk) -> MemoryFiles:
    return MemoryFiles(disk)


def make(files: MemoryFiles, patience_s: float | None = SOON_S) -> GroupSync:
    return GroupSync(SegmentWriter(files, "/data", "inbox", BOOT, WRITER), patience_s=patience_s)


def after_power_cut(files: MemoryFiles) -> set[bytes]:
    files.disk.power_cut()
    paths = [segment.path for segment in list_segments(files, "/data")]
    return {frame for path in paths for frame in read_frames(files, path, 0, 1 << 20).frames}


def test_what_was_accepted_survives_a_power_cut(files: MemoryFiles) -> None:
    make(files).append_durable([b"one", b"two"])
    assert after_power_cut(files) == {b"one", b"two"}


def test_no_payloads_cost_no_sync_and_a_bad_one_refuses_the_call(files: MemoryFiles) -> None:
    group = make(files)
    group.append_durable([])
    with pytest.raises(InvalidInput):
        group.append_durable([b"one", b""])
    assert files.disk.sync_count == 0


def test_everyone_who_appended_during_a_sync_shares_the_next_one(disk: Disk, files: MemoryFiles) -> None:
    callers = Callers(make(files))
    disk.go_on.clear()
    callers.start(b"leader")
    assert disk.sync_begins.acquire(timeout=SOON_S)
    others = [b"%d" % number for number in range(20)]
    callers.start(*others)
    disk.wait_appended(21)
    assert not callers.accepted
    disk.go_on.set()
    callers.join()
    assert callers.accepted == {b"leader", *others}
    assert files.disk.sync_count == 2
    assert after_power_cut(files) == callers.accepted


def test_a_sync_that_began_before_the_append_acknowledges_nothing(disk: Disk, files: MemoryFiles) -> None:
    callers = Callers(make(files))
    disk.go_on.clear()
    callers.start(b"first")
    assert disk.sync_begins.acquire(timeout=SOON_S)
    callers.start(b"second")
    disk.wait_appended(2)
    # Let the first sync end and hold the second, which begins for the second caller alone.
    first = threading.Event()
    held, disk.go_on = disk.go_on, first
    held.set()
    assert disk.sync_begins.acquire(timeout=SOON_S)
    assert b"second" not in callers.accepted
    first.set()
    callers.join()
    assert callers.accepted == {b"first", b"second"}


def test_every_accepted_record_was_synced_when_its_call_returned(files: MemoryFiles) -> None:
    group = make(files)
    missing: list[bytes] = []

    def call(number: int) -> None:
        for turn in range(30):
            payload = b"%d-%d" % (number, turn)
            group.append_durable([payload])
            synced = b"".join(file.synced for file in files.disk._synced_names.values())
            if payload not in synced:
                missing.append(payload)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    assert missing == []
    assert len(after_power_cut(files)) == 240


def test_a_failed_sync_refuses_all_whose_records_were_in_the_segment(disk: Disk, files: MemoryFiles) -> None:
    callers = Callers(make(files))
    disk.go_on.clear()
    disk.fails = True
    callers.start(b"leader")
    assert disk.sync_begins.acquire(timeout=SOON_S)
    callers.start(b"one", b"two")
    disk.wait_appended(3)
    disk.go_on.set()
    callers.join()
    assert callers.refused.keys() == {b"leader", b"one", b"two"}
    assert all("could not sync: made to fail" in text for text in callers.refused.values())

    disk.fails = False
    callers.group.append_durable([b"after"])
    assert len(list_segments(files, "/data")) == 2
    assert b"after" in after_power_cut(files)


def test_a_full_disk_refuses_the_call_that_did_not_fit(files: MemoryFiles) -> None:
    group = make(files)
    group.append_durable([b"before"])
    files.disk.capacity_bytes = 0
    with pytest.raises(StorageUnavailable, match="no space left"):
        group.append_durable([b"one", b"two"])
    files.disk.capacity_bytes = None
    group.append_durable([b"after"])
    assert after_power_cut(files) == {b"before", b"after"}


def test_who_waits_for_a_stalled_disk_gives_up(disk: Disk, files: MemoryFiles) -> None:
    group = make(files, patience_s=0.0)
    callers = Callers(group)
    disk.go_on.clear()
    callers.start(b"leader")
    assert disk.sync_begins.acquire(timeout=SOON_S)
    with pytest.raises(StorageUnavailable, match="not answered in time"):
        group.append_durable([b"impatient"])
    disk.go_on.set()
    callers.join()
    assert callers.accepted == {b"leader"}


def test_a_leader_that_is_interrupted_lets_go_of_the_lead(
    files: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = make(files)

    def interrupted(fd: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.disk, "fdatasync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        group.append_durable([b"one"])
    monkeypatch.undo()
    group.append_durable([b"two"])
    assert b"two" in after_power_cut(files)
