"""Damage inside segments: where it is, and the word of an operator that it may be passed over.

What always holds: nothing is passed over without that word, which lies beside the segment as
`<segment>.given-up`: a JSON list of [start, end) in bytes. The segment itself is never changed. It may not
know what a payload means.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from offer_optimizer.core.errors import DamagedFile, NotFound
from offer_optimizer.store.files import Files
from offer_optimizer.store.segment_format import first_frame_behind
from offer_optimizer.store.segment_reader import FrameRead, Verdict, read_frames, read_head

SUFFIX: Final = ".given-up"
READ_BYTES: Final = 1024 * 1024
Range = tuple[int, int]


def find_damage(files: Files, path: str, offset: int = 0) -> tuple[list[Range], int]:
    """Return the damaged ranges of a segment from an offset on, and how many good frames there are.

    A range goes up to the next good frame, or to the end of the file. Raises NotFound, StorageUnavailable.
    """
    ranges: list[Range] = []
    frame_count = 0
    size = files.size(path)
    while offset < size:
        try:
            read = read_frames(files, path, offset, READ_BYTES)
        except DamagedFile:
            end = _next_frame(files, path, offset, size)
            ranges.append((offset, end))
            offset = end
            continue
        frame_count += len(read.frames)
        offset = read.next_offset
        if read.verdict in (Verdict.CLEAN_END, Verdict.TORN_TAIL):
            break
    return ranges, frame_count


def _next_frame(files: Files, path: str, offset: int, size: int) -> int:
    try:
        head = read_head(files, path)
    except DamagedFile:
        return size  # without its header no frame of a segment can be checked
    if head is None:
        return size
    found = first_frame_behind(files.read(path, offset, size - offset), head.seed)
    return size if found is None else offset + found


def give_up(files: Files, path: str, ranges: Sequence[Range]) -> None:
    """Let readers pass over these ranges of a segment, durably. Raises StorageUnavailable."""
    files.replace(path + SUFFIX, json.dumps(list(ranges)).encode(), "segment.give_up")


def given_up(files: Files, path: str) -> dict[int, int]:
    """Return what may be passed over: the end of each range, by its start. Raises DamagedFile."""
    try:
        return {int(start): int(end) for start, end in json.loads(files.read(path + SUFFIX))}
    except NotFound:
        return {}
    except (ValueError, TypeError):
        raise DamagedFile(path + SUFFIX, "can't be read: remove it and salvage the segment again") from None


def read_on(files: Files, path: str, offset: int, limit_bytes: int, end: int | None = None) -> FrameRead:
    """Read as `read_frames` does, and pass over what was given up: verdict GIVEN_UP, and nothing read."""
    try:
        return read_frames(files, path, offset, limit_bytes, end)
    except DamagedFile:
        allowed = given_up(files, path)
        for start, stop in allowed.items():
            if start <= offset < stop:
                return FrameRead([], stop, Verdict.GIVEN_UP)
        if offset in allowed.values() and offset >= files.size(path):
            return FrameRead([], offset, Verdict.CLEAN_END)
        raise
