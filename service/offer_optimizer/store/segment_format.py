"""The bytes of a segment: its name, its header and its frames. Pure; it may not know files or locks.

    "OOSG" | u16 header length | SegmentHeader | u32 CRC32 of all before
    u32 payload length | u32 CRC32 of length and payload | payload          ... as often as there are records

Integers are big-endian. What always holds: a payload that a frame yields is the one that was framed. The CRC
of a frame starts from the header's CRC, which nobody outside can know because the header holds the writer's
random id: so bytes that a caller puts inside a payload never pass for a frame, nor do disk blocks of an older
file.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from google.protobuf.message import DecodeError

from offer_optimizer.core.errors import DamagedFile, InvalidInput
from offer_optimizer.ledger.v1 import records_pb2

MAGIC: Final = b"OOSG"
FORMAT_VERSION: Final = 1
KINDS: Final = ("journal", "inbox", "control")
PAYLOAD_BYTES: Final = 8 * 1024 * 1024
"""Largest payload, inclusive. The smallest is one byte: a run of zeros is never a frame."""
FRAME_HEAD: Final = struct.Struct(">II")
HEADER_HEAD: Final = struct.Struct(">4sH")
HEADER_BYTES: Final = 4096
"""No header is longer, magic and CRC included."""
SECTOR_BYTES: Final = 512
"""What a disk writes whole or not at all. One that was never written reads as zeros."""
SCAN_BYTES: Final = 256 * 1024 * 1024
"""How much the search behind a bad frame may run through the CRC: a quarter of a second."""
NAME: Final = re.compile(r"(journal|inbox|control)-([0-9a-f]{8})-([0-9a-f]{16})-([0-9]{6,})\.seg")
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True, order=True)
class SegmentName:
    """Which segment: its kind, 8 hex digits of the boot's id, the writer's id (16), its sequence from 0."""

    kind: str
    boot: str
    writer_id: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.boot}-{self.writer_id}-{self.sequence:06d}.seg"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Return what a file name says; None when it isn't a segment's."""
        match = NAME.fullmatch(name)
        return cls(match[1], match[2], match[3], int(match[4])) if match else None


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """A header as read: what it says, how long it is in bytes, and the seed of the frames' CRCs."""

    name: SegmentName
    boot_id: str
    length: int
    seed: int


def normalise_boot_id(boot_id: str) -> str:
    """Return a boot id as plain hex. Raises InvalidInput under 8 digits or over 64."""
    text = boot_id.replace("-", "").lower()
    if not re.fullmatch(r"[0-9a-f]{8,64}", text):
        raise InvalidInput("boot_id", "must be 8 to 64 hex digits")
    return text


def encode_header(name: SegmentName, boot_id: str) -> tuple[bytes, int]:
    """Return the first bytes of a segment and the seed of its frames' CRCs.

    Raises InvalidInput for a name that `parse` would refuse.
    """
    if SegmentName.parse(str(name)) != name:
        raise InvalidInput("segment", f"{name} is not a segment's name")
    header = records_pb2.SegmentHeader(
        format_version=FORMAT_VERSION,
        kind=name.kind,
        boot_id=boot_id,
        writer_id=name.writer_id,
        sequence=name.sequence,
    ).SerializeToString(deterministic=True)
    head = HEADER_HEAD.pack(MAGIC, len(header)) + header
    seed = zlib.crc32(head)
    return head + _LENGTH.pack(seed), seed


def decode_header(data: bytes, path: str) -> SegmentHead | None:
    """Read the header at the start of `data`; None when it isn't all there, or was never written.

    Raises DamagedFile naming `path`, also for a format of a newer release.
    """
    if not data[:SECTOR_BYTES].strip(b"\0"):
        return None
    if not data.startswith(MAGIC[: len(data)]):
        raise DamagedFile(path, "offset 0: does not begin like a segment")
    if len(data) < HEADER_HEAD.size:
        return None
    end = HEADER_HEAD.size + HEADER_HEAD.unpack_from(data)[1]
    if end + _LENGTH.size > HEADER_BYTES:
        raise DamagedFile(path, f"offset 0: a header of {end + _LENGTH.size} bytes, at most {HEADER_BYTES}")
    if len(data) < end + _LENGTH.size:
        return None
    seed = zlib.crc32(data[:end])
    if _LENGTH.unpack_from(data, end)[0] != seed:
        raise DamagedFile(path, "offset 0: the header's checksum is wrong")
    try:
        header = records_pb2.SegmentHeader.FromString(data[HEADER_HEAD.size : end])
    except DecodeError:
        raise DamagedFile(path, "offset 0: the header can't be parsed") from None
    if header.format_version != FORMAT_VERSION:
        raise DamagedFile(
            path, f"segment format {header.format_version}; this release reads {FORMAT_VERSION}"
        )
    name = SegmentName(header.kind, header.boot_id[:8], header.writer_id, header.sequence)
    return SegmentHead(name, header.boot_id, end + _LENGTH.size, seed)


