"""By how much the wall clock leads the boot clock, kept for one boot of the machine.

File: one JSON object. What can't be read, or is of another boot, counts as not there: it holds nothing that a
fresh look at both clocks would not give.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import structlog

from offer_optimizer.core.errors import NotFound
from offer_optimizer.store.files import Files

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ClockFile:
    """The offset of this boot, in microseconds. Implements learn.clock_watch.KeptOffset."""

    files: Files
    path: Path
    boot_id: str

    def load(self) -> int | None:
        """Return the offset that was kept; None where none was in this boot. Raises StorageUnavailable."""
        try:
            content = json.loads(self.files.read(self.path))
            boot_id, offset_us = content["boot_id"], content["offset_us"]
        except NotFound:
            return None
        except (ValueError, KeyError, TypeError):
            log.error("clock_file_unreadable", path=str(self.path), effect="the clock is taken as it is")
            return None
        return int(offset_us) if boot_id == self.boot_id and isinstance(offset_us, int) else None

    def save(self, offset_us: int) -> None:
        """Keep an offset. Raises StorageUnavailable."""
        content = json.dumps({"boot_id": self.boot_id, "offset_us": offset_us})
        self.files.replace(self.path, f"{content}\n".encode(), "clock.write")
