"""Errors of asking the history, one class for each thing a caller can do about them."""

from __future__ import annotations

from offer_optimizer.core.errors import OfferOptimizerError, StorageUnavailable


class HistoryUnreadable(StorageUnavailable):
    """The ledger could not be read just now: retry."""


class ReportTooLong(OfferOptimizerError):
    """A report took longer than its caller waits: ask for a shorter range, or wait longer."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            f"the report took longer than {timeout_s:.3g} s; give a later start_time or a longer deadline"
        )
        self.timeout_s = timeout_s
