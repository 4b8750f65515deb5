"""The checksum beside each record and visitor of the ledger: SQLite and protobuf keep none of values.

What always holds: one changed bit of a record's kind, visitor or body, or of a visitor's key, is noticed by
whoever reads the body or asks for the key; an index made of keys alone takes a changed one as it is. What was
kept in formats before 4 has none (NULL): records up to the position that `unchecked_position` returns.
"""

from __future__ import annotations

import sqlite3
from typing import Final
from zlib import crc32

from offer_optimizer.core.errors import DamagedFile

UNCHECKED: Final = "unchecked_position"
RESTORE: Final = (
    "stop the server and restore the ledger from a backup "
    "(`offer-optimizer doctor --data DIR` says whether more is damaged)"
)
_NOBODY: Final = 0x100
"""Beside every kind: a record without a visitor is not one of the visitor 0."""
_A_VISITOR: Final = 0x200
"""Beside every kind too."""


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
        "ledger.sqlite", f"the record at position {position} is not what was written: {RESTORE}"
    )


def visitor_checksum(digest: bytes, visitor_key: int) -> int:
    """Return the checksum of which digest has which key."""
    return checksum_of(_A_VISITOR, visitor_key, digest)


def is_whole_key(digest: bytes, visitor_key: int, checksum: int | None) -> bool:
    """Return whether a visitor's row is as it was written."""
    try:
        return checksum is None or visitor_checksum(digest, visitor_key) == checksum
    except (TypeError, AttributeError, OverflowError):
        return False


def whole_key(digest: bytes, visitor_key: int, checksum: int | None) -> int:
    """Return the key of a visitor whose row is as it was written. Raises DamagedFile, not saying whose."""
    if is_whole_key(digest, visitor_key, checksum):
        return visitor_key
    raise DamagedFile("ledger.sqlite", f"the key of a visitor is not what was written: {RESTORE}")


def unchecked_position(connection: sqlite3.Connection) -> int:
    """Return the last position of the records that an older release kept without a checksum; 0 for none."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (UNCHECKED,)).fetchone()
    return 0 if row is None else int(row[0])
