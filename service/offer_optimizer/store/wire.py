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

_SMALL: Final = tuple(
    bytes((number,)) if number < 128 else bytes((number & 127 | 128, number >> 7)) for number in range(2048)
)


def varint(number: int) -> bytes:
    """Return a 64-bit integer in as few bytes as it takes, seven bits in each; a negative one takes ten."""
    if 0 <= number < 2048:
        return _SMALL[number]
    if number < 0:
        number += 1 << 64
    if number < 1 << 21:
        return bytes((number & 127 | 128,)) + varint(number >> 7)
    # Of a time in microseconds the upper part stays the same for two seconds.
    lower = bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14 & 127 | 128))
    return lower + _upper(number >> 21)


@lru_cache(maxsize=64)
def _upper(number: int) -> bytes:
    return varint(number)


def tag(number: int, kind: int) -> bytes:
    """Return what stands in front of a field's value."""
    return varint(number << 3 | kind)


def sized(head: bytes, content: bytes) -> bytes:
    """Return a field of bytes, of a message or of packed numbers; `head` is its tag."""
    length = len(content)
    return head + (_SMALL[length] if length < 2048 else varint(length)) + content
