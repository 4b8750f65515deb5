"""What one decider serves: catalog revision, models, limits and counters, refreshed in the background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from offer_optimizer.core.control import Audit
from offer_optimizer.core.counting import Limits
from offer_optimizer.core.errors import (
    CacheBusy,
    CacheUnready,
    NotFound,
    StorageUnavailable,
    UnknownPlacement,
)
from offer_optimizer.core.features import show
from offer_optimizer.decide.models import ModelShelf
from offer_optimizer.decide.prepared import PreparedCatalog, prepare_catalog
from offer_optimizer.decide.requests import ModelStatus
from offer_optimizer.evaluate.contributions import CurrentModel
from offer_optimizer.store.catalog import CatalogStore
from offer_optimizer.store.codec import EraseChange, MergeChange, encode_control
from offer_optimizer.store.hot_cache import HotCache
from offer_optimizer.store.hot_fill import FillableCache
from offer_optimizer.store.recorders import ControlSegment

MERGE_TIMEOUT_S = 0.5


@dataclass
class InForce:
    """The catalog revision and the models that this process serves; swapped whole."""

    store: CatalogStore
    shelf: ModelShelf
    cache: FillableCache
    prepared: PreparedCatalog
    _limits: dict[int, Limits | None] = field(default_factory=dict)

    def refresh(self) -> None:
        """Switch to a newer revision and newer models, and to a cache that was filled anew.

        Models and cache are followed even where the newest revision can't be read: the one before serves on.
        """
        try:
            revision = self.store.refresh()
            if revision.revision != self.prepared.revision:
                prepared = prepare_catalog(revision)
                self.shelf.refresh(prepared)
                self.prepared = prepared
        finally:
            self.shelf.refresh(self.prepared)
            self.cache.refresh()

    def describe(self, placement_id: str) -> ModelStatus:
        """Return what a placement serves. Raises UnknownPlacement."""
        placement = self.prepared.placements.get(placement_id)
        if placement is None:
            raise UnknownPlacement("placement", f"{show(placement_id)} is not in the catalog")
        model = self.shelf.get(placement_id, placement.epoch.id)
        name = placement.placement.policy.name
        return ModelStatus(name, model.version, model.learned_count) if model else ModelStatus(name, None, 0)

    def current_model(self, placement_id: str) -> CurrentModel | None:
        """Return the model that a placement serves now, None where there is none."""
        placement = self.prepared.placements.get(placement_id)
        model = self.shelf.get(placement_id, placement.epoch.id) if placement else None
        return CurrentModel(model.version, model.policy) if model else None

    def limits_of(self, revision: int) -> Limits | None:
        """Return the caps and budgets of a revision; None where it has none, or is unknown."""
        if revision == self.prepared.revision:
            return self.prepared.limits
        if revision not in self._limits:
            self._limits[revision] = self._read_limits(revision)
        return self._limits[revision]

    def has_limits(self) -> bool:
        """Return whether feedback can count anywhere: now, or under a revision of a moment ago."""
        limits = self.prepared.limits
        # A revision that took the last cap away leaves reservations behind.
        return bool(limits.caps or limits.budgets) or self.limits_of(self.prepared.revision - 1) is not None

    def _read_limits(self, revision: int) -> Limits | None:
        try:
            limits = Limits(self.store.read(revision).catalog)
        except NotFound:
            return None
        return limits if limits.caps or limits.budgets else None


@dataclass(frozen=True, slots=True)
class VisitorMerges:
    """Merges visitors: a control record, then the counters. Implements decide.ports.VisitorDesk."""

    control: ControlSegment
    cache: HotCache
    digest: Callable[[str], bytes]

    def merge(self, from_visitor_id: str, into_visitor_id: str) -> None:
        """Make the first id stand for the second, durably. Raises StorageUnavailable."""
        merged, known = self.digest(from_visitor_id), self.digest(into_visitor_id)
        self.control.append_durable(encode_control(MergeChange(merged, known)))
        try:
            with self.cache.transaction(MERGE_TIMEOUT_S, while_filling=True) as transaction:
                transaction.merge(merged, known)
        except CacheUnready:
            return  # whoever fills the cache takes it from the control segment
        except CacheBusy as error:
            raise StorageUnavailable(f"the counters are held up: {error}") from error


@dataclass(frozen=True, slots=True)
class VisitorErasures:
    """Has visitors erased, by a control record. Implements decide.ports.VisitorErasure."""

    control: ControlSegment
    digest: Callable[[str], bytes]
    clock: Callable[[], int]

    def erase(self, visitor_id: str, actor: str, reason: str) -> None:
        """See VisitorErasure."""
        audit = Audit(actor, reason, self.clock())
        self.control.append_durable(encode_control(EraseChange(self.digest(visitor_id), audit)))
