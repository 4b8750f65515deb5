"""What the RPC edge may call. Implemented by decide.batch, decide.intake, store.catalog and app.decider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from offer_optimizer.core.catalog_revision import CatalogChange, CatalogRevision
from offer_optimizer.decide.requests import DecideInput, FeedbackInput, ModelStatus, Outcome


class DecisionBatch(Protocol):
    """Decisions that are recorded together."""

    def decide(self, request: DecideInput) -> Outcome:
        """Choose; recorded by `end`, before which nothing may be answered. Raises UnknownPlacement."""
        ...

    def end(self) -> Mapping[bytes, Outcome]:
        """Record what was decided; return by decision id what to answer where that failed."""
        ...


class DecisionMaker(Protocol):
    """Chooses offers."""

    def decide(self, request: DecideInput) -> Outcome:
        """Choose, record and return. Raises UnknownPlacement; never fails because of a disk or a model."""
        ...

    def begin_batch(self) -> DecisionBatch:
        """Begin decisions that are recorded together; the caller calls `end`, whatever happens."""
        ...


class FeedbackIntake(Protocol):
    """Takes feedback."""

    def record(self, items: Sequence[FeedbackInput]) -> None:
        """Make the items durable. Raises StorageUnavailable, and then none is promised."""
        ...


class VisitorDesk(Protocol):
    """Knows which visitor ids are the same person."""

    def merge(self, from_visitor_id: str, into_visitor_id: str) -> None:
        """Make the first id stand for the second from now on, durably. Raises StorageUnavailable.

        Both are given, and differ. Merging again changes nothing.
        """
        ...


class VisitorErasure(Protocol):
    """Forgets visitors."""

    def erase(self, visitor_id: str, actor: str, reason: str) -> None:
        """Have a visitor erased, durably asked for when it returns. Raises StorageUnavailable."""
        ...


class ModelDesk(Protocol):
    """Tells which models are served."""

    def describe(self, placement_id: str) -> ModelStatus:
        """Return what a placement serves. Raises UnknownPlacement."""
        ...


class CatalogDesk(Protocol):
    """Reads and changes the catalog."""

    def current(self) -> CatalogRevision:
        """Return the revision in force."""
        ...

    def read(self, revision: int) -> CatalogRevision:
        """Return any revision. Raises NotFound."""
        ...

    def apply(self, document: str, expected_revision: int, *, validate_only: bool) -> CatalogChange:
        """Validate and put in force. Raises InvalidCatalog, RevisionConflict, StorageUnavailable."""
        ...
