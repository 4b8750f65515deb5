"""Why a drive ends early, one class for each thing to do about it."""

from __future__ import annotations

from offer_optimizer.core.errors import OfferOptimizerError


class DriveRefused(OfferOptimizerError):
    """The table, the columns or the placement don't fit: change the command or the file."""


class DriveFailed(OfferOptimizerError):
    """The service stopped answering: look at it, then drive again."""
