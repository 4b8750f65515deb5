"""The learner's models: for each epoch in force one that serves, and where asked for one in training anew.

A rollback acts in the round that drains it. A quarantine or a promotion trains a second model in slices, so
that the one that serves learns on meanwhile; it takes over once it has caught up. Nothing of this is kept:
after a restart it follows from the ledger and the snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from offer_optimizer.learn.base_snapshot import model_row, model_rows
from offer_optimizer.learn.lineage import START, Lineage
from offer_optimizer.learn.publish import Publisher
from offer_optimizer.learn.restore import Restorer
from offer_optimizer.learn.trainer import Model, Trainer
from offer_optimizer.store.base_file import Row
from offer_optimizer.store.codec import Epoch

log = structlog.get_logger(__name__)

SLICE: Final = 100
SLICES: Final = 20
"""A round trains a model anew with at most so many examples, SLICE at a time."""
TOLD_EVERY_S: Final = 10.0
SLICE_TIME_S: Final = 0.05
"""And for at most about so long: half a round, so that draining and live learning stay on time."""


@dataclass
class Pair:
    """An epoch's serving model, and the one that will follow it."""

    epoch: Epoch
    serving: Model
    anew: Model | None = None
    steering_count: int = -1
    """How much of what steers learning was looked at."""
    told_s: float = 0.0
    """When it was last said how far training anew has come."""

    def close(self) -> None:
        """Let go of both."""
        self.serving.policy.close()
        self.drop_anew()

    def drop_anew(self) -> None:
        """Give up training anew."""
        if self.anew is not None:
            self.anew.policy.close()
            self.anew = None


@dataclass
class Models:
    """Pairs by policy epoch. `seconds` is a clock that only goes forward."""

    trainer: Trainer
    restorer: Restorer
    publisher: Publisher
    seconds: Callable[[], float]
    pairs: dict[bytes, Pair] = field(default_factory=dict)

    def keep_only(self, policy_epochs: Iterable[bytes]) -> None:
        """Drop the models of all other epochs."""
        for policy_epoch in self.pairs.keys() - set(policy_epochs):
            self.pairs.pop(policy_epoch).close()

    def pair(self, epoch: Epoch) -> Pair:
        """Return the models of an epoch, as what steers learning asks for by now."""
        found = self.pairs.get(epoch.policy_epoch)
        if found is None or found.steering_count != self.restorer.fold.steering.count:
            # Snapshots are about to be read, or a model that is on its way to be given up.
            self.publisher.settle()
        if found is None:
            found = self.pairs[epoch.policy_epoch] = Pair(epoch, self._serving(epoch))
        steering_count = self.restorer.fold.steering.count
        if found.steering_count != steering_count:
            self._steer(found)
            found.steering_count = steering_count
        return found

    def rows(self, epoch: Epoch) -> list[Row]:
        """Return the serving model of an epoch, in force or not, as rows of a base snapshot."""
        pair = self.pairs.get(epoch.policy_epoch)
        if pair is not None:
            return [model_row(pair.serving)] if pair.serving.cursor != START else []
        _, model = self.restorer.serving(epoch)
        has_begun, rows = model.cursor != START, list(model_rows(iter([model])))
        return rows if has_begun else []

    def teach_anew(self, pair: Pair) -> bool:
        """Train the following model for a slice of a round; return whether it has taken over."""
        if pair.anew is None:
            return False
        started_s = self.seconds()
        for _ in range(SLICES):
            if self.trainer.teach(pair.anew, limit=SLICE) < SLICE:
                self._take_over(pair, pair.anew)
                return True
            if self.seconds() - started_s > SLICE_TIME_S:
                break
        if started_s - pair.told_s >= TOLD_EVERY_S:
            pair.told_s = started_s
            log.info(
                "model_training_anew",
                placement=pair.epoch.placement_id,
                learned_count=pair.anew.learned_count,
                behind_s=max(self.restorer.fold.time_us - pair.anew.cursor[0], 0) / 1e6,
            )
        return False

    def _serving(self, epoch: Epoch) -> Model:
        name, model = self.restorer.serving(epoch)
        if name and name == self.restorer.snapshots.current_name(epoch.placement_id, epoch.policy_epoch):
            self.publisher.note_restored(model)
        else:
            self.publisher.note_unpublished(model)
        return model

    def _steer(self, pair: Pair) -> None:
        epoch, serving = pair.epoch, pair.serving
        own = self.restorer.lineage(epoch, serving.lineage.position)
        if serving.lineage.agrees(own, serving.cursor):
            serving.lineage = own
        else:
            pair.serving = self._serving(epoch)
            serving.policy.close()
            log.info(
                "model_rolled_back",
                placement=epoch.placement_id,
                learned_count=pair.serving.learned_count,
                instead_of=serving.learned_count,
            )
        wanted = self.restorer.lineage(epoch)
        if pair.anew is not None and not _may_take(pair.anew, wanted):
            pair.drop_anew()
        if _may_take(pair.serving, wanted):
            pair.serving.lineage = wanted
            pair.drop_anew()
        elif pair.anew is not None:
            pair.anew.lineage = wanted
        else:
            pair.anew = self.restorer.begun(epoch, wanted)
            log.info(
                "model_trains_anew",
                placement=epoch.placement_id,
                learned_count=pair.anew.learned_count,
                effect="the present model serves and learns on until then",
            )

    def _take_over(self, pair: Pair, anew: Model) -> None:
        log.info(
            "model_trained_anew",
            placement=anew.placement_id,
            learned_count=anew.learned_count,
            instead_of=pair.serving.learned_count,
        )
        # A promotion's own model is kept for good; one trained anew behind a quarantine is one of many.
        anew.is_promoted = anew.lineage.start != pair.serving.lineage.start
        pair.serving.policy.close()
        pair.serving, pair.anew = anew, None
        self.publisher.note_unpublished(anew)


def _may_take(model: Model, lineage: Lineage) -> bool:
    """Return whether a model can go on in a lineage and give what one from the beginning would.

    One that has learned nothing could go on in any, but would serve half of a history while it learns it.
    """
    if model.lineage == lineage:
        return True
    return model.lineage.agrees(lineage, model.cursor) and not (lineage.start and model.cursor == START)
