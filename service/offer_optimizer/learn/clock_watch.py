"""Watches the wall clock against the boot clock: a jump must not close windows or attribute feedback.

What was trusted is kept for this boot of the machine, so that a learner that starts again in the middle of a
jump does not take the new time for granted: an operator accepts it, or puts the clock right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import structlog

log = structlog.get_logger(__name__)

JUMP_US: Final = 60_000_000
KEPT_WITHIN_US: Final = 1_000_000
"""The kept offset is written anew once it is off by more: not at every look."""


class KeptOffset(Protocol):
    """By how much the wall clock leads the boot clock, kept for one boot."""

    def load(self) -> int | None:
        """Return what was kept in this boot, in microseconds. Raises StorageUnavailable."""
        ...

    def save(self, offset_us: int) -> None:
        """Keep an offset. Raises StorageUnavailable."""
        ...


class ClockWatch:
    """Trusts the wall clock while it moves with the boot clock, within 60 s from one look to the next.

    Small steps are followed: a clock that is corrected by a second now and then stays trusted for ever.
    """

    def __init__(self, clock: Callable[[], int], boot_clock: Callable[[], int], kept: KeptOffset) -> None:
        self._clock = clock
        self._boot_clock = boot_clock
        self._kept = kept
        self._saved_us = kept.load()
        self._offset_us = clock() - boot_clock() if self._saved_us is None else self._saved_us
        self._trusted = True

    def is_trusted(self, now_us: int) -> bool:
        """Return whether attribution may go on; says so once when that changes."""
        jump_us = now_us - self._boot_clock() - self._offset_us
        trusted = abs(jump_us) <= JUMP_US
        if trusted:
            self._follow(self._offset_us + jump_us)
        if trusted != self._trusted:
            self._trusted = trusted
            if trusted:
                log.info("clock_back_in_step")
            else:
                log.error(
                    "clock_jumped",
                    jump_s=jump_us / 1e6,
                    effect="windows stay open and ledger time stands still",
                    remedy="put the clock right, or accept the new time: offer-optimizer clock accept",
                )
        return trusted

    def accept(self) -> None:
        """Trust the wall clock as it is now."""
        offset_us = self._clock() - self._boot_clock()
        log.info("clock_accepted", jump_s=(offset_us - self._offset_us) / 1e6)
        self._follow(offset_us)
        self._trusted = True

    def _follow(self, offset_us: int) -> None:
        self._offset_us = offset_us
        if self._saved_us is None or abs(offset_us - self._saved_us) > KEPT_WITHIN_US:
            self._kept.save(offset_us)
            self._saved_us = offset_us
