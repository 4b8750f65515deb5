"""The audit log: who changed what through the API, one JSON object a line, durable before it is done.

Each process appends to a file of its own, made at its first entry, and begins another behind what the disk
refused; `read_entries` puts them all in order. An entry names keys, calls and addresses, never a visitor.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from offer_optimizer.core.errors import NotFound, StorageUnavailable
from offer_optimizer.store.files import Files

SUFFIX: Final = ".audit"
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line: time in microseconds since the epoch, the key's name, the peer's address, call, verdict."""

    time_us: int
    actor: str
    peer: str
    call: str
    verdict: str


class AuditTrail:
    """Appends entries. Safe for threads."""

    def __init__(self, files: Files, directory: Path, writer_id: str, clock: Callable[[], int]) -> None:
        self._files = files
        self._directory = directory
        self._writer_id = writer_id
        self._clock = clock
        self._fd: int | None = None
        self._file_count = 0
        self._mutex = threading.Lock()

    def note(self, actor: str, peer: str, call: str, verdict: str) -> None:
        """Keep one entry durably. Raises StorageUnavailable."""
        with self._mutex:
            time_us = self._clock()
            line = json.dumps(asdict(AuditEntry(time_us, actor, peer, call, verdict))) + "\n"
            fd = self._fd
            is_new = fd is None
            if fd is None:
                fd = self._fd = self._begin(time_us)
            try:
                if is_new:
                    self._files.sync_dir(self._directory, "audit.sync_dir")
                self._files.append(fd, line.encode(), "audit.append")
                self._files.sync(fd, "audit.sync")
            except StorageUnavailable:
                # Its name may not last, a part of a line may be its end, and a second sync would wrongly
                # succeed: the next entry begins another file.
                self._fd = None
                self._files.close(fd)
                raise

    def _begin(self, time_us: int) -> int:
        self._files.make_dir(self._directory, "audit.dir", 0o700)
        # Two files of one process can begin at one time, where the clock went back.
        name = f"{time_us:016d}-{self._writer_id}-{self._file_count}{SUFFIX}"
        self._file_count += 1
        return self._files.open_append(self._directory / name, "audit", mode=_MODE)


def read_entries(files: Files, directory: Path) -> list[AuditEntry]:
    """Return all entries in the order of their times; a line that a crash cut short is left out."""
    try:
        names = [name for name in files.list(directory) if name.endswith(SUFFIX)]
    except NotFound:
        return []
    found = []
    for name in names:
        for line in files.read(directory / name).decode("utf-8", "replace").splitlines():
            try:
                found.append(AuditEntry(**json.loads(line)))
            except (ValueError, TypeError):
                continue
    return sorted(found, key=lambda entry: entry.time_us)
