"""What the log says when history could not be read: callers hear no cause, so operators have to.

What always holds: the same call with the same cause makes at most one line in EVERY_US, and the next line
says how many there were between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from offer_optimizer.evaluate.errors import HistoryUnreadable, system_cause

EVERY_US: Final = 60_000_000
_CAUSES_MOST: Final = 200
"""Calls and causes that are remembered; both are few."""
_TEXT_MOST: Final = 500


class WarningLog(Protocol):
    """The one method of a structlog logger that is needed here."""

    def warning(self, event: str, **fields: object) -> object:
        """Log one event."""
        ...


class UnreadLog:
    """Logs why history could not be read. Safe for threads. `clock` returns microseconds since the epoch."""

    def __init__(self, log: WarningLog, clock: Callable[[], int]) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[tuple[str, str], tuple[int, int]] = {}

    def note(self, error: HistoryUnreadable, call: str) -> None:
        """Log an error that ended a call, unless that was said a moment ago."""
        cause = system_cause(error)
        key, now_us = (call, cause or str(error)), self._clock()
        with self._lock:
            told_us, silent_count = self._told.get(key, (now_us - EVERY_US, 0))
            if 0 <= now_us - told_us < EVERY_US:
                self._told[key] = (told_us, silent_count + 1)
                return
            if len(self._told) >= _CAUSES_MOST:
                self._told.clear()
            self._told[key] = (now_us, 0)
        fields = {"call": call, "error": str(error)[:_TEXT_MOST], "cause": cause}
        self._log.warning("history_unreadable", **fields, unlogged_count=silent_count)
