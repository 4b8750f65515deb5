"""Snapshots: a model in our own envelope, written aside, synced, renamed; never half there, never silently wrong.

Envelope: magic `OOSN`, u32 header length, SnapshotHeader, u64 state length, state, SHA-256 of all before it.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.ledger.v1 import records_pb2 as pb
from offer_optimizer.store.files import Files

FORMAT_VERSION: Final = 1
_MAGIC: Final = b"OOSN"
_CURRENT: Final = "current"
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model's saved state with its ledger position and close cursor."""

    placement_id: str
    policy_epoch: bytes
    policy: str
    ledger_position: int
    close_time_us: int
    close_position: int
    learned_count: int
    state: bytes


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Put a snapshot into its envelope."""
    header = pb.SnapshotHeader(
        format_version=FORMAT_VERSION,
        placement_id=snapshot.placement_id,
        policy_epoch=snapshot.policy_epoch,
        ledger_position=snapshot.ledger_position,
        close_time_us=snapshot.close_time_us,
        close_position=snapshot.close_position,
        learned_count=snapshot.learned_count,
        policy=snapshot.policy,
    ).SerializeToString(deterministic=True)
    body = b"".join(
        (_MAGIC, struct.pack("<I", len(header)), header, struct.pack("<Q", len(snapshot.state)), snapshot.state)
    )
    return body + hashlib.sha256(body).digest()


def decode_snapshot(data: bytes, path: str) -> Snapshot:
    """Take a snapshot out of its envelope. Raises DamagedFile unless every byte is as written."""
    body, checksum = data[:-32], data[-32:]
    if len(data) < 48 or not data.startswith(_MAGIC):
        raise DamagedFile(path, "is not a snapshot")
    if hashlib.sha256(body).digest() != checksum:
        raise DamagedFile(path, "its checksum does not match: the file is cut or changed")
    (header_length,) = struct.unpack_from("<I", body, 4)
    try:
        header = pb.SnapshotHeader.FromString(body[8 : 8 + header_length])
    except DecodeError:
        raise DamagedFile(path, "its header can't be read") from None
    if header.format_version != FORMAT_VERSION:
        raise DamagedFile(path, f"format {header.format_version}, this release reads format {FORMAT_VERSION}")
    return Snapshot(
        placement_id=header.placement_id,
        policy_epoch=header.policy_epoch,
        policy=header.policy,
        ledger_position=header.ledger_position,
        close_time_us=header.close_time_us,
        close_position=header.close_position,
        learned_count=header.learned_count,
        state=body[16 + header_length :],
    )


class SnapshotStore:
    """Snapshots of all placements under one directory, one folder a placement.

    File names are `<epoch>-<ledger position>-<learned count>.snap`; `current` names the newest one published.
    Catching up after a restart, a model learns while the position stands still: the count tells those apart.
    """

    def __init__(self, files: Files, directory: Path) -> None:
        self._files = files
        self._directory = directory

    def publish(self, snapshot: Snapshot) -> Path:
        """Write a snapshot and make it the current one of its placement."""
        folder = self._directory / snapshot.placement_id
        self._files.make_dir(folder, "snapshot.folder")
        name = f"{snapshot.policy_epoch.hex()}-{snapshot.ledger_position:016d}-{snapshot.learned_count:016d}.snap"
        path = folder / name
        self._files.replace(path, encode_snapshot(snapshot), "snapshot.write")
        self._files.replace(folder / _CURRENT, path.name.encode(), "snapshot.point")
        return path

    def current_name(self, placement_id: str) -> str | None:
        """Return the file name of the current snapshot: cheap, for polling."""
        try:
            return (self._directory / placement_id / _CURRENT).read_text()
        except FileNotFoundError:
            return None

    def load(self, placement_id: str, name: str) -> Snapshot:
        """Read one snapshot. Raises DamagedFile, NotFound."""
        path = self._directory / placement_id / name
        return decode_snapshot(self._files.read(path), str(path))

    def newest(self, placement_id: str, policy_epoch: bytes) -> Snapshot | None:
        """Return the newest readable snapshot of an epoch; damaged ones are passed over."""
        for name in reversed(self.names(placement_id, policy_epoch)):
            try:
                return self.load(placement_id, name)
            except DamagedFile:
                continue
        return None

    def names(self, placement_id: str, policy_epoch: bytes | None = None) -> list[str]:
        """Return the file names of a placement's snapshots, oldest position first."""
        folder = self._directory / placement_id
        prefix = policy_epoch.hex() if policy_epoch else ""
        found = [path.name for path in folder.glob(f"{prefix}*.snap")] if folder.is_dir() else []
        return sorted(found, key=order_of)

    def placements(self) -> list[str]:
        """Return the placements that have snapshots."""
        return sorted(path.name for path in self._directory.iterdir() if path.is_dir()) if self._directory.is_dir() else []

    def prune(self, placement_id: str, now_us: int) -> None:
        """Delete what the retention rule does not keep."""
        folder = self._directory / placement_id
        written_us = {name: (folder / name).stat().st_mtime_ns // 1000 for name in self.names(placement_id)}
        keep = keep_rule(written_us, now_us) | {self.current_name(placement_id)}
        for name in written_us.keys() - keep:
            self._files.remove(folder / name, "snapshot.prune")


def order_of(name: str) -> tuple[int, int]:
    """Return ledger position and learned count out of a snapshot's file name."""
    _, position, learned_count = name.removesuffix(".snap").rsplit("-", 2)
    return int(position), int(learned_count)


def keep_rule(written_us: dict[str, int], now_us: int) -> set[str | None]:
    """Return which snapshots stay: the last two, then the last of each hour for a day, of each day for thirty.

    `written_us` maps file name to when it was written. Hours and days are those of the clock, not ages:
    the newest of the running hour is replaced all the time, and the one it ends with stays.
    """
    newest_first = sorted(written_us, key=lambda name: (written_us[name], order_of(name)), reverse=True)
    keep: set[str | None] = set(newest_first[:2])
    seen: set[tuple[str, int]] = set()
    for name in newest_first:
        written = written_us[name]
        if now_us - written < _DAY_US:
            bucket = ("hour", written // _HOUR_US)
        elif now_us - written < 30 * _DAY_US:
            bucket = ("day", written // _DAY_US)
        else:
            continue
        if bucket not in seen:
            seen.add(bucket)
            keep.add(name)
    return keep
