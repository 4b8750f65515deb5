"""Clock and entropy: read here and nowhere else, and passed on as values."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_BOOT_ID_PATH: Final = Path("/proc/sys/kernel/random/boot_id")

entropy = os.urandom


def wall_clock_us() -> int:
    """Return microseconds since the epoch."""
    return time.time_ns() // 1000


def boot_clock_us() -> int:
    """Return microseconds since boot, sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return _BOOT_ID_PATH.read_text().strip()
