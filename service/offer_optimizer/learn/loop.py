"""The learner: drain, close, learn, publish, over and over, in one process with one writer.

Everything it holds in memory can be derived again: after a failed transaction it starts from the tables.
Nothing that a disk does ends it: it says what is wrong, once, and tries again, ever more slowly.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import structlog

from offer_optimizer.core.control import Thinning
from offer_optimizer.core.errors import DamagedFile, PolicyFault, StorageUnavailable
from offer_optimizer.learn.drain import Drainer, Feed
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.lineage import Lineage
from offer_optimizer.learn.models import Models, Pair
from offer_optimizer.learn.pressure import Pressure
from offer_optimizer.learn.publish import Publisher
from offer_optimizer.learn.refold import refold
from offer_optimizer.learn.restore import Restorer
from offer_optimizer.learn.trainer import BATCH, Model, Trainer
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.epoch import epoch_of, is_of_this_release
from offer_optimizer.store.base_file import Row
from offer_optimizer.store.codec import Epoch, Salt, Tick
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.snapshots import SnapshotStore
from offer_optimizer.store.visitor_index import VisitorIndex

log = structlog.get_logger(__name__)

RETRY_FIRST_S: Final = 0.1
RETRY_MOST_S: Final = 2.0
"""Behind a disk that works again nobody waits for longer."""
TEACH_S: Final = 0.5
"""A round that has taught for longer leaves other models to the next, so that drains go on."""
_FAILURES: Final = (sqlite3.Error, StorageUnavailable, DamagedFile)


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


class Eraser(Protocol):
    """Who takes visitors out of everything."""

    def begin(self, fold: Fold) -> None:
        """Start from what is committed: a fold was made anew."""
        ...

    def step(self, models: Callable[[], list[Row] | None]) -> bool:
        """Do what one round can, after a drain; return whether the learner has to start anew.

        `models` returns the models of now as rows of a base snapshot, None while one is trained anew.
        """
        ...


class Shadowing(Protocol):
    """Who judges shadow policies."""

    def begin(self, ledger: Ledger, tables: FoldTables, fold: Fold, drainer: Drainer) -> None:
        """Start from what is committed: a fold was made anew."""
        ...

    def step(self, prepared: AbstractSet[bytes], *, is_behind: bool) -> bool:
        """Do a slice of what there is to do; return whether there is more."""
        ...

    def hand_over(self, epoch: Epoch, lineage: Lineage) -> Model | None:
        """Return a shadow's model where it is what training a promotion anew would come to."""
        ...

    def close(self) -> None:
        """Save what was learned since, and let go of all."""
        ...


MakeDrainer = Callable[[Ledger, Fold], Drainer]


