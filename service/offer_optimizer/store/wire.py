"""The two things of protobuf's wire format that can't be put together from serialised messages. Pure.

Serialised messages may be joined: the parser merges them. A message inside another needs its length in front.

Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2

_ONE_BYTE: Final = tuple(bytes((number,)) for number in range(128))


def varint(number: int) -> bytes:
    """Return an integer of at least 0 in as few bytes as it takes, seven bits in each."""
    if number < 128:
        return _ONE_BYTE[number]
    if number < 1 << 21:
        return bytes((number & 127 | 128,)) + varint(number >> 7)
    # Of a time in microseconds the upper part stays the same for two seconds.
    return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14 & 127 | 128)) + _upper(
        number >> 21
    )


@lru_cache(maxsize=64)
def _upper(number: int) -> bytes:
    return varint(number)


def tag(number: int, kind: int) -> bytes:
    """Return what stands in front of a field's value."""
    return varint(number << 3 | kind)


def sized(head: bytes, content: bytes) -> bytes:
    """Return a field of bytes, of a message or of packed numbers; `head` is its tag."""
    return head + varint(len(content)) + content
