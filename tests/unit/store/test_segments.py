"""Writer and reader together, in memory: what was appended is read, in order, whatever fails in between."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.errors import DamagedFile, InvalidInput, NotFound, StorageUnavailable
from offer_optimizer.store.files import AppendFailed, Moment
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.segment_reader import (
    Verdict,
    list_segments,
    read_frames,
    read_head,
    writer_is_dead,
)
from offer_optimizer.store.segment_writer import JournalSyncer, SegmentWriter

BOOT = "01234567-89ab-cdef-0123-456789abcdef"
WRITER = "00000000000000aa"
LIMIT = 1 << 20


class Faults:
    """Steps that fail while they are named here."""

    def __init__(self) -> None:
        self.steps: set[str] = set()

    def __call__(self, step: str, moment: Moment) -> None:
        if moment == "before" and step in self.steps:
            raise OSError(errno.EIO, "made to fail")


def make(
    files: MemoryFiles, *, kind: str = "journal", writer_id: str = WRITER, roll_bytes: int = LIMIT
) -> SegmentWriter:
    return SegmentWriter(files, "/data", kind, BOOT, writer_id, roll_bytes=roll_bytes)


def read_everything(files: MemoryFiles) -> list[bytes]:
    found: list[bytes] = []
    for segment in list_segments(files, "/data"):
        read = read_frames(files, segment.path, 0, LIMIT)
        assert read.verdict is not Verdict.MORE
        found += read.frames
    return found


def overwrite(files: MemoryFiles, path: str, content: bytes) -> None:
    files.remove(path, "test")
    files.close(files.open_append(path, "test", content))


def only_path(files: MemoryFiles) -> str:
    (segment,) = list_segments(files, "/data")
    return segment.path


@given(st.lists(st.binary(min_size=1, max_size=40)), st.integers(1, 200), st.integers(1, 100))
def test_what_is_appended_is_read_in_order_across_rolls_and_at_any_read_limit(
    payloads: list[bytes], roll_bytes: int, limit_bytes: int
) -> None:
    files = MemoryFiles()
    writer = make(files, roll_bytes=roll_bytes)
    for payload in payloads:
        writer.append(payload)
    found: list[bytes] = []
    for segment in list_segments(files, "/data", "journal"):
        offset, verdict = 0, Verdict.MORE
        while verdict is Verdict.MORE:
            frames, offset, verdict = read_frames(files, segment.path, offset, limit_bytes)
            assert frames or verdict is not Verdict.MORE
            found += frames
        assert verdict is Verdict.CLEAN_END
    assert found == payloads


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6), st.data())
def test_any_cut_of_a_file_reads_as_a_prefix_and_a_torn_tail(
    payloads: list[bytes], data: st.DataObject
) -> None:
    files = MemoryFiles()
    writer = make(files)
    ends = [writer.append(payload) for payload in payloads]
    path = only_path(files)
    whole = files.read(path)
    cut = data.draw(st.integers(0, len(whole)))
    overwrite(files, path, whole[:cut])
    read = read_frames(files, path, 0, LIMIT)
    assert read.frames == [payload for payload, end in zip(payloads, ends, strict=True) if end <= cut]
    head = read_head(files, path)
    is_clean = head is not None and cut in (head.length, *ends)
    assert read.verdict is (Verdict.CLEAN_END if is_clean else Verdict.TORN_TAIL)


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=6), st.data())
def test_any_flipped_byte_reads_as_a_prefix_or_is_called_damage_at_its_offset(
    payloads: list[bytes], data: st.DataObject
) -> None:
    files = MemoryFiles()
    writer = make(files)
    ends = [writer.append(payload) for payload in payloads]
    path = only_path(files)
    head = read_head(files, path)
    assert head is not None
    broken = bytearray(files.read(path))
    at = data.draw(st.integers(head.length, len(broken) - 1))
    broken[at] ^= data.draw(st.integers(1, 255))
    overwrite(files, path, bytes(broken))
    good = sum(end <= at for end in ends)
    offset = ([head.length, *ends])[good]
    read = read_frames(files, path, offset if good == 0 else 0, LIMIT) if good else None
    assert read is None or read.frames == payloads[:good]
    if good == len(payloads) - 1:
        assert read is not None
        assert read.verdict is Verdict.TORN_TAIL
    else:
        assert read is None or (read.verdict, read.next_offset) == (Verdict.MORE, offset)
        with pytest.raises(DamagedFile, match=rf"{path}: offset {offset}: "):
            read_frames(files, path, offset, LIMIT)


def test_an_offset_past_the_end_is_legal_and_reads_nothing() -> None:
    files = MemoryFiles()
    make(files).append(b"x")
    assert read_frames(files, only_path(files), 10_000, LIMIT) == ([], 10_000, Verdict.CLEAN_END)


def test_frames_behind_a_given_end_are_not_read_yet() -> None:
    files = MemoryFiles()
    writer = make(files)
    first, second = writer.append(b"one"), writer.append(b"two")
    path = only_path(files)
    assert read_frames(files, path, 0, LIMIT, first) == ([b"one"], first, Verdict.CLEAN_END)
    assert read_frames(files, path, 0, LIMIT, second - 1) == ([b"one"], first, Verdict.TORN_TAIL)
    assert read_frames(files, path, first, LIMIT) == ([b"two"], second, Verdict.CLEAN_END)


def test_a_torn_frame_is_read_once_it_is_whole() -> None:
    files = MemoryFiles()
    writer = make(files)
    first = writer.append(b"one")
    end = writer.append(b"two")
    path = only_path(files)
    whole = files.read(path)
    overwrite(files, path, whole[: end - 2])
    assert read_frames(files, path, first, LIMIT) == ([], first, Verdict.TORN_TAIL)
    overwrite(files, path, whole)
    assert read_frames(files, path, first, LIMIT) == ([b"two"], end, Verdict.CLEAN_END)


def test_reading_beside_a_writer_that_cuts_back_is_not_called_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    files = MemoryFiles()
    writer = make(files)
    writer.append(b"one")
    end = writer.append(b"two")
    path = only_path(files)
    head = read_head(files, path)
    assert head is not None
    true_read, mixed = files.read, [2]

    def read(at: str, offset: int = 0, limit_bytes: int | None = None) -> bytes:
        data = true_read(at, offset, limit_bytes)
        if offset == 0 or not mixed[0]:
            return data
        mixed[0] -= 1
        return b"\xff" + data[1:]

    monkeypatch.setattr(files, "read", read)
    assert read_frames(files, path, head.length, LIMIT) == ([], head.length, Verdict.TORN_TAIL)
    assert read_frames(files, path, head.length, LIMIT) == ([b"one", b"two"], end, Verdict.CLEAN_END)


def test_a_missing_segment_is_not_found() -> None:
    with pytest.raises(NotFound):
        read_frames(MemoryFiles(), "/data/journal-01234567-00000000000000aa-000000.seg", 0, LIMIT)


def test_only_segments_are_listed_in_order_of_writing() -> None:
    files = MemoryFiles()
    files.replace("/data/notes.txt", b"", "test")
    writer = make(files, roll_bytes=1)
    for _ in range(3):
        writer.append(b"x")
    make(files, kind="inbox").append(b"y")
    assert [segment.name.sequence for segment in list_segments(files, "/data", "journal")] == [0, 1, 2]
    assert [segment.name.kind for segment in list_segments(files, "/data")] == ["inbox"] + ["journal"] * 3


def test_a_writer_is_dead_when_its_lock_is_free() -> None:
    files = MemoryFiles()
    writer = make(files)
    writer.append(b"x")
    path = only_path(files)
    assert not writer_is_dead(files, path)
    writer.close()
    assert writer_is_dead(files, path)
    with pytest.raises(StorageUnavailable, match="the writer is closed"):
        writer.append(b"y")


def test_the_old_segment_is_locked_until_the_new_one_exists_and_the_old_is_synced() -> None:
    alive_at_rename: list[bool] = []

    def look(step: str, moment: Moment) -> None:
        if (step, moment) == ("journal.create.rename", "after"):
            alive_at_rename.extend(files.is_locked(s.path) for s in list_segments(files, "/data"))

    files = MemoryFiles(look)
    writer = make(files, roll_bytes=1)
    writer.append(b"one")
    writer.append(b"two")
    assert alive_at_rename == [True, True, True]
    writer.sync()
    old, new = list_segments(files, "/data")
    assert (writer_is_dead(files, old.path), writer_is_dead(files, new.path)) == (True, False)
    files.disk.power_cut()
    assert read_everything(files) == [b"one", b"two"]


def test_sync_makes_content_and_name_survive_a_power_cut_and_asks_the_disk_only_when_needed() -> None:
    files = MemoryFiles()
    writer = make(files)
    assert writer.sync() is False
    writer.append(b"kept")
    assert writer.sync() is True
    count = files.disk.sync_count
    assert writer.sync() is False
    assert files.disk.sync_count == count
    writer.append(b"lost")
    files.disk.power_cut()
    assert read_everything(files) == [b"kept"]


def test_a_full_disk_loses_the_record_that_did_not_fit_and_nothing_else() -> None:
    files = MemoryFiles()
    writer = make(files)
    writer.append(b"before")
    files.disk.capacity_bytes = files.size(only_path(files)) + 5
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="no space left"):
            writer.append(b"does not fit")
    files.disk.capacity_bytes = None
    writer.append(b"after")
    assert read_everything(files) == [b"before", b"after"]
    assert len(list_segments(files, "/data")) == 1


def test_behind_a_torn_frame_that_can_not_be_cut_off_a_new_segment_begins() -> None:
    faults = Faults()
    files = MemoryFiles(faults)
    writer = make(files)
    writer.append(b"before")
    files.disk.capacity_bytes = files.size(only_path(files)) + 5
    faults.steps = {"journal.append.cut"}
    with pytest.raises(StorageUnavailable):
        writer.append(b"does not fit")
    assert writer.path is None
    files.disk.capacity_bytes = None
    writer.append(b"after")
    writer.sync()
    assert writer_is_dead(files, list_segments(files, "/data")[0].path)
    files.disk.power_cut()
    assert read_everything(files) == [b"before", b"after"]


@pytest.mark.parametrize("step", ["journal.sync", "journal.sync_dir"])
def test_after_a_failed_sync_the_segment_is_abandoned_and_the_next_append_begins_another(step: str) -> None:
    faults = Faults()
    files = MemoryFiles(faults)
    writer = make(files)
    writer.append(b"one")
    faults.steps = {step}
    with pytest.raises(StorageUnavailable):
        writer.sync()
    assert writer.path is None
    assert writer_is_dead(files, only_path(files))
    faults.steps = set()
    writer.append(b"two")
    assert writer.sync() is True
    files.disk.power_cut()
    assert b"two" in read_everything(files)


def test_a_roll_that_fails_lets_the_old_segment_grow() -> None:
    faults = Faults()
    files = MemoryFiles(faults)
    writer = make(files, roll_bytes=64)
    writer.append(b"one")
    faults.steps = {"journal.create.open"}
    for _ in range(20):
        writer.append(b"more")
    assert len(list_segments(files, "/data")) == 1
    faults.steps = set()
    writer.append(b"last")
    assert len(list_segments(files, "/data")) == 2
    assert read_everything(files) == [b"one"] + [b"more"] * 20 + [b"last"]


def test_a_segment_that_can_not_be_created_is_tried_again() -> None:
    faults = Faults()
    files = MemoryFiles(faults)
    writer = make(files)
    faults.steps = {"journal.create.write"}
    with pytest.raises(StorageUnavailable):
        writer.append(b"x")
    faults.steps = set()
    writer.append(b"y")
    assert read_everything(files) == [b"y"]


def test_many_records_are_appended_at_once_and_a_bad_one_refuses_them_all() -> None:
    files = MemoryFiles()
    writer = make(files)
    writer.append_all([])
    writer.append_all([b"one", b"two"])
    with pytest.raises(InvalidInput, match="0 bytes, must be 1 to"):
        writer.append_all([b"three", b""])
    assert read_everything(files) == [b"one", b"two"]


@pytest.mark.parametrize("room", [0, 5, 45, 80], ids=lambda room: f"{room} bytes free")
def test_a_batch_that_hits_a_full_disk_says_how_many_records_are_there(room: int) -> None:
    files = MemoryFiles()
    writer = make(files)
    writer.append(b"before")
    files.disk.capacity_bytes = files.size(only_path(files)) + room
    with pytest.raises(AppendFailed) as raised:
        writer.append_all([b"x" * 20] * 4)
    assert read_everything(files) == [b"before"] + [b"x" * 20] * raised.value.kept_count


def test_a_writer_never_appends_to_a_segment_of_an_earlier_life() -> None:
    files = MemoryFiles()
    make(files).append(b"first life")
    make(files, writer_id="00000000000000bb").append(b"second life")
    assert len(list_segments(files, "/data")) == 2
    with pytest.raises(InvalidInput, match="not a segment's name"):
        make(files, writer_id="bb")


def turns(count: int) -> Callable[[float], bool]:
    left = [count]

    def wait(seconds: float) -> bool:
        assert seconds == 0.05
        left[0] -= 1
        return left[0] < 0

    return wait


def test_the_syncer_syncs_each_turn_and_records_what_fails() -> None:
    faults = Faults()
    files = MemoryFiles(faults)
    writer = make(files)
    syncer = JournalSyncer(writer, 0.05, turns(2))
    writer.append(b"one")
    faults.steps = {"journal.sync"}
    syncer.run()
    assert syncer.failure_count == 1
    assert syncer.last_failure is None, "the second turn had nothing to do, and that is fine"
    writer.append(b"two")
    assert syncer.sync_once() is False
    assert "made to fail" in str(syncer.last_failure)
    faults.steps = set()
    writer.append(b"three")
    syncer.stop()
    assert (syncer.failure_count, syncer.last_failure, syncer.is_alive) == (2, None, False)
    files.disk.power_cut()
    assert read_everything(files) == [b"three"]
