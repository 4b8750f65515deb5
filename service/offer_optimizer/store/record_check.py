"""The checksum that each record of the ledger has beside it: SQLite and protobuf keep none of values.

What always holds: one changed bit of a record's kind, visitor or body is noticed by whoever reads it. Records
of formats before 4 have none (NULL): those up to the position that `unchecked_position` returns.
"""

from __future__ import annotations

import sqlite3
from typing import Final
from zlib import crc32

from offer_optimizer.core.errors import DamagedFile

UNCHECKED: Final = "unchecked_position"
_NOBODY: Final = 0x100
"""Beside every kind: a record without a visitor is not one of the visitor 0."""


def checksum_of(kind: int, visitor_key: int | None, body: bytes) -> int:
    """Return the CRC-32 of a record as a signed number, which SQLite keeps in 4 bytes."""
    # The kind is where the sum begins; the rest goes through it in order.
    if visitor_key is None:
        found = crc32(body, kind | _NOBODY)
    else:
        found = crc32(body, crc32(visitor_key.to_bytes(8, "little", signed=True), kind))
    return found - 0x1_0000_0000 if found & 0x8000_0000 else found


def whole(position: int, kind: int, visitor_key: int | None, body: bytes, checksum: int | None) -> bytes:
    """Return the body of a record that is as it was written. Raises DamagedFile."""
    try:
        is_whole = checksum is None or checksum_of(kind, visitor_key, body) == checksum
    except (TypeError, AttributeError, OverflowError):  # of another type, as a changed byte may make it
        is_whole = False
    if is_whole:
        return body
    raise DamagedFile(
        "ledger.sqlite",
        f"the record at position {position} is not what was written: stop the server and restore the ledger "
        "from a backup (`offer-optimizer doctor --data DIR` says whether more is damaged)",
    )


def unchecked_position(connection: sqlite3.Connection) -> int:
    """Return the last position of the records that an older release kept without a checksum; 0 for none."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (UNCHECKED,)).fetchone()
    return 0 if row is None else int(row[0])
