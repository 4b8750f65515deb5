"""The models a decider serves: one per placement, swapped whole when a newer snapshot is published.

A placement whose epoch has no snapshot yet runs the policy's initial model, and that is a model. One whose
snapshot can't be used keeps the model it has; without any it has none, and the decision says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from offer_optimizer.core.decision import ModelVersion
from offer_optimizer.core.errors import NotFound, OfferOptimizerError
from offer_optimizer.decide.prepared import PreparedCatalog, PreparedPlacement
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Policy
from offer_optimizer.store.snapshots import Snapshot

log = structlog.get_logger(__name__)


class SnapshotReader(Protocol):
    """What the shelf reads snapshots through."""

    def current_name(self, placement_id: str) -> str | None:
        """Return the file name of the current snapshot, or None."""
        ...

    def load(self, placement_id: str, name: str) -> Snapshot:
        """Read a snapshot. Raises DamagedFile, NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model in service, and the snapshot file it came from (None: the initial model)."""

    version: ModelVersion
    policy: Policy
    snapshot_name: str | None


class ModelShelf:
    """Models by placement. Readers take a reference; one refresher swaps them."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._models: dict[str, ServedModel] = {}
        self._refused: set[tuple[str, str]] = set()

    def get(self, placement_id: str, epoch: bytes) -> ServedModel | None:
        """Return the model in service for a placement's epoch, or None."""
        model = self._models.get(placement_id)
        return model if model is not None and model.version.epoch == epoch else None

    def refresh(self, catalog: PreparedCatalog) -> None:
        """Load what is newer, one placement at a time. Cheap when nothing changed."""
        for placement_id, placement in catalog.placements.items():
            self._refresh_one(placement_id, placement)
        for placement_id in self._models.keys() - catalog.placements.keys():
            del self._models[placement_id]

    def _refresh_one(self, placement_id: str, placement: PreparedPlacement) -> None:
        served = self.get(placement_id, placement.epoch.id)
        name = self._snapshots.current_name(placement_id)
        if name is not None and not name.startswith(placement.epoch.id.hex()):
            name = None  # the learner has not published this epoch yet
        if served is not None and (name is None or name == served.snapshot_name):
            return
        if name is not None and (placement_id, name) in self._refused:
            if served is not None:
                return
            name = None
        model = self._load(placement_id, placement, name)
        if model is not None:
            self._models[placement_id] = model

    def _load(self, placement_id: str, placement: PreparedPlacement, name: str | None) -> ServedModel | None:
        policy_name, options = placement.placement.policy.name, placement.placement.policy.options
        baseline = placement.placement.baseline
        epoch = placement.epoch.id
        try:
            if name is None:
                return ServedModel(ModelVersion(epoch, 0), registry.create(policy_name, options, baseline), None)
            snapshot = self._snapshots.load(placement_id, name)
            policy = registry.load(policy_name, options, baseline, snapshot.state)
        except NotFound:
            return None  # pruned between the look and the read; the next refresh sees its successor
        except OfferOptimizerError as error:
            log.error("snapshot_refused", placement=placement_id, snapshot=name, error=str(error))
            self._refused.add((placement_id, name or ""))
            return None
        return ServedModel(ModelVersion(epoch, snapshot.ledger_position), policy, name)


REFRESH_S: Final = 0.1
"""How often deciders look for newer snapshots and catalogs: they switch within 250 ms."""
