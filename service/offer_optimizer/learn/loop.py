"""The learner: drain, close, learn, publish, over and over, in one process with one writer.

Everything it holds in memory can be derived again: after a failed transaction it starts from the tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from offer_optimizer.core.errors import OfferOptimizerError, PolicyFault, StorageUnavailable
from offer_optimizer.learn.drain import Drainer
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.publish import Publisher
from offer_optimizer.learn.trainer import BATCH, Model, Trainer, initial_model, restore_model
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import Epoch, Salt
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.snapshots import SnapshotStore

log = structlog.get_logger(__name__)

MakeDrainer = Callable[[Ledger, Fold], Drainer]


@dataclass
class Learner:
    """One round is `step`; the process loop calls it until told to stop."""

    ledger: Ledger
    make_drainer: MakeDrainer
    snapshots: SnapshotStore
    publisher: Publisher
    salts: tuple[Salt, ...]
    _models: dict[bytes, Model] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Read everything again from the tables and the snapshots."""
        self.tables = FoldTables.create(self.ledger.connection)
        self.ledger.forget_cached_keys()
        self.fold = Fold(self.ledger, self.tables)
        self.trainer = Trainer(self.ledger, self.tables, self.fold.revisions)
        self.drainer = self.make_drainer(self.ledger, self.fold)
        self.drainer.begin(self.salts)
        for model in self._models.values():
            model.policy.close()
        self._models.clear()

    def step(self) -> bool:
        """Do one round; return whether there is more to do at once."""
        try:
            drained = self.drainer.drain()
            taught = self._teach()
        except (sqlite3.Error, StorageUnavailable) as error:
            log.error("learner_round_failed", error=str(error), effect="retried; deciders go on")
            self.restart()
            return False
        return drained > 0 or taught >= BATCH

    def publish_all(self) -> None:
        """Publish every model that learned something, whatever its interval: before stopping."""
        for model in self._models.values():
            if self.publisher.has_news(model):
                self._publish(model)

    def close(self) -> None:
        """Publish and let go of models."""
        self.publish_all()
        for model in self._models.values():
            model.policy.close()

    def _teach(self) -> int:
        most = 0
        for epoch in self._epochs_in_force():
            model = self._models.get(epoch.policy_epoch) or self._restore(epoch)
            most = max(most, self.trainer.teach(model))
            if self.publisher.is_due(model):
                self._publish(model)
        return most

    def _epochs_in_force(self) -> list[Epoch]:
        revisions = self.fold.revisions
        if not revisions.newest:
            return []
        found = []
        for placement in revisions.catalog(revisions.newest).placements:
            epoch = revisions.epoch(epoch_of(placement).id)
            if epoch is not None and registry.learns(placement.policy.name):
                found.append(epoch)
        return found

    def _restore(self, epoch: Epoch) -> Model:
        snapshot = self.snapshots.newest(epoch.placement_id, epoch.policy_epoch)
        model = None
        if snapshot is not None and snapshot.ledger_position <= self.fold.position:
            cursor = (snapshot.close_time_us, snapshot.close_position)
            try:
                model = restore_model(epoch, snapshot.state, cursor, snapshot.learned_count)
                self.publisher.note_restored(model)
            except OfferOptimizerError as error:
                log.error("snapshot_unusable", placement=epoch.placement_id, error=str(error), effect="learned again")
        model = model or initial_model(epoch)
        self._models[epoch.policy_epoch] = model
        return model

    def _publish(self, model: Model) -> None:
        epoch = self.fold.revisions.epoch(model.policy_epoch)
        if epoch is None:
            return
        try:
            self.publisher.publish(model, epoch, self.fold.position, self._canary_actions(model.placement_id))
        except (PolicyFault, StorageUnavailable) as error:
            self.publisher.note_failed(model)
            log.error("model_not_published", placement=model.placement_id, error=str(error), effect="the last one serves")

    def _canary_actions(self, placement_id: str) -> tuple[Action, ...]:
        revisions = self.fold.revisions
        catalog = revisions.catalog(revisions.newest)
        actions = revisions.actions(revisions.newest)
        return tuple(actions[catalog.offer_index[offer]] for offer in catalog.placement_by_id[placement_id].offers)
