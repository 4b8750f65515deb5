"""Clock and entropy: read here and nowhere else, and passed on as values."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

_BOOT_ID_PATH: Final = Path("/proc/sys/kernel/random/boot_id")

_STOCKED: Final = 256

entropy = os.urandom


class EntropyStock:
    """Entropy in pieces of one size, taken from a source many at a time. Safe for threads; no piece twice.

    Each call of the kernel gives the interpreter lock away, and a busy process waits to get it back.
    """

    def __init__(self, source: Callable[[int], bytes], piece_bytes: int) -> None:
        self._source = source
        self._piece_bytes = piece_bytes
        self._pieces: deque[bytes] = deque()

    def take(self, count: int) -> bytes:
        """Return `count` random bytes; kept in stock are pieces of the size given at the beginning."""
        size = self._piece_bytes
        if count != size:
            return self._source(count)
        try:
            return self._pieces.pop()
        except IndexError:
            block = self._source(size * _STOCKED)
            first, *others = (block[at : at + size] for at in range(0, len(block), size))
            self._pieces.extend(others)
            return first


def wall_clock_us() -> int:
    """Return microseconds since the epoch."""
    return time.time_ns() // 1000


def boot_clock_us() -> int:
    """Return microseconds since boot, sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return _BOOT_ID_PATH.read_text().strip()