def encode_frame(payload: bytes, seed: int) -> bytes:
    """Return `payload` framed. Raises InvalidInput unless it has 1 to PAYLOAD_BYTES bytes."""
    if not 0 < len(payload) <= PAYLOAD_BYTES:
        raise InvalidInput("record", f"{len(payload)} bytes, must be 1 to {PAYLOAD_BYTES}")
    length = _LENGTH.pack(len(payload))
    return b"%b%b%b" % (length, _LENGTH.pack(zlib.crc32(payload, zlib.crc32(length, seed))), payload)


def split_frames(data: bytes, seed: int) -> tuple[list[bytes], int]:
    """Return the payloads of the good frames at the start of `data`, and where the first other byte is."""
    payloads: list[bytes] = []
    offset = 0
    while (payload := frame_at(data, offset, seed)) is not None:
        payloads.append(payload)
        offset += FRAME_HEAD.size + len(payload)
    return payloads, offset


def frame_at(data: bytes, offset: int, seed: int) -> bytes | None:
    """Return the payload of the frame at `offset`; None when there is no whole, good one."""
    start = offset + FRAME_HEAD.size
    if start > len(data):
        return None
    length, crc = FRAME_HEAD.unpack_from(data, offset)
    if not 0 < length <= PAYLOAD_BYTES or start + length > len(data):
        return None
    payload = data[start : start + length]
    if zlib.crc32(payload, zlib.crc32(data[offset : offset + 4], seed)) != crc:
        return None
    return payload


def missing_bytes(data: bytes, offset: int) -> int:
    """Return how many bytes the frame at `offset` still lacks, by its own word; 0 for an impossible one."""
    have = len(data) - offset
    if have < FRAME_HEAD.size:
        return FRAME_HEAD.size - have
    length = FRAME_HEAD.unpack_from(data, offset)[0]
    return max(FRAME_HEAD.size + length - have, 0) if 0 < length <= PAYLOAD_BYTES else 0


def has_frame_behind(data: bytes, seed: int) -> bool:
    """Return whether a good frame starts anywhere behind the first byte of `data`, which is a bad frame.

    Without one it is a torn tail: one unfinished write. Short candidates are tried first, since records
    are short. A tail too large to search is taken for damage, unless one torn frame explains all of it.
    """
    try:
        return next(_frames_behind(data, seed), None) is not None
    except _TooLong:
        return len(data) > FRAME_HEAD.size + PAYLOAD_BYTES


def first_frame_behind(data: bytes, seed: int) -> int | None:
    """Return where the first good frame starts behind the bad one that `data` begins with.

    None when there is none, or when looking for it takes too long.
    """
    first: int | None = None
    try:
        for offset in _frames_behind(data, seed):
            first = offset
    except _TooLong:
        return None
    return first


def is_lost_write(data: bytes, behind: int, start: int, seed: int) -> bool:
    """Return whether `data`, found at `start`, has a sector of zeros in front of a good frame at `behind`.

    So a power cut leaves what was not synced: some sectors written, others not. A changed bit looks
    otherwise. The good frame's length begins with zeros, which may have been lost as well.
    """
    last = start + behind + _LENGTH.size
    for boundary in range(start - start % SECTOR_BYTES + SECTOR_BYTES, last, SECTOR_BYTES):
        sector = data[max(boundary - SECTOR_BYTES - start, 0) : boundary - start]
        if len(sector) >= _LENGTH.size and not sector.strip(b"\0"):
            return True
    # Of the first sector less than a length may have been lost: three zeros prove nothing by themselves.
    lost = min(SECTOR_BYTES - start % SECTOR_BYTES, _LENGTH.size)
    length = _LENGTH.pack(max(behind - FRAME_HEAD.size, 0))
    return not data[:lost].strip(b"\0") and frame_at(length + data[_LENGTH.size :], 0, seed) is not None


class _TooLong(Exception):
    """A search would run through more than SCAN_BYTES."""


def _frames_behind(data: bytes, seed: int) -> Iterator[int]:
    """Yield where good frames start behind the first byte: the first find, then ever earlier ones.

    Raises _TooLong.
    """
    budget = SCAN_BYTES
    first = len(data)
    for length, offset in _candidates(data):
        # Frames don't overlap: one that is earlier than what was found ends before it.
        if offset + FRAME_HEAD.size + length > first:
            continue
        budget -= length
        if budget < 0:
            raise _TooLong
        if frame_at(data, offset, seed) is not None:
            first = offset
            yield offset


def _candidates(data: bytes) -> list[tuple[int, int]]:
    """Return (length, offset) of whatever could be a frame by its length alone, shortest first."""
    found: list[tuple[int, int]] = []
    for shift in range(1, 5):
        count = (len(data) - shift) // 4
        if count <= 0:
            continue
        lengths = np.frombuffer(data, dtype=">u4", count=count, offset=shift)
        offsets = np.arange(count, dtype=np.int64) * 4 + shift
        fits = (lengths > 0) & (lengths <= PAYLOAD_BYTES)
        fits &= offsets + FRAME_HEAD.size + lengths.astype(np.int64) <= len(data)
        found.extend(zip(lengths[fits].tolist(), offsets[fits].tolist(), strict=True))
    return sorted(found)
