"""The learner: drain, close, learn, publish, over and over, in one process with one writer.

Everything it holds in memory can be derived again: after a failed transaction it starts from the tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from offer_optimizer.core.control import Thinning
from offer_optimizer.core.errors import OfferOptimizerError, PolicyFault, StorageUnavailable
from offer_optimizer.learn.drain import Drainer, Feed
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.pressure import Pressure
from offer_optimizer.learn.publish import Publisher
from offer_optimizer.learn.trainer import BATCH, Model, Trainer, initial_model, restore_model
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import Epoch, Salt
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.snapshots import Snapshot, SnapshotStore

log = structlog.get_logger(__name__)


class Keeper(Feed, Protocol):
    """Who keeps the hot cache whole."""

    def begin(self, fold: Fold) -> None:
        """Start from what is committed: a fold was made anew."""
        ...

    def step(self) -> None:
        """Do what one round can, after a drain."""
        ...


class Retirer(Protocol):
    """Who takes out of the ledger what was moved to the archive."""

    def begin(self, fold: Fold) -> None:
        """Start from what is committed: a fold was made anew."""
        ...

    def step(self) -> bool:
        """Do a piece of what there is to do; return whether there is more."""
        ...

    def model(self, epoch: Epoch) -> Model | None:
        """Return the model that the base snapshot has of an epoch: nothing before it can be learned again."""
        ...


MakeDrainer = Callable[[Ledger, Fold], Drainer]


@dataclass
class Learner:
    """One round is `step`; the process loop calls it until told to stop."""

    ledger: Ledger
    make_drainer: MakeDrainer
    snapshots: SnapshotStore
    publisher: Publisher
    salts: tuple[Salt, ...]
    keeper: Keeper | None = None
    retirer: Retirer | None = None
    _models: dict[bytes, Model] = field(default_factory=dict)
    _in_force: tuple[int, list[Epoch]] = field(default_factory=lambda: (0, []))
    _is_stale: bool = True

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Read everything again from tables and snapshots. Raises sqlite3.Error, StorageUnavailable."""
        self._is_stale = True
        self._drop_models(set(self._models))
        self.tables = FoldTables.create(self.ledger.connection)
        self.ledger.forget_cached_keys()
        self.fold = Fold(self.ledger, self.tables)
        self.trainer = Trainer(self.ledger, self.tables, self.fold.revisions)
        self.pressure = Pressure(self.tables)
        self.drainer = self.make_drainer(self.ledger, self.fold)
        self.drainer.begin(self.salts)
        if self.keeper is not None:
            self.drainer.feed = self.keeper
            self.keeper.begin(self.fold)
        if self.retirer is not None:
            self.retirer.begin(self.fold)
        self._in_force = (0, [])
        self._is_stale = False

    def step(self) -> bool:
        """Do one round; return whether there is more to do at once."""
        try:
            if self._is_stale:
                self.restart()
            drained = self.drainer.drain()
            if self.keeper is not None:
                self.keeper.step()
            taught = self._teach()
            retires = self.retirer is not None and self.retirer.step()
        except (sqlite3.Error, StorageUnavailable) as error:
            log.error("learner_round_failed", error=str(error), effect="retried; deciders go on")
            # The fold may be ahead of what was committed: nothing that it says may be published.
            self._is_stale = True
            self._drop_models(set(self._models))
            return False
        return drained > 0 or taught >= BATCH or retires

    def publish_all(self) -> None:
        """Publish every model that learned something, whatever its interval: before stopping."""
        for model in self._models.values():
            if self.publisher.has_news(model):
                self._publish(model)

    def close(self) -> None:
        """Publish and let go of models."""
        self.publish_all()
        self._drop_models(set(self._models))

    def _teach(self) -> int:
        epochs = self._epochs_in_force()
        self._drop_models(self._models.keys() - {epoch.policy_epoch for epoch in epochs})
        most = 0
        for epoch in epochs:
            model = self._models.get(epoch.policy_epoch) or self._restore(epoch)
            taught = self.trainer.teach(model)
            most = max(most, taught)
            self._thin(model, taught)
            if self.publisher.is_due(model):
                self._publish(model)
        return most

    def _thin(self, model: Model, taught: int) -> None:
        """Let silence be thinned while a model can't keep up."""
        placement_id = model.placement_id
        share = self.fold.kept_share.get(placement_id, 1.0)
        wanted = self.pressure.new_share(model, share, taught, self.fold.time_us)
        if wanted is not None:
            self.drainer.note(Thinning(placement_id, wanted))
            log.warning("silence_thinned", placement=placement_id, learned_share=wanted)

    def _drop_models(self, policy_epochs: AbstractSet[bytes]) -> None:
        for policy_epoch in policy_epochs:
            self._models.pop(policy_epoch).policy.close()

    def _epochs_in_force(self) -> list[Epoch]:
        revisions = self.fold.revisions
        if revisions.newest != self._in_force[0]:
            found = []
            for placement in revisions.catalog(revisions.newest).placements:
                epoch = revisions.epoch(epoch_of(placement).id)
                if epoch is not None and registry.learns(placement.policy.name):
                    found.append(epoch)
            self._in_force = (revisions.newest, found)
        return self._in_force[1]

    def _restore(self, epoch: Epoch) -> Model:
        key = (epoch.placement_id, epoch.policy_epoch)
        tried = ((name, self._continued(epoch, snapshot)) for name, snapshot in self.snapshots.readable(*key))
        name, continued = next((pair for pair in tried if pair[1] is not None), ("", None))
        kept = self.retirer.model(epoch) if self.retirer is not None and continued is None else None
        model = continued or kept or initial_model(epoch)
        if continued is not None and name == self.snapshots.current_name(*key):
            self.publisher.note_restored(model)
        else:
            self.publisher.note_unpublished(model)
        self._models[epoch.policy_epoch] = model
        return model

    def _continued(self, epoch: Epoch, snapshot: Snapshot) -> Model | None:
        """Return the model of a snapshot; None unless it was learned from this very ledger."""
        cursor = (snapshot.close_time_us, snapshot.close_position)
        known = snapshot.learned_count == 0 or self.tables.has_lesson(
            epoch.placement_id, epoch.policy_epoch, cursor
        )
        if snapshot.ledger_position > self.fold.position or not known:
            log.error("snapshot_of_another_ledger", placement=epoch.placement_id, effect="passed over")
            return None
        try:
            return restore_model(epoch, snapshot.state, cursor, snapshot.learned_count)
        except OfferOptimizerError as error:
            log.error(
                "snapshot_unusable", placement=epoch.placement_id, error=str(error), effect="passed over"
            )
            return None

    def _publish(self, model: Model) -> None:
        epoch = self.fold.revisions.epoch(model.policy_epoch)
        if epoch is None:
            return
        try:
            self.publisher.publish(model, epoch, self.fold.position, self._canary_actions(model.placement_id))
        except (PolicyFault, StorageUnavailable) as error:
            self.publisher.note_failed(model)
            log.error(
                "model_not_published",
                placement=model.placement_id,
                error=str(error),
                effect="the last one serves",
            )

    def _canary_actions(self, placement_id: str) -> tuple[Action, ...]:
        revisions = self.fold.revisions
        catalog = revisions.catalog(revisions.newest)
        actions = revisions.actions(revisions.newest)
        return tuple(
            actions[catalog.offer_index[offer]] for offer in catalog.placement_by_id[placement_id].offers
        )
