"""Snapshots: a model in our own envelope, written aside, synced, renamed: never half there or silently wrong.

Envelope: magic `OOSN`, u32 header length, SnapshotHeader, u64 state length, state, SHA-256 of all before it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from google.protobuf.message import DecodeError

from offer_optimizer.core.errors import DamagedFile, NotFound
from offer_optimizer.ledger.v1 import records_pb2 as pb
from offer_optimizer.store.files import Files

log = structlog.get_logger(__name__)

FORMAT_VERSION: Final = 1
_MAGIC: Final = b"OOSN"
_SNAPSHOT: Final = ".snap"
_CURRENT: Final = ".current"
_PROMOTED: Final = ".promoted"
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_MONTH_US: Final = 30 * _DAY_US


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model's saved state with its ledger position and close cursor.

    `lineage_position` is that of the last quarantine or promotion that the model takes account of.
    `remarks` are what the policy had to say about how it answers.
    """

    placement_id: str
    policy_epoch: bytes
    policy: str
    ledger_position: int
    close_time_us: int
    close_position: int
    learned_count: int
    state: bytes
    lineage_position: int = 0
    remarks: tuple[str, ...] = ()


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
        lineage_position=snapshot.lineage_position,
        remarks=snapshot.remarks,
    ).SerializeToString(deterministic=True)
    start = b"".join((_MAGIC, struct.pack("<I", len(header)), header, struct.pack("<Q", len(snapshot.state))))
    checksum = hashlib.sha256(start)
    checksum.update(snapshot.state)
    return b"".join((start, snapshot.state, checksum.digest()))


def decode_snapshot(data: bytes, path: str) -> Snapshot:
    """Take a snapshot out of its envelope. Raises DamagedFile unless every byte is as written."""
    # A state may have megabytes, and copying them holds up whoever decides meanwhile.
    body, checksum = memoryview(data)[:-32], data[-32:]
    if len(data) < 48 or not data.startswith(_MAGIC):
        raise DamagedFile(path, "is not a snapshot")
    if hashlib.sha256(body).digest() != checksum:
        raise DamagedFile(path, "its checksum does not match: the file is cut or changed")
    (header_length,) = struct.unpack_from("<I", body, 4)
    try:
        header = pb.SnapshotHeader.FromString(bytes(body[8 : 8 + header_length]))
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
        state=bytes(body[16 + header_length :]),
        lineage_position=header.lineage_position,
        remarks=tuple(header.remarks),
    )


