"""The child of the trial: open an LMDB environment and read all of it.

Run as `python -m offer_optimizer.store.hot_reading DIRECTORY`; exit status 0 says that all could be read.
Every decider waits for one before it serves, so this module loads LMDB and next to nothing else.
"""

from __future__ import annotations

import sys
import zlib

import lmdb

MAP_BYTES = 8 << 30
"""Address space of an environment; some eight million decisions, or thirty million visitors."""
READERS = 2048
"""Threads of all processes that may read at once. The first to open says it for all, so all say the same."""


def read_all(directory: str) -> int:
    """Read every entry; return how many there are. Raises lmdb.Error, or dies."""
    count = checksum = 0
    with (
        lmdb.open(
            directory, map_size=MAP_BYTES, readonly=True, create=False, max_readers=READERS
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
