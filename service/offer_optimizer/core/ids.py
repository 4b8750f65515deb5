"""Decision ids: UUIDv7, time-ordered so that indexes stay append-only, unguessable so that pages carry them.

Source: RFC 9562, section 5.7.
"""

from __future__ import annotations

import struct
import uuid
from typing import Final

from offer_optimizer.core.errors import InvalidInput

ENTROPY_BYTES: Final = 10
_HALVES: Final = struct.Struct(">QQ")


def make_decision_id(time_us: int, entropy: bytes) -> bytes:
    """Build a UUIDv7 from a time in microseconds and 10 random bytes; 74 of their bits are used."""
    random_bits = int.from_bytes(entropy, "big")
    upper = (time_us // 1000 & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | random_bits >> 62 & 0xFFF
    return _HALVES.pack(upper, 0b10 << 62 | random_bits & 0x3FFF_FFFF_FFFF_FFFF)


def format_decision_id(decision_id: bytes) -> str:
    """Return the canonical text form."""
    # As uuid.UUID writes it, in a third of the time.
    text = decision_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def parse_decision_id(text: str, where: str) -> bytes:
    """Parse the canonical text form (36 characters, any case). Raises InvalidInput."""
    if len(text) != 36:
        raise InvalidInput(where, f"is {len(text)} characters, a decision_id has 36")
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        raise InvalidInput(where, "is not a UUID") from None
    if str(parsed) != text.lower():
        raise InvalidInput(where, "is not a UUID in its canonical form")
    return parsed.bytes
