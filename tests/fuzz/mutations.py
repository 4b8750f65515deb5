"""Bytes that no generated code would send: noise, damaged messages, the wire format against its reader."""

from __future__ import annotations

import random
from typing import Final

LONGEST: Final = 4096


def noise(chance: random.Random) -> bytes:
    """Return random bytes, mostly few."""
    return chance.randbytes(int(chance.expovariate(1 / 60)) % LONGEST)


def damage(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """Return `data` with bits flipped, cut, doubled, or spliced with `other`."""
    if not data:
        return noise(chance)
    kind = chance.randrange(6)
    at = chance.randrange(len(data))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + data[at:] * 2
    if kind == 2:
        return data[:at] + other[chance.randrange(len(other) + 1) :]
    if kind == 3:
        return data[:at] + chance.randbytes(chance.randrange(1, 9)) + data[at:]
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def wire(chance: random.Random, data: bytes) -> bytes:
    """Return `data` with something in front or behind that the wire format allows and nobody sends."""
    field = varint(
        chance.choice((1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 1000, 2**29 - 1)) << 3 | chance.randrange(8)
    )
    piece = chance.choice(
        (
            field + varint(chance.getrandbits(64)),
            field + b"\xff" * 11,
            field + varint(2**31 - 1),
            field + varint(2**32 + 5) + b"12345",
            field + varint(3) + b"\xff\xfe\xfd",
            # Groups, opened and never closed, deeper than parsers go; and messages in messages.
            b"\x0b" * chance.choice((1, 99, 101, 3000)),
            nested(chance.choice((5, 99, 101, 1000))),
            b"\x1a\x02\xed\xa0",
            b"\x0a\x04\xf0\x28\x8c\x28",
            b"",
        )
    )
    return piece + data if chance.random() < 0.5 else data + piece


def nested(depth: int) -> bytes:
    """Return a message whose field 3 is a message whose field 3 is one, and so on."""
    found = b""
    for _ in range(depth):
        found = b"\x1a" + varint(len(found)) + found
    return found
