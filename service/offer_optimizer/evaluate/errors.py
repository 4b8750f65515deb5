"""Errors of asking the history, one class for each thing a caller can do about them."""

from __future__ import annotations

import errno
import sqlite3

from offer_optimizer.core.errors import OfferOptimizerError, StorageUnavailable


class HistoryUnreadable(StorageUnavailable):
    """The ledger could not be read just now: retry."""


def system_cause(error: BaseException) -> str:
    """Return what the system or SQLite said beneath an error, like ENOSPC or SQLITE_FULL; empty if neither.

    Codes alone: they hold nothing of anybody.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno is not None:
            return errno.errorcode.get(found.errno, str(found.errno))
        if isinstance(found, sqlite3.Error):
            return str(getattr(found, "sqlite_errorname", ""))  # absent where Python's own half complains
        found = found.__cause__
    return ""


class ReportTooLong(OfferOptimizerError):
    """A report took longer than its caller waits: ask for a shorter range, or wait longer."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            f"the report took longer than {timeout_s:.3g} s; give a later start_time or a longer deadline"
        )
        self.timeout_s = timeout_s
