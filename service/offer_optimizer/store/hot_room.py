"""Room on the disk for the hot cache, taken before LMDB stores into its map.

A store to a mapped page for which the disk has no block ends the process by SIGBUS, which no `except`
catches. So whoever is about to change the cache, under its lock, has the file allocated for RESERVE_BYTES
behind the last page in use, more than one transaction takes; then a full disk is an error like any other. It
may not know what lies in the pages.

This holds on file systems that overwrite in place (ext4, xfs, tmpfs). One that copies on write may still run
out of blocks under a page that was allocated.
"""

from __future__ import annotations

import os
import weakref
from typing import Final

from offer_optimizer.store.files import StrPath

RESERVE_BYTES: Final = 16 << 20
"""A transaction of the learner brings 50 items of at most 256 KiB; a decision takes a dozen pages."""
STEP_BYTES: Final = 16 << 20


class HotRoom:
    """The file of one environment, as one process keeps it allocated. Call it under the cache's lock."""

    def __init__(self, path: StrPath, map_bytes: int) -> None:
        """Open the file, which exists. Raises OSError."""
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._closing = weakref.finalize(self, os.close, self._fd)
        self._map_bytes = map_bytes
        self._end = 0

    def ensure(self, used_bytes: int, more_bytes: int = 0) -> None:
        """Allocate what a transaction may take behind the bytes in use. Raises OSError: there is no room."""
        need = used_bytes + more_bytes + RESERVE_BYTES
        if need <= self._end or self._end == self._map_bytes:
            return
        end = min(need + STEP_BYTES, self._map_bytes)
        os.posix_fallocate(self._fd, self._end, end - self._end)
        self._end = end

    def close(self) -> None:
        """Let go of the file."""
        self._closing()
