"""The trial: open an LMDB environment and read all of it, in a process that may die of it.

Run as `python -m offer_optimizer.store.hot_trial DIRECTORY`; exit status 0 says that all could be read. A
damaged map can end a process by SIGBUS or SIGSEGV, which no `except` catches.
"""

from __future__ import annotations

import subprocess
import sys
import zlib
from typing import Final

import lmdb

from offer_optimizer.store.files import StrPath

TRIAL_LIMIT_S: Final = 20.0
MAP_BYTES: Final = 8 << 30
"""Address space of an environment; some eight million decisions, or thirty million visitors."""
READERS: Final = 2048
"""Threads of all processes that may read at once. The first to open says it for all, so all say the same."""


def survives(directory: StrPath) -> bool:
    """Return whether a child process can read all of an environment in time."""
    command = [sys.executable, "-m", "offer_optimizer.store.hot_trial", str(directory)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TRIAL_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def read_all(directory: StrPath) -> int:
    """Read every entry; return how many there are. Raises lmdb.Error, or dies."""
    count = checksum = 0
    with (
        lmdb.open(
            str(directory), map_size=MAP_BYTES, readonly=True, create=False, max_readers=READERS
        ) as environment,
        environment.begin(buffers=True) as transaction,
        transaction.cursor() as cursor,
    ):
        for _, value in cursor:
            # The sum itself says nothing: making it touches every byte.
            checksum = zlib.crc32(value, checksum)
            count += 1
    return count


if __name__ == "__main__":
    read_all(sys.argv[1])
