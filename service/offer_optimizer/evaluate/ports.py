"""What the RPC edge may ask of the history. Implemented in evaluate.desks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from offer_optimizer.evaluate.story import Story


class StoryDesk(Protocol):
    """Tells stories of past decisions."""

    def explain(self, decision_id: bytes) -> Story:
        """Return the story of a decision. Raises NotFound, HistoryUnreadable."""
        ...


class ReportDesk(Protocol):
    """Makes reports."""

    def report(
        self, placement_id: str, start_us: int | None, end_us: int | None, timeout_s: float
    ) -> Mapping[str, Any]:
        """Report on decisions made in [start_us, end_us), microseconds since the epoch.

        None means from the first, and up to now. Returns what `PlacementReport.to_dict` of evaluate.report
        does. Raises UnknownPlacement, HistoryUnreadable, ReportTooLong.
        """
        ...


class HealthDesk(Protocol):
    """Says how the learning loop is."""

    def health(self, placement_id: str, timeout_s: float) -> Mapping[str, Any]:
        """Return what `LoopHealth.to_dict` of evaluate.health does; an empty id asks for all placements.

        Raises UnknownPlacement, HistoryUnreadable, ReportTooLong.
        """
        ...
