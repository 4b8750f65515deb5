"""Models out of snapshots: which one may go on under which lineage.

A snapshot is passed over that is damaged, of another ledger, or that learned what its lineage leaves out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.lineage import START, Cursor, Lineage
from offer_optimizer.learn.trainer import Model, initial_model, restore_model
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.snapshots import Snapshot, SnapshotStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Restorer:
    """Restores models as the ledger asks for them now."""

    snapshots: SnapshotStore
    tables: FoldTables
    fold: Fold
    kept: Callable[[Epoch], Model | None] = lambda _epoch: None
    """Returns the model that the base snapshot has of an epoch: nothing before it can be learned again."""
    handed: Callable[[Epoch, Lineage], Model | None] = lambda _epoch, _lineage: None
    """Returns a shadow's model where it is what training anew in a lineage would come to."""

    def lineage(self, epoch: Epoch, trained_to: int | None = None) -> Lineage:
        """Return the lineage of an epoch's model now; `trained_to` as for SteeringRecords."""
        return self.fold.steering.lineage(
            epoch.placement_id, epoch.policy_epoch, self.fold.position, trained_to
        )

    def serving(self, epoch: Epoch) -> tuple[str, Model]:
        """Return the newest model that may serve, and its snapshot's file name, empty for the initial one.

        It is on this side of every rollback; of what needs training anew it may lack some.
        """
        for name, snapshot in self.snapshots.readable(epoch.placement_id, epoch.policy_epoch):
            lineage = self.lineage(epoch, snapshot.lineage_position)
            model = self._continued(epoch, snapshot, lineage)
            if model is not None:
                return name, model
        return "", self._first(epoch, self.lineage(epoch, 0))

    def begun(self, epoch: Epoch, lineage: Lineage) -> Model:
        """Return the furthest model, the first one at least, from which a lineage can be trained."""
        for _, snapshot in self.snapshots.readable(epoch.placement_id, epoch.policy_epoch):
            model = self._continued(epoch, snapshot, lineage)
            if model is not None:
                return model
        return self.handed(epoch, lineage) or self._first(epoch, lineage)

    def _first(self, epoch: Epoch, lineage: Lineage) -> Model:
        """Return the model that a history begins with: the initial one, or the base snapshot's.

        What retention moved out stays learned, whatever a lineage asks for.
        """
        model = self.kept(epoch) or initial_model(epoch)
        model.lineage = lineage
        return model

    def _begin(self, epoch: Epoch) -> Cursor:
        """Return the close cursor of the model that history begins with: the initial or a base snapshot's."""
        kept = self.kept(epoch)
        if kept is None:
            return START
        kept.policy.close()
        return kept.cursor

    def _continued(self, epoch: Epoch, snapshot: Snapshot, lineage: Lineage) -> Model | None:
        """Return the model of a snapshot; None unless it learned from this very ledger, in this lineage."""
        cursor = (snapshot.close_time_us, snapshot.close_position)
        begin = self._begin(epoch)
        if cursor < begin:
            return None  # behind it nothing is as it was learned
        known = cursor == begin or self.tables.has_lesson(epoch.placement_id, cursor)
        if snapshot.ledger_position > self.fold.position or not known:
            log.error("snapshot_of_another_ledger", placement=epoch.placement_id, effect="passed over")
            return None
        own = self.fold.steering.lineage(
            epoch.placement_id, epoch.policy_epoch, snapshot.ledger_position, snapshot.lineage_position
        )
        if not own.agrees(lineage, cursor):
            return None
        try:
            return restore_model(epoch, snapshot.state, cursor, snapshot.learned_count, lineage)
        except OfferOptimizerError as error:
            log.error(
                "snapshot_unusable", placement=epoch.placement_id, error=str(error), effect="passed over"
            )
            return None
