"""A power cut may take any part of what was not synced: what was synced is read, nothing is called damage.

Each sync is taken out in turn to see that these tests would notice.
"""

from __future__ import annotations

import random

import pytest

from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.store.files import Files
from offer_optimizer.store.group_sync import GroupSync
from offer_optimizer.store.memory_files import MemoryDisk, MemoryFiles
from offer_optimizer.store.salvage import find_damage, give_up, read_on
from offer_optimizer.store.segment_format import SECTOR_BYTES
from offer_optimizer.store.segment_reader import Verdict, list_segments, read_frames
from offer_optimizer.store.segment_writer import SegmentWriter
from tests.careless_disk import CarelessDisk
from tests.conftest import Size

BOOT = "01234567-89ab-cdef-0123-456789abcdef"
LIMIT = 3000


def make(files: Files, kind: str = "journal", writer: int = 1) -> SegmentWriter:
    return SegmentWriter(files, "/data", kind, BOOT, f"{writer:016x}", roll_bytes=6000)


def read_all(files: Files) -> list[bytes]:
    """Read what a learner would: past lost writes, up to the end."""
    found: list[bytes] = []
    for segment in list_segments(files, "/data"):
        offset, verdict = 0, Verdict.MORE
        while verdict in (Verdict.MORE, Verdict.LOST_WRITE):
            frames, offset, verdict = read_frames(files, segment.path, offset, LIMIT)
            found += frames
    return found


def is_part_of(found: list[bytes], appended: list[bytes]) -> bool:
    rest = iter(appended)
    return all(payload in rest for payload in found)


def lost_in_cuts(disk: MemoryDisk, chance: random.Random, cuts: int) -> int:
    """Append and sync at random over many lives; return how many synced records were lost."""
    disk.make_dir("/data", 0o700)
    files = Files(disk=disk)
    lost = 0
    for life in range(cuts):
        journal, appended, synced = make(files, writer=life), [], 0
        for number in range(chance.randrange(1, 40)):
            size = chance.choice([1, 30, 300, 700, 2000])
            appended.append(f"{life}-{number}-".encode() + chance.randbytes(size))
            journal.append(appended[-1])
            if chance.random() < 0.2:
                journal.sync()
                synced = len(appended)
        disk.power_cut(chance)
        found = [payload for payload in read_all(files) if payload.startswith(f"{life}-".encode())]
        assert is_part_of(found, appended), "what is read was appended, whole and in order"
        lost += len(set(appended[:synced]) - set(found))
        for segment in list_segments(files, "/data"):
            files.remove(segment.path, "test")
    return lost


def test_whatever_a_power_cut_takes_synced_records_are_read_and_the_rest_is_a_part(size: Size) -> None:
    """Sectors lost in the middle read as zeros: the learner goes on behind them."""
    cuts = size.pick(test=150, ci=500, proof=5000)
    assert lost_in_cuts(MemoryDisk(), random.Random(1), cuts) == 0


@pytest.mark.parametrize("forgets", ["content", "names"])
def test_without_one_of_the_syncs_a_power_cut_takes_what_was_promised(forgets: str) -> None:
    assert lost_in_cuts(CarelessDisk(forgets), random.Random(1), 50) > 0


def test_an_answered_item_of_feedback_is_there_and_without_the_sync_it_is_not() -> None:
    for forgets, expected in (("nothing", 0), ("content", 10), ("names", 10)):
        lost = 0
        for seed in range(20):
            disk = CarelessDisk(forgets)
            disk.make_dir("/data", 0o700)
            files = Files(disk=disk)
            inbox = GroupSync(make(files, "inbox"))
            sent = [f"item-{number}".encode() for number in range(5)]
            for item in sent:
                inbox.append_durable([item])
            disk.power_cut(random.Random(seed))
            lost += read_all(files) != sent
        assert lost >= expected
        assert lost == 0 or expected, "lost although it was synced"


