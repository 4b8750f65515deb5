"""Identity: turns visitor ids into digests under the data directory's secret.

What always holds: no record holds a visitor id, and the secret is never printed, logged or sent. Losing the
secret cuts every visitor from their past, so a damaged one is refused and never made anew. It may
not know what a digest is used for.

    "OOID" | u16 version | 32 bytes secret | u32 CRC32 of all before
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from typing import Final

from offer_optimizer.core.errors import DamagedFile, NotFound
from offer_optimizer.store.files import Files, StrPath

MAGIC: Final = b"OOID"
FORMAT_VERSION: Final = 1
SECRET_BYTES: Final = 32
SECRET_MODE: Final = 0o600
DIGEST_BYTES: Final = 32
_BLOCK_BYTES: Final = 64
_BODY: Final = struct.Struct(f">4sH{SECRET_BYTES}s")
_CRC: Final = struct.Struct(">I")
_RESTORE: Final = "restore it from a backup; visitors are known by it"


class Identity:
    """Makes digests. Safe for threads."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        """Prepare both halves of HMAC-SHA-256 (RFC 2104), so that a digest sets up no key."""
        block = secret.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    @classmethod
    def load(cls, files: Files, path: StrPath) -> Identity:
        """Read the secret. Raises NotFound, StorageUnavailable, DamagedFile."""
        content = files.read(path)
        if len(content) != _BODY.size + _CRC.size:
            raise DamagedFile(
                str(path), f"{len(content)} bytes, must be {_BODY.size + _CRC.size}: {_RESTORE}"
            )
        magic, version, secret = _BODY.unpack_from(content)
        if _CRC.unpack_from(content, _BODY.size)[0] != zlib.crc32(content[: _BODY.size]):
            raise DamagedFile(str(path), f"the checksum is wrong: {_RESTORE}")
        if (magic, version) != (MAGIC, FORMAT_VERSION):
            raise DamagedFile(str(path), f"format {version}; this release reads {FORMAT_VERSION}")
        return cls(secret)

    @classmethod
    def load_or_create(cls, files: Files, path: StrPath, entropy: Callable[[int], bytes]) -> Identity:
        """Read the secret, or make it from 32 bytes of `entropy` where there is none.

        Call it under the data directory's lock: two makers at once would each have their own. Raises
        StorageUnavailable, DamagedFile.
        """
        try:
            return cls.load(files, path)
        except NotFound:
            body = _BODY.pack(MAGIC, FORMAT_VERSION, entropy(SECRET_BYTES))
            files.replace(path, body + _CRC.pack(zlib.crc32(body)), "secret", SECRET_MODE)
            return cls.load(files, path)

    def digest(self, visitor_id: str) -> bytes:
        """Return HMAC-SHA-256 of the id, 32 bytes; empty for a visitor without an id."""
        if not visitor_id:
            return b""
        inner = self._inner.copy()
        inner.update(visitor_id.encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()
