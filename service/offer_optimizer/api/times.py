"""Microseconds since the epoch, and protobuf's timestamps."""

from __future__ import annotations

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from offer_optimizer.core.errors import InvalidInput

# The range that google.protobuf.Timestamp itself allows: years 1 to 9999.
_SECONDS_MIN: Final = -62_135_596_800
_SECONDS_MAX: Final = 253_402_300_799


def time_us(time: Timestamp, where: str) -> int:
    """Return microseconds since the epoch, rounded down. Raises InvalidInput out of range."""
    if not (_SECONDS_MIN <= time.seconds <= _SECONDS_MAX and 0 <= time.nanos <= 999_999_999):
        raise InvalidInput(where, "is outside of years 1 to 9999, or its nanos outside of 0 to 999,999,999")
    return time.seconds * 1_000_000 + time.nanos // 1000


def timestamp(time_us: int) -> Timestamp:
    """Return a timestamp."""
    return Timestamp(seconds=time_us // 1_000_000, nanos=time_us % 1_000_000 * 1000)
