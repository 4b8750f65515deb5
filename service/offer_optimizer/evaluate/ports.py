"""What the RPC edge may ask of the history. Implemented in evaluate.desks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from offer_optimizer.evaluate.story import Story
from offer_optimizer.evaluate.visitor_history import VisitorPage


class StoryDesk(Protocol):
    """Tells stories of past decisions."""

    def explain(self, decision_id: bytes) -> Story:
        """Return the story of a decision. Raises NotFound, HistoryUnreadable."""
        ...


class VisitorHistory(Protocol):
    """Tells what is stored about a visitor. Every call may raise HistoryUnreadable, ReportTooLong."""

    def page(self, visitor_id: str, token: str, limit: int, timeout_s: float) -> VisitorPage:
        """Return at most `limit` records behind an earlier page, the first ones for an empty token.

        Raises InvalidInput for a token that no page had.
        """
        ...

    def decision_count(self, visitor_id: str) -> int:
        """Return how many decisions the ledger holds now."""
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


class ShadowDesk(Protocol):
    """Says how shadow policies do."""

    def shadows(self, placement_id: str, timeout_s: float) -> Mapping[str, Any]:
        """Return {"shadows": [...]} of what `ShadowStatus.to_dict` of evaluate.shadow_status returns.

        An empty id asks for all placements. Raises UnknownPlacement, HistoryUnreadable, ReportTooLong.
        """
        ...


class HealthDesk(Protocol):
    """Says how the learning loop is."""

    def health(self, placement_id: str, timeout_s: float) -> Mapping[str, Any]:
        """Return what `LoopHealth.to_dict` of evaluate.health does; an empty id asks for all placements.

        Raises UnknownPlacement, HistoryUnreadable, ReportTooLong.
        """
        ...
