"""When transactions sweep what has expired: the learner does it in bulk, they only where it stands still.

What has expired counts for nothing before it is swept, so nothing depends on when. Knows no store, no clock.
"""

from __future__ import annotations

from typing import Final

SWEEP_EVERY_US: Final = 100_000
SWEPT_A_TURN: Final = 512
"""So many a turn keep up with five thousand decisions a second; they take a millisecond or two."""


class SweepTurns:
    """When the transactions of one process sweep: looking for what is old costs as much as counting does."""

    def __init__(self) -> None:
        self._last_us = 0

    def is_due(self, now_us: int) -> bool:
        """Return whether it is time, and count from then; a clock that went back is no reason to wait."""
        if abs(now_us - self._last_us) < SWEEP_EVERY_US:
            return False
        self._last_us = now_us
        return True
