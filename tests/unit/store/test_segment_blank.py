"""What was drained of a segment is overwritten in place, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.segment_blank import blank
from offer_optimizer.store.segment_reader import Verdict, read_frames
from offer_optimizer.store.segment_writer import SegmentWriter

BOOT = "01234567-89ab-cdef-0123-456789abcdef"
payload = st.binary(min_size=1, max_size=300).map(lambda data: b"canary" + data)


@given(st.lists(payload, min_size=1, max_size=12), st.lists(payload, max_size=12))
def test_drained_payloads_are_gone_and_the_others_whole(drained: list[bytes], fresh: list[bytes]) -> None:
    files, writer = _segment()
    for payload in drained:
        writer.append(payload)
    path = _path(files)
    read = read_frames(files, path, 0, 1 << 20)
    for _ in range(2):  # done again it changes nothing
        blank(files, path, read.next_offset)
    for payload in fresh:
        writer.append(payload)
    data = files.read(path)
    assert b"canary" not in data[: read.next_offset]
    again = read_frames(files, path, 0, 1 << 20)
    assert again.verdict is Verdict.CLEAN_END
    assert [len(frame) for frame in again.frames[: len(drained)]] == [len(frame) for frame in drained]
    assert read_frames(files, path, read.next_offset, 1 << 20).frames == fresh


def test_a_blanking_that_was_cut_is_made_whole() -> None:
    files, writer = _segment()
    for number in range(5):
        writer.append(b"canary" * (number + 1))
    path = _path(files)
    end = files.size(path)
    files.overwrite(path, end - 60, bytes(20), "test.tear")
    blank(files, path, end)
    assert b"canary" not in files.read(path)


@given(st.lists(st.tuples(payload, st.booleans()), min_size=1, max_size=12))
def test_going_on_where_the_last_one_ended_leaves_nothing(steps: list[tuple[bytes, bool]]) -> None:
    files, writer = _segment()
    path, done = "", 0
    for data, is_blanked_now in [*steps, (b"canary", True)]:
        writer.append(data)
        path = _path(files)
        if is_blanked_now:
            done = blank(files, path, files.size(path), done)
    assert b"canary" not in files.read(path)
    assert done == files.size(path)


def test_what_was_blanked_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each erasure would read all that a living segment holds."""
    files, writer = _segment()
    writer.append(b"canary" * 1000)
    path = _path(files)
    done = blank(files, path, files.size(path))
    writer.append(b"canary")
    read = files.read
    offsets: list[int] = []

    def noting(path: str, offset: int = 0, limit: int | None = None) -> bytes:
        offsets.append(offset)
        return read(path, offset, limit)

    monkeypatch.setattr(files, "read", noting)
    assert blank(files, path, files.size(path), done) == files.size(path)
    assert [offset for offset in offsets if offset > 0] == [done]
    assert blank(files, path, files.size(path), files.size(path)) == files.size(path)
    assert len(offsets) == 2


def test_what_is_not_drained_stays() -> None:
    files, writer = _segment()
    writer.append(b"canary")
    path = _path(files)
    blank(files, path, 0)
    assert b"canary" in files.read(path)


def _segment() -> tuple[MemoryFiles, SegmentWriter]:
    files = MemoryFiles(directories=("/s",))
    return files, SegmentWriter(files, "/s", "journal", BOOT, "0" * 15 + "1")


def _path(files: MemoryFiles) -> str:
    return f"/s/{files.list('/s')[0]}"


def test_of_a_segment_that_was_given_up_whole_its_header_stays_damaged() -> None:
    """Nobody can say where its frames begin; and who looks at it still hears of the damage."""
    files, writer = _segment()
    writer.append(b"canary")
    path = _path(files)
    files.overwrite(path, 20, b"\xff\xff", "test.damage")
    blank(files, path, files.size(path))
    assert b"canary" not in files.read(path)
    with pytest.raises(DamagedFile):
        read_frames(files, path, 0, 1 << 20)