def _none(_epoch: Epoch) -> Model | None:
    return None


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
    eraser: Eraser | None = None
    index: VisitorIndex | None = None
    """Makes visitors findable in the ledger, a block at a time."""
    seconds: Callable[[], float] = lambda: 0.0
    """A clock that only goes forward; one that stands still leaves slices of training to their count."""
    shadows: Shadowing | None = None
    retry_s: float = 0.0
    """How long to wait before the next round: more than 0 behind one that failed."""
    _complaint: str = ""
    is_behind: bool = field(default=False, init=False)
    """The last round left work that was there when it began: the next one should begin at once."""
    _models: Models = field(init=False)
    _last_taught: bytes = b""
    _has_begun: bool = False
    _in_force: tuple[int, list[Epoch]] = field(default_factory=lambda: (0, []))
    _prepared: tuple[int, set[bytes]] = field(default_factory=lambda: (-1, set()))
    """Promoted epochs whose model is published, as of a count of what steers learning."""
    _is_stale: bool = True

    def __post_init__(self) -> None:
        try:
            self._begin()
        except _FAILURES as error:
            self._note_failure(str(error))

    def restart(self) -> None:
        """Read everything again from tables and snapshots.

        Raises sqlite3.Error, StorageUnavailable, DamagedFile.
        """
        self._is_stale = True
        self._drop_models()
        self._begin()

    def _drop_models(self) -> None:
        if self._has_begun:
            self._models.keep_only(())

    def _begin(self) -> None:
        self.tables = FoldTables.create(self.ledger.connection)
        self.ledger.forget_cached_keys()
        self.fold = Fold(self.ledger, self.tables)
        refold(self.ledger, self.fold)
        self.trainer = Trainer(self.ledger, self.tables, self.fold.revisions)
        self.pressure = Pressure(self.tables)
        kept = self.retirer.model if self.retirer is not None else _none
        restorer = Restorer(self.snapshots, self.tables, self.fold, kept)
        if self.shadows is not None:
            restorer = replace(restorer, handed=self.shadows.hand_over)
        self._models = Models(self.trainer, restorer, self.publisher, self.seconds)
        self._has_begun = True
        self.drainer = self.make_drainer(self.ledger, self.fold)
        self.drainer.begin(self.salts)
        if self.keeper is not None:
            self.drainer.feed = self.keeper
            self.keeper.begin(self.fold)
        if self.retirer is not None:
            self.retirer.begin(self.fold)
        if self.eraser is not None:
            self.eraser.begin(self.fold)
        if self.shadows is not None:
            self.shadows.begin(self.ledger, self.tables, self.fold, self.drainer)
        self._in_force = (0, [])
        self._prepared = (-1, set())
        self._is_stale = False

    def step(self) -> bool:
        """Do one round; return whether it found anything, so that another may have more to do."""
        self.is_behind = False
        try:
            if self._is_stale:
                self.restart()
            drained = self.drainer.drain()
            if self.keeper is not None:
                self.keeper.step()
            taught = self._teach()
            if self.shadows is not None:
                self.shadows.step(self._prepared[1], is_behind=taught >= BATCH)
            retires = self.retirer is not None and self.retirer.step()
            indexes = self.index is not None and self.index.step(self.fold.position)
            if self.eraser is not None and self.eraser.step(self._model_rows):
                # Fold, models and caches may hold what is gone.
                self.restart()
        except _FAILURES as error:
            self.give_up_round(str(error))
            return False
        self.retry_s, self._complaint = 0.0, ""
        self.is_behind = taught >= BATCH or retires or indexes
        return drained > 0 or self.is_behind

    def _model_rows(self) -> list[Row] | None:
        """Return every model that has learned something; None while one of them is being trained anew.

        Behind it no model is on its way to its file: whoever asks may be about to take out of the ledger what
        it learned.
        """
        self.publisher.settle()
        self._collect()
        if any(pair.anew is not None for pair in self._models.pairs.values()):
            return None
        rows: list[Row] = []
        for epoch in self.fold.revisions.epochs():
            if is_of_this_release(epoch.description):
                rows += self._models.rows(epoch)
        return rows

    def give_up_round(self, problem: str) -> None:
        """Begin anew from what is committed, after a pause: the fold may be ahead of it."""
        self._is_stale = True
        self._drop_models()
        self._note_failure(problem)

    def _note_failure(self, problem: str) -> None:
        """Say what is wrong, once until it changes, and wait longer before each further try."""
        self.is_behind = False
        self.retry_s = min(max(2 * self.retry_s, RETRY_FIRST_S), RETRY_MOST_S)
        if problem != self._complaint:
            self._complaint = problem
            log.error(
                "learner_round_failed",
                error=problem,
                effect="retried; deciders go on",
                remedy="`offer-optimizer doctor --data DIR` says what is damaged and what to do",
            )

    def publish_all(self) -> None:
        """Publish every model that learned something, whatever its interval: before stopping."""
        if not self._has_begun:
            return
        self.publisher.settle()
        self._collect()
        for pair in self._models.pairs.values():
            if self.publisher.has_news(pair.serving):
                self._publish(pair.serving)
        self.publisher.settle()
        self._collect()

    def close(self) -> None:
        """Publish and let go of models."""
        self.publish_all()
        if self.shadows is not None and self._has_begun:
            self.shadows.close()
        self._drop_models()

    def _teach(self) -> int:
        self._collect()
        epochs = self._epochs_in_force()
        promoted = self._promoted_epochs({epoch.policy_epoch for epoch in epochs})
        self._models.keep_only(epoch.policy_epoch for epoch in (*epochs, *promoted))
        for epoch in promoted:
            self._prepare(self._models.pair(epoch))
        most, began_s = 0, self.seconds()
        turns = self._in_turn(epochs)
        for epoch in turns:
            pair = self._models.pair(epoch)
            taught = self.trainer.teach(pair.serving)
            most = max(most, taught)
            self._thin(pair.serving, taught)
            self._teach_anew(pair)
            if self.seconds() - began_s > TEACH_S and epoch is not turns[-1]:
                # The others come first in the next round, at once: ledger time waits for a drain meanwhile.
                self._last_taught, most = epoch.policy_epoch, BATCH
                break
        self._publish_due(self._models.pair(epoch).serving for epoch in epochs)
        return most

    def _in_turn(self, epochs: list[Epoch]) -> list[Epoch]:
        """Return the epochs, first the one behind the last that was taught before a round broke off."""
        names = [epoch.policy_epoch for epoch in epochs]
        first = names.index(self._last_taught) + 1 if self._last_taught in names else 0
        return epochs[first:] + epochs[:first]

    def _publish_due(self, models: Iterable[Model]) -> None:
        """Publish what is due, those first that have waited longest: one may make the others wait."""
        for model in sorted(models, key=self.publisher.published_us):
            if self.publisher.is_due(model):
                self._publish(model)

    def _teach_anew(self, pair: Pair) -> None:
        """Train the model that follows. Where it takes over, the ledger goes on by a record.

        A version is an epoch and a ledger position: two models at one position would share their name.
        """
        if self._models.teach_anew(pair):
            self.drainer.note(Tick(self.fold.time_us))

    def _thin(self, model: Model, taught: int) -> None:
        """Let silence be thinned while a model can't keep up."""
        placement_id = model.placement_id
        share = self.fold.kept_share.get(placement_id, 1.0)
        wanted = self.pressure.new_share(model, share, taught, self.fold.time_us)
        if wanted is not None:
            self.drainer.note(Thinning(placement_id, wanted))
            log.warning("silence_thinned", placement=placement_id, learned_share=wanted)

    def _promoted_epochs(self, in_force: AbstractSet[bytes]) -> list[Epoch]:
        """Return epochs that were promoted, are not in force, and are not known to have their model."""
        revisions, steering = self.fold.revisions, self.fold.steering
        if steering.count != self._prepared[0]:
            self._prepared = (steering.count, set())
        found = []
        for placement in revisions.catalog(revisions.newest).placements if revisions.newest else ():
            promotion = steering.newest_promotion(placement.id)
            if promotion is None or promotion.policy_epoch in in_force | self._prepared[1]:
                continue
            epoch = revisions.epoch(promotion.policy_epoch)
            if epoch is not None and is_of_this_release(epoch.description):
                found.append(epoch)
        return found

    def _prepare(self, pair: Pair) -> None:
        """Train the model of a promoted epoch, so that deciders find it once the epoch is in force."""
        self._teach_anew(pair)
        if pair.anew is not None:
            return
        if self.publisher.is_due(pair.serving):
            self._publish(pair.serving)
        if not self.publisher.has_news(pair.serving):
            self._prepared[1].add(pair.epoch.policy_epoch)

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

    def _publish(self, model: Model) -> None:
        epoch = self.fold.revisions.epoch(model.policy_epoch)
        if epoch is None:
            return
        try:
            self.publisher.publish(model, epoch, self.fold.position, self._canary_actions(model.placement_id))
        except (PolicyFault, StorageUnavailable) as error:
            self._note_unpublished(model, error)

    def _collect(self) -> None:
        for model, error in self.publisher.collect():
            self._note_unpublished(model, error)

    def _note_unpublished(self, model: Model, error: Exception) -> None:
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
        actions = revisions.actions(revisions.newest, placement_id)
        return tuple(
            actions[catalog.offer_index[offer]] for offer in catalog.placement_by_id[placement_id].offers
        )