class SnapshotStore:
    """Snapshots of all placements under one directory, one folder a placement.

    File names are `<epoch>-<ledger position>-<learned count>-<time written>.snap`. Catching up
    after a restart, a model learns while the position stands still: the count tells those apart. The time is
    the publisher's clock; a file's own time would not survive a copy. `<epoch>.current` names the newest one
    published of an epoch, so that a placement whose policy is changed back serves what it had learned.
    `<name>.promoted` stands beside one that began to serve by a promotion: it is never pruned.
    """

    def __init__(self, files: Files, directory: Path) -> None:
        self._files = files
        self._directory = directory

    def publish(self, snapshot: Snapshot, now_us: int, *, is_promoted: bool = False) -> Path:
        """Write a snapshot and make it the current one of its epoch. Raises StorageUnavailable."""
        folder = self._directory / snapshot.placement_id
        self._files.make_dir(folder, "snapshot.folder")
        epoch = snapshot.policy_epoch.hex()
        numbers = (snapshot.ledger_position, snapshot.learned_count, max(now_us, 0))
        path = folder / ("-".join([epoch, *(f"{number:016d}" for number in numbers)]) + _SNAPSHOT)
        if is_promoted:
            self._files.replace(folder / f"{path.name}{_PROMOTED}", b"", "snapshot.promoted")
        self._files.replace(path, encode_snapshot(snapshot), "snapshot.write")
        self._files.replace(folder / f"{epoch}{_CURRENT}", path.name.encode(), "snapshot.point")
        return path

    def current_name(self, placement_id: str, policy_epoch: bytes) -> str | None:
        """Return the file name of an epoch's current snapshot: for polling. Raises StorageUnavailable."""
        try:
            data = self._files.read(self._directory / placement_id / f"{policy_epoch.hex()}{_CURRENT}")
        except NotFound:
            return None
        return data.decode(errors="replace")

    def load(self, placement_id: str, name: str) -> Snapshot:
        """Read one snapshot. Raises DamagedFile, NotFound, StorageUnavailable."""
        path = self._directory / placement_id / name
        return decode_snapshot(self._files.read(path), str(path))

    def readable(self, placement_id: str, policy_epoch: bytes) -> Iterator[tuple[str, Snapshot]]:
        """Yield names and snapshots of an epoch, newest first; damaged ones are passed over."""
        for name in self.newest_first(placement_id, policy_epoch):
            try:
                snapshot = self.load(placement_id, name)
            except DamagedFile as error:
                log.error("snapshot_damaged", placement=placement_id, error=str(error), effect="passed over")
                continue
            yield name, snapshot

    def newest_first(self, placement_id: str, policy_epoch: bytes) -> list[str]:
        """Return the file names of an epoch's snapshots; of those at one position, the current one is newest.

        Trained anew behind a quarantine, it has learned less than the one that it took over from.
        """
        current = self.current_name(placement_id, policy_epoch)
        names = self.names(placement_id, policy_epoch)
        return sorted(names, key=lambda name: (order_of(name)[0], name == current, order_of(name)))[::-1]

    def names(self, placement_id: str, policy_epoch: bytes | None = None) -> list[str]:
        """Return the file names of a placement's snapshots, oldest position first."""
        prefix = policy_epoch.hex() if policy_epoch else ""
        found = [
            name
            for name in self._listed(placement_id)
            if name.startswith(prefix) and name.endswith(_SNAPSHOT)
        ]
        return sorted(found, key=order_of)

    def promoted_names(self, placement_id: str) -> set[str]:
        """Return the file names of a placement's snapshots that began to serve by a promotion."""
        found = (name for name in self._listed(placement_id) if name.endswith(_PROMOTED))
        return {name.removesuffix(_PROMOTED) for name in found}

    def placements(self) -> list[str]:
        """Return the placements that have snapshots."""
        try:
            return self._files.list(self._directory)
        except NotFound:
            return []

    def epochs(self, placement_id: str) -> list[bytes]:
        """Return the epochs of a placement that have a current snapshot."""
        found = [name for name in self._listed(placement_id) if name.endswith(_CURRENT)]
        return [bytes.fromhex(name.removesuffix(_CURRENT)) for name in found]

    def prune(self, placement_id: str, policy_epoch: bytes, now_us: int) -> None:
        """Delete what the retention rule does not keep, and epochs left for thirty days, except this one.

        What was promoted stays.
        """
        folder = self._directory / placement_id
        promoted = self.promoted_names(placement_id)
        for epoch in self.epochs(placement_id):
            names = self.names(placement_id, epoch)
            if epoch != policy_epoch and all(now_us - written_us(name) >= _MONTH_US for name in names):
                # The pointer first: it never names a file that is gone.
                self._files.remove(folder / f"{epoch.hex()}{_CURRENT}", "snapshot.prune")
                keep: set[str | None] = set()
            else:
                keep = {*keep_rule(names, now_us), self.current_name(placement_id, epoch)}
            for name in names:
                if name not in keep | promoted:
                    self._files.remove(folder / name, "snapshot.prune")

    def _listed(self, placement_id: str) -> list[str]:
        try:
            return self._files.list(self._directory / placement_id)
        except NotFound:
            return []


def order_of(name: str) -> tuple[int, int, int]:
    """Return ledger position, learned count and time written out of a snapshot's file name."""
    _, position, learned_count, written = name.removesuffix(_SNAPSHOT).rsplit("-", 3)
    return int(position), int(learned_count), int(written)


def written_us(name: str) -> int:
    """Return when a snapshot was written, in microseconds, out of its file name."""
    return order_of(name)[2]


def keep_rule(names: list[str], now_us: int) -> set[str]:
    """Return which snapshots of an epoch stay: the last two, hourly ones for a day, daily ones for thirty.

    Hours and days are those of the clock, not ages: the newest of the running hour is replaced all the time,
    and the one it ends with stays.
    """
    newest_first = sorted(names, key=order_of, reverse=True)
    keep = set(newest_first[:2])
    seen: set[tuple[str, int]] = set()
    for name in newest_first:
        written = written_us(name)
        if now_us - written < _DAY_US:
            bucket = ("hour", written // _HOUR_US)
        elif now_us - written < _MONTH_US:
            bucket = ("day", written // _DAY_US)
        else:
            continue
        if bucket not in seen:
            seen.add(bucket)
            keep.add(name)
    return keep
