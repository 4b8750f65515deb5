"""Reads segments, beside a living writer or behind a dead one.

What always holds: frames come in the order in which they were appended, each whole and checked; nothing
is skipped without a word. It changes nothing and may not know what a payload means or whether it was drained
before.

Three things are not frames. At the end of a file: an unfinished write. In front of good frames: sectors that
read as zeros, which a power cut took before they were synced, so nobody was promised what was there; whoever
reads on begins behind them. Anything else in front of good frames is damage, and whoever reads stops there.

To drain a segment to its end, ask `writer_is_dead` first and read afterwards: only then is what the read
calls the end really the end. The other way round the writer may append between the two questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.store.files import Files, StrPath
from offer_optimizer.store.segment_format import (
    HEADER_BYTES,
    SegmentHead,
    SegmentName,
    decode_header,
    first_frame_behind,
    frame_at,
    has_frame_behind,
    is_lost_write,
    missing_bytes,
    split_frames,
)


class Verdict(Enum):
    """Why a read stopped where it did."""

    MORE = "the limit was reached; read on"
    CLEAN_END = "the file ends behind a whole frame"
    LOST_WRITE = "a power cut took what was here; read on"
    GIVEN_UP = "an operator said that the damage here may be passed over; read on"
    TORN_TAIL = "the file ends in an unfinished frame: not yet, or, of a dead writer, the end"


class FrameRead(NamedTuple):
    """Payloads in order, the offset to go on from, and why it stopped there."""

    frames: list[bytes]
    next_offset: int
    verdict: Verdict


@dataclass(frozen=True, slots=True, order=True)
class SegmentFile:
    """A segment found in a directory."""

    name: SegmentName
    path: str


def list_segments(files: Files, directory: StrPath, kind: str | None = None) -> list[SegmentFile]:
    """Return the segments of a directory (of one kind, if named) by kind, boot, writer and sequence."""
    found = []
    for file_name in files.list(directory):
        name = SegmentName.parse(file_name)
        if name is not None and kind in (None, name.kind):
            found.append(SegmentFile(name, f"{directory}/{file_name}"))
    return sorted(found)


def writer_is_dead(files: Files, path: StrPath) -> bool:
    """Return whether nobody will ever append to this segment again (its lock is free, or it is gone)."""
    return not files.is_locked(path)


def read_head(files: Files, path: StrPath) -> SegmentHead | None:
    """Return a segment's header; None when a power cut left less. Raises DamagedFile, NotFound."""
    return decode_header(files.read(path, 0, HEADER_BYTES), str(path))


def read_frames(
    files: Files, path: StrPath, offset: int, limit_bytes: int, end: int | None = None
) -> FrameRead:
    """Read frames from `offset` (0, or an earlier `next_offset`) on.

    Stops after about `limit_bytes`, but returns at least one frame where there is one. Only frames that
    end at or before `end` count, as if the file were no longer. An offset behind the file's end is legal
    and reads nothing: a power cut took rows that had been drained before.

    Raises NotFound, and DamagedFile, naming file and offset, for a bad frame with a good one behind it, once
    all frames before it were returned.
    """
    head = read_head(files, path)
    if head is None:
        return FrameRead([], offset, Verdict.TORN_TAIL if offset == 0 else Verdict.CLEAN_END)
    size = files.size(path) if end is None else min(files.size(path), end)
    return _read_on(files, path, max(offset, head.length), limit_bytes, size, head.seed)


def _read_on(files: Files, path: StrPath, offset: int, limit_bytes: int, size: int, seed: int) -> FrameRead:
    """Read from `offset`, which is behind the header, as if the file had `size` bytes."""
    if offset >= size:
        return FrameRead([], offset, Verdict.CLEAN_END)
    data = files.read(path, offset, min(limit_bytes, size - offset))
    payloads, used = split_frames(data, seed)
    next_offset = offset + used
    if next_offset == size:
        return FrameRead(payloads, next_offset, Verdict.CLEAN_END)
    if len(data) < size - offset:
        if payloads:
            return FrameRead(payloads, next_offset, Verdict.MORE)
        missing = missing_bytes(data, 0)
        if 0 < missing <= size - offset - len(data):
            # Twice at most: the first read may not even hold a frame's head.
            return _read_on(files, path, offset, len(data) + missing, size, seed)
    if payloads and not _is_torn(files, path, next_offset, size, seed):
        # The caller keeps these; asked again from here, it hears of what stands there.
        return FrameRead(payloads, next_offset, Verdict.MORE)
    return FrameRead(payloads, *_at_bad_frame(files, path, next_offset, size, seed))


def _at_bad_frame(files: Files, path: StrPath, offset: int, size: int, seed: int) -> tuple[int, Verdict]:
    """Return where to read on from a bad frame, and what it is. Raises DamagedFile where it is damage."""
    if _is_torn(files, path, offset, size, seed):
        return offset, Verdict.TORN_TAIL
    rest = files.read(path, offset, size - offset)
    behind = first_frame_behind(rest, seed)
    if behind is not None and is_lost_write(rest, behind, offset, seed):
        return offset + behind, Verdict.LOST_WRITE
    raise DamagedFile(str(path), f"offset {offset}: a bad frame, and good ones behind it")


def _is_torn(files: Files, path: StrPath, offset: int, size: int, seed: int) -> bool:
    """Return whether what stands at `offset` is an unfinished write and not damage.

    Read twice before it is called damage: beside a writer that cuts back a failed write and appends again,
    one read may see the old bytes in front of the new.
    """
    for _ in range(2):
        rest = files.read(path, offset, size - offset)
        if frame_at(rest, 0, seed) is not None or not has_frame_behind(rest, seed):
            return True
    return False
