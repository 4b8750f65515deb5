"""Watches the wall clock against the boot clock: a jump must not close windows or attribute feedback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

JUMP_US: Final = 60_000_000


class ClockWatch:
    """Trusts the wall clock while it moves with the boot clock, within 60 s from one look to the next.

    Small steps are followed: a clock that is corrected by a second now and then stays trusted for ever.
    """

    def __init__(self, clock: Callable[[], int], boot_clock: Callable[[], int]) -> None:
        self._boot_clock = boot_clock
        self._offset_us = clock() - boot_clock()
        self._trusted = True

    def is_trusted(self, now_us: int) -> bool:
        """Return whether attribution may go on; says so once when that changes."""
        jump_us = now_us - self._boot_clock() - self._offset_us
        trusted = abs(jump_us) <= JUMP_US
        if trusted:
            self._offset_us += jump_us
        if trusted != self._trusted:
            self._trusted = trusted
            if trusted:
                log.info("clock_back_in_step")
            else:
                log.error(
                    "clock_jumped",
                    jump_s=jump_us / 1e6,
                    effect="windows stay open and ledger time stands still",
                    remedy="put the clock right, or restart the service to accept the new time",
                )
        return trusted
