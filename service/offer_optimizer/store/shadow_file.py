"""What a shadow policy has come to, one file each: its model and its sums at one close cursor.

Model and sums are written together, so that none is ever ahead of the other. A file that is damaged or gone
costs time alone: both are derived again from the ledger.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from offer_optimizer.core.errors import DamagedFile, NotFound
from offer_optimizer.store.files import Files

SUFFIX: Final = ".shadow"
_MAGIC: Final = b"OOS1"
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class ShadowState:
    """A shadow at a close cursor. `begun_position` is that of the ledger record it began with.

    `ledger_position` and `ledger_time_us` are the ledger's when it was written; `steering_count` says how
    many records that take lessons away it knew. `busy_us` is processor time, which no rebuild repeats.
    `sums` are the judge's, `model` the policy's saved state.
    """

    placement_id: str
    name: str
    policy_epoch: bytes
    incumbent_epoch: bytes
    begun_position: int
    close_time_us: int
    close_position: int
    learned_count: int
    judged_count: int
    taken_position: int
    ledger_position: int
    ledger_time_us: int
    share: float
    busy_us: int
    sums: bytes
    model: bytes


def encode_shadow(state: ShadowState) -> bytes:
    """Put a shadow into its envelope."""
    header: dict[str, Any] = {name: getattr(state, name) for name in _FIELDS}
    header |= {"policy_epoch": state.policy_epoch.hex(), "incumbent_epoch": state.incumbent_epoch.hex()}
    text = json.dumps(header, sort_keys=True).encode()
    body = b"".join((_MAGIC, struct.pack("<IQ", len(text), len(state.sums)), text, state.sums, state.model))
    return body + hashlib.sha256(body).digest()


def decode_shadow(data: bytes, path: str) -> ShadowState:
    """Take a shadow out of its envelope. Raises DamagedFile unless every byte is as written."""
    body, checksum = data[:-32], data[-32:]
    if len(data) < 48 or not data.startswith(_MAGIC):
        raise DamagedFile(path, "is not a shadow's file")
    if hashlib.sha256(body).digest() != checksum:
        raise DamagedFile(path, "its checksum does not match: the file is cut or changed")
    text_length, sums_length = struct.unpack_from("<IQ", body, 4)
    start = 16 + text_length
    header = json.loads(body[16:start])
    header |= {name: bytes.fromhex(header[name]) for name in ("policy_epoch", "incumbent_epoch")}
    return ShadowState(**header, sums=body[start : start + sums_length], model=body[start + sums_length :])


class ShadowStore:
    """Shadows of all placements under one directory, `PLACEMENT/NAME.shadow`."""

    def __init__(self, files: Files, directory: Path) -> None:
        self._files = files
        self._directory = directory

    def write(self, state: ShadowState) -> None:
        """Write a shadow in the place of what it was. Raises StorageUnavailable."""
        folder = self._directory / state.placement_id
        self._files.make_dir(self._directory, "shadow.directory", 0o700)
        self._files.make_dir(folder, "shadow.folder", 0o700)
        self._files.replace(folder / f"{state.name}{SUFFIX}", encode_shadow(state), "shadow.write", _MODE)

    def read(self, placement_id: str, name: str) -> ShadowState | None:
        """Return a shadow; None where there is no file. Raises DamagedFile."""
        path = self._directory / placement_id / f"{name}{SUFFIX}"
        try:
            return decode_shadow(self._files.read(path), str(path))
        except NotFound:
            return None

    def tidy(self) -> None:
        """Remove what a writer that died left unfinished. Raises StorageUnavailable."""
        for placement_id in self._listed(self._directory):
            self._files.remove_leftovers(self._directory / placement_id, "shadow.leftovers")

    def names(self) -> list[tuple[str, str]]:
        """Return (placement, name) of every file."""
        found = []
        for placement_id in self._listed(self._directory):
            names = self._listed(self._directory / placement_id)
            found += [(placement_id, name.removesuffix(SUFFIX)) for name in names if name.endswith(SUFFIX)]
        return found

    def remove(self, placement_id: str, name: str) -> None:
        """Remove a shadow's file. Raises StorageUnavailable."""
        self._files.remove(self._directory / placement_id / f"{name}{SUFFIX}", "shadow.remove")

    def _listed(self, path: Path) -> list[str]:
        try:
            return self._files.list(path)
        except NotFound:
            return []


_FIELDS: Final = tuple(name for name in ShadowState.__slots__ if name not in ("sums", "model"))