def test_replace_leaves_the_old_content_or_the_new_after_any_power_cut() -> None:
    """And the new one once it has returned; the careless disks lose it."""
    outcomes: dict[str, set[bytes]] = {"nothing": set(), "content": set(), "names": set()}
    for forgets, seen in outcomes.items():
        for seed in range(40):
            disk = CarelessDisk("nothing")
            disk.make_dir("/data", 0o700)
            files = Files(disk=disk)
            files.replace("/data/a", b"old" * 500, "r")
            disk._forgets = forgets
            files.replace("/data/a", b"new" * 500, "r")
            disk.power_cut(random.Random(seed))
            seen.add(files.read("/data/a"))
    assert outcomes["nothing"] == {b"new" * 500}
    assert b"old" * 500 in outcomes["names"]
    assert outcomes["content"] - {b"old" * 500, b"new" * 500}


def segment_of(files: MemoryFiles, count: int) -> tuple[str, list[bytes], list[int]]:
    """Write a segment; return its path, its payloads, and where each frame ends."""
    writer = SegmentWriter(files, "/data", "journal", BOOT, f"{7:016x}")
    payloads = [f"{number:03d}".encode() * 20 for number in range(count)]
    ends = [writer.append(payload) for payload in payloads]
    writer.close()
    (segment,) = list_segments(files, "/data")
    return segment.path, payloads, ends


def change(files: MemoryFiles, path: str, content: bytes) -> None:
    files.remove(path, "test")
    files.close(files.open_append(path, "test", content))


def test_a_changed_bit_is_no_lost_write() -> None:
    """Zeros that a power cut left are passed over; a flipped bit anywhere stops the reader at its frame."""
    files = MemoryFiles()
    path, payloads, ends = segment_of(files, 30)
    whole = files.read(path)
    chance = random.Random(3)
    for _ in range(300):
        bit = chance.randrange(8 * ends[0], 8 * ends[-2])
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        change(files, path, bytes(damaged))
        hit = next(number for number, end in enumerate(ends) if bit // 8 < end)
        read = read_frames(files, path, 0, 1 << 20)
        assert read.frames == payloads[:hit]
        with pytest.raises(DamagedFile, match=rf"{path}: offset {ends[hit - 1]}: "):
            read_frames(files, path, read.next_offset, 1 << 20)


def test_damage_is_found_by_range_and_passed_over_only_once_that_was_said() -> None:
    files = MemoryFiles()
    path, payloads, ends = segment_of(files, 30)
    damaged = bytearray(files.read(path))
    for frame in (4, 5, 20):
        damaged[ends[frame] - 3] ^= 1
    change(files, path, bytes(damaged))
    ranges, good = find_damage(files, path)
    assert ranges == [(ends[3], ends[5]), (ends[19], ends[20])]
    assert good == 27
    with pytest.raises(DamagedFile):
        read_on(files, path, ends[3], 1 << 20)
    give_up(files, path, ranges)
    offset, found = 0, []
    while offset < len(damaged):
        read = read_on(files, path, offset, 1 << 20)
        assert read.next_offset > offset
        found += read.frames
        offset = read.next_offset
    assert found == [payload for number, payload in enumerate(payloads) if number not in (4, 5, 20)]


def test_a_segment_without_its_header_is_given_up_whole() -> None:
    files = MemoryFiles()
    path, _, _ = segment_of(files, 5)
    damaged = bytearray(files.read(path))
    damaged[9] ^= 1
    change(files, path, bytes(damaged))
    ranges, good = find_damage(files, path)
    assert (ranges, good) == ([(0, len(damaged))], 0)
    give_up(files, path, ranges)
    assert read_on(files, path, 0, 1 << 20).next_offset == len(damaged)
    assert read_on(files, path, len(damaged), 1 << 20).verdict is Verdict.CLEAN_END


def test_a_head_that_was_never_written_is_an_empty_segment() -> None:
    """Its first sector was lost, so no sync of it ever came back: nobody was promised anything in it."""
    files = MemoryFiles()
    path, _, _ = segment_of(files, 30)
    change(files, path, bytes(SECTOR_BYTES) + files.read(path)[SECTOR_BYTES:])
    assert read_frames(files, path, 0, 1 << 20).frames == []
