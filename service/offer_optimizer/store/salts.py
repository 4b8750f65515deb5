"""Salts of the keyed hashes: made once for a data directory, kept in a file, copied into the ledger.

File: one JSON object per line, ascending by salt id; the last line has the CRC32 of all before it (files of
early releases lack it). The newest salt of a purpose is the one in use.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.store.files import Files

PURPOSES: Final = ("draw", "holdout")
SALT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Salt:
    """A salt of a keyed hash; `purpose` is `draw` or `holdout`."""

    salt_id: int
    purpose: str
    salt: bytes


def load_or_create_salts(files: Files, path: Path, entropy: Callable[[int], bytes]) -> tuple[Salt, ...]:
    """Return the salts of a data directory, made at first sight. Raises DamagedFile."""
    if not files.exists(path):
        made = [
            Salt(number, purpose, entropy(SALT_BYTES)) for number, purpose in enumerate(PURPOSES, start=1)
        ]
        lines = [json.dumps({"salt_id": s.salt_id, "purpose": s.purpose, "salt": s.salt.hex()}) for s in made]
        content = ("\n".join(lines) + "\n").encode()
        files.replace(path, content + _checksum_line(content), "salts.write", mode=0o600)
    return read_salts(files, path)


def read_salts(files: Files, path: Path) -> tuple[Salt, ...]:
    """Return the salts in a file. Raises NotFound, DamagedFile, StorageUnavailable."""
    content = files.read(path)
    try:
        rows = [json.loads(line) for line in content.decode().splitlines()]
        if "crc32" in rows[-1]:
            rows.pop()
            end = content.rstrip(b"\n").rindex(b"\n") + 1
            if content[end:] != _checksum_line(content[:end]):
                raise DamagedFile(
                    str(path),
                    "the checksum is wrong: restore it from a backup; draws can't be repeated without",
                )
        salts = tuple(Salt(row["salt_id"], row["purpose"], bytes.fromhex(row["salt"])) for row in rows)
    except (ValueError, KeyError, TypeError, IndexError):
        raise DamagedFile(
            str(path), "can't be read: restore it from a backup; draws can't be repeated without it"
        ) from None
    if {salt.purpose for salt in salts} != set(PURPOSES) or any(
        len(salt.salt) != SALT_BYTES for salt in salts
    ):
        raise DamagedFile(str(path), "lacks a salt: restore it from a backup")
    return salts


def _checksum_line(content: bytes) -> bytes:
    return (json.dumps({"crc32": f"{zlib.crc32(content):08x}"}) + "\n").encode()


def newest_salt(salts: tuple[Salt, ...], purpose: str) -> Salt:
    """Return the salt in use for a purpose."""
    return max((salt for salt in salts if salt.purpose == purpose), key=lambda salt: salt.salt_id)
