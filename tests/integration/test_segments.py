"""Files, segments and cells on a real disk, with real processes that are killed."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from offer_optimizer.core.errors import CannotStart, StorageUnavailable
from offer_optimizer.store.disk import OsDisk
from offer_optimizer.store.files import Files
from offer_optimizer.store.group_sync import GroupSync
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.segment_reader import Verdict, list_segments, read_frames, writer_is_dead
from offer_optimizer.store.segment_writer import JournalSyncer, SegmentWriter
from offer_optimizer.store.writer_cells import WriterCells, oldest_unwritten, read_cells, remove_dead

BOOT = "0123456789abcdef0123456789abcdef"
SOON_S = 30.0

CHILD = """
import itertools, os, sys, time
from offer_optimizer.store.files import Files
from offer_optimizer.store.segment_writer import JournalSyncer, SegmentWriter
from offer_optimizer.store.writer_cells import WriterCells

directory, boot, writer_id = sys.argv[1:]
files = Files()
cells = WriterCells.create(files, directory, writer_id, os.getpid(), time.monotonic_ns())
writer = SegmentWriter(files, directory, "journal", boot, writer_id, roll_bytes=200_000)
JournalSyncer(writer, 0.01).start()
for number in itertools.count():
    stamp = cells.begin(lambda: time.time_ns() // 1000)
    writer.append(b"%d:" % number + bytes(number % 1500))
    # One write of our own to the pipe, so that the parent never reads half a number.
    os.write(1, b"%d\\n" % number)
    cells.end()
    cells.beat(time.monotonic_ns())
"""


def start_child(directory: Path, writer_id: str) -> subprocess.Popen[bytes]:
    service = Path(__file__).resolve().parents[2] / "service"
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory), BOOT, writer_id],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(service)},
    )


def read_all(files: Files, directory: Path) -> list[bytes]:
    found: list[bytes] = []
    for segment in list_segments(files, directory):
        offset, verdict = 0, Verdict.MORE
        while verdict is Verdict.MORE:
            frames, offset, verdict = read_frames(files, segment.path, offset, 65536)
            found += frames
    return found


def test_kill_9_while_appending_loses_nothing_that_append_returned_for(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    files = Files()
    answered_count = 0
    for life in range(4):
        directory = tmp_path / str(life)
        directory.mkdir()
        child = start_child(directory, f"{life:016x}")
        assert child.stdout is not None
        answered = [child.stdout.readline() for _ in range(200 + 531 * life)]
        (reading,) = read_cells(files, directory)
        assert (reading.pid, reading.alive) == (child.pid, True)
        newest = list_segments(files, directory)[-1]
        assert not writer_is_dead(files, newest.path)
        os.kill(child.pid, signal.SIGKILL)
        answered += child.stdout.read().splitlines(keepends=True)
        child.wait(SOON_S)
        child.stdout.close()
        assert all(writer_is_dead(files, segment.path) for segment in list_segments(files, directory))
        assert oldest_unwritten(read_cells(files, directory)) is None
        assert remove_dead(files, directory) == 1
        found = [int(frame.partition(b":")[0]) for frame in read_all(files, directory)]
        assert found == list(range(len(found)))
        assert answered
        assert int(answered[-1]) < len(found)
        answered_count += len(answered)
    figure(f"kill -9 of an appending process, 4 rounds: {answered_count} answered appends, 0 lost")


def test_a_living_but_silent_writer_still_counts(tmp_path: Path) -> None:
    files = Files()
    child = start_child(tmp_path, "00000000000000aa")
    assert child.stdout is not None
    try:
        child.stdout.readline()
        os.kill(child.pid, signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        before, after = read_cells(files, tmp_path), read_cells(files, tmp_path)
        assert before == after
        assert after[0].alive
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(SOON_S)
        child.stdout.close()
    assert not read_cells(files, tmp_path)[0].alive


def test_closed_cells_count_as_dead_although_the_memory_is_still_mapped(tmp_path: Path) -> None:
    files = Files()
    cells = WriterCells.create(files, tmp_path, "00000000000000aa", 1, 2)
    cells.begin(lambda: 5)
    assert oldest_unwritten(read_cells(files, tmp_path)) == 5
    cells.close()
    assert oldest_unwritten(read_cells(files, tmp_path)) is None


def test_many_threads_share_syncs_on_a_real_disk(tmp_path: Path, figure: Callable[[str], None]) -> None:
    synced: list[str] = []
    files = Files(lambda step, moment: synced.append(step) if step == "inbox.sync" else None)
    writer = SegmentWriter(files, tmp_path, "inbox", BOOT, "00000000000000aa")
    group = GroupSync(writer, patience_s=SOON_S)

    def call(number: int) -> None:
        for turn in range(25):
            group.append_durable([b"%d-%d" % (number, turn)])

    threads = [threading.Thread(target=call, args=(number,)) for number in range(16)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    took_s = time.perf_counter() - began
    writer.close()
    sync_count = len(synced) // 2
    assert sorted(read_all(Files(), tmp_path)) == sorted(
        b"%d-%d" % (n, turn) for n in range(16) for turn in range(25)
    )
    assert sync_count <= 200
    figure(f"inbox, 16 threads: 400 durable appends with {sync_count} syncs, {400 / took_s:.0f}/s")


def test_a_journal_goes_on_through_a_disk_that_fails_to_sync(tmp_path: Path) -> None:
    failing = threading.Event()

    class Failing(OsDisk):
        def fdatasync(self, fd: int, /) -> None:  # type: ignore[override]
            if failing.is_set():
                raise OSError(errno.EIO, "made to fail")
            os.fdatasync(fd)

    writer = SegmentWriter(Files(disk=Failing()), tmp_path, "journal", BOOT, "00000000000000aa")
    syncer = JournalSyncer(writer)
    writer.append(b"one")
    failing.set()
    assert not syncer.sync_once()
    failing.clear()
    writer.append(b"two")
    assert syncer.sync_once()
    writer.close()
    assert read_all(Files(), tmp_path) == [b"one", b"two"]


def test_a_write_that_the_disk_takes_in_part_is_cut_back(tmp_path: Path) -> None:
    class Full(OsDisk):
        room = 1 << 20

        def write(self, fd: int, data: bytes, /) -> int:  # type: ignore[override]
            if not Full.room:
                raise OSError(errno.ENOSPC, "no space left")
            taken = os.write(fd, data[: Full.room])
            Full.room -= taken
            return taken

    writer = SegmentWriter(Files(disk=Full()), tmp_path, "journal", BOOT, "00000000000000aa")
    writer.append(b"before")
    Full.room = 5
    with pytest.raises(StorageUnavailable, match="no space left"):
        writer.append(b"does not fit")
    Full.room = 1 << 20
    writer.append(b"after")
    writer.close()
    assert read_all(Files(), tmp_path) == [b"before", b"after"]


def test_the_secret_is_for_its_owner_alone_and_so_is_the_data_directory(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    files = Files()
    directory.prepare(files)
    Identity.load_or_create(files, directory.secret_path, os.urandom)
    assert stat.S_IMODE(directory.secret_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700


def test_a_second_server_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    files = Files()
    directory = DataDirectory(tmp_path / "data")
    directory.prepare(files)
    lock = directory.lock(files, os.getpid())
    with pytest.raises(CannotStart, match=rf"in use by another server \(process {os.getpid()}\)"):
        directory.lock(Files(), 1)
    lock.release()
    directory.lock(Files(), 1).release()


def test_room_ahead_of_use_leaves_the_size_and_a_disk_that_can_not_give_it_is_fine(tmp_path: Path) -> None:
    disk, files = OsDisk(), Files()
    fd = disk.open(str(tmp_path / "file"), 0o600, must_be_new=True)
    files.append(fd, b"some", "test.append")
    files.reserve(fd, 2**20)
    assert disk.size(fd) == 4
    files.reserve(fd, 2**60)
    files.append(fd, b"more", "test.append")
    assert disk.read(str(tmp_path / "file"), 0, 100) == b"somemore"
    disk.close(fd)


def test_a_closed_journal_takes_no_more_of_the_disk_than_it_holds(tmp_path: Path) -> None:
    """A file system that reserves nothing ahead of use has nothing to give back: it holds all the same."""
    writer = SegmentWriter(Files(), tmp_path, "journal", BOOT, "00000000000000aa")
    syncer = JournalSyncer(writer, 0.05)
    writer.append(b"one")
    syncer.sync_once()
    path = Path(str(writer.path))
    syncer.stop()
    writer.close()
    assert path.stat().st_blocks * 512 <= path.stat().st_size + 65_536
    assert read_all(Files(), tmp_path) == [b"one"]
