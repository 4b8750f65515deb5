"""The learner's shadow policies: a slice of each round, behind the models that serve; promotion by a gate.

Always holds: models that serve learn first, and shadows wait while those lag; what a shadow can't keep up
with is thinned with a probability that the ledger has first. A gate's promotion is a record of the ledger
like anybody's; the catalog changes once the promoted model is published. Nothing of this is the truth: after
a restart it follows from the ledger and the shadows' files.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from offer_optimizer.core.catalog import Placement, ShadowChoice
from offer_optimizer.core.control import Audit, Promotion
from offer_optimizer.core.errors import (
    DamagedFile,
    InvalidInput,
    OfferOptimizerError,
    PolicyFault,
    StorageUnavailable,
)
from offer_optimizer.learn.drain import Drainer
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.lineage import Lineage
from offer_optimizer.learn.shadow_records import Key
from offer_optimizer.learn.shadow_training import SLICE, MakeJudge, Shadow, ShadowTrainer
from offer_optimizer.learn.trainer import Model, restore_model
from offer_optimizer.policy import registry
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.fold_tables import DROPPED, FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.shadow_file import ShadowStore

log = structlog.get_logger(__name__)

STEP_S: Final = 0.03
"""A round spends about so long on all shadows together."""
STEP_LESSONS: Final = 2_000
"""And at most so many lessons of each."""
SAVE_S: Final = 5.0
SAVE_LESSONS: Final = 5_000
"""A shadow is saved, and its gate looked at, so long or so many lessons after the last time."""
LAG_US: Final = 60_000_000
"""A shadow lags whose next lesson closed so long ago; its share changes so much later at the soonest."""
LEAST_SHARE: Final = 1.0 / 16.0
RETRY_S: Final = 10.0
"""Between two tries to change the catalog."""
GATE: Final = "gate"
"""The actor of a promotion that a gate asked for."""

Swap = Callable[[str, str], int]
"""Makes a shadow (placement, name) the placement's policy and returns the catalog revision in which it is."""


@dataclass
class Shadows:
    """Trains what the catalog in force names. `seconds` only goes forward, `busy_s` is processor time."""

    store: ShadowStore
    make_judge: MakeJudge
    seconds: Callable[[], float]
    busy_s: Callable[[], float]
    swap: Swap
    _live: dict[Key, Shadow] = field(default_factory=dict)
    _failed: set[int] = field(default_factory=set)
    """Positions of shadows whose policy failed in this life."""
    _seen: tuple[int, int] = (-1, -1)
    _share_us: dict[Key, int] = field(default_factory=dict)
    """When a share was last changed, or found to be enough."""
    _tried_s: dict[Key, float] = field(default_factory=dict)
    """When the catalog was last to be changed."""

    def begin(self, ledger: Ledger, tables: FoldTables, fold: Fold, drainer: Drainer) -> None:
        """Start from what is committed: a fold was made anew."""
        self._close_all()
        self._tables, self._fold, self._drainer = tables, fold, drainer
        self._trainer = ShadowTrainer(ledger, tables, fold, self.make_judge)
        self.store.tidy()
        self._seen = (-1, -1)

    def step(self, prepared: AbstractSet[bytes], *, is_behind: bool) -> bool:
        """Do a slice of what there is to do; return whether there is more.

        `prepared` are promoted epochs whose model is published; `is_behind`: models that serve lag.
        """
        self._finish_gates(prepared)
        self._follow()
        has_more = False if is_behind else self._teach()
        for key, shadow in list(self._live.items()):
            self._thin(key, shadow)
            if self._is_due(shadow):
                self._save(shadow)
                self._try_gate(shadow)
        return has_more

    def hand_over(self, epoch: Epoch, lineage: Lineage) -> Model | None:
        """Return a copy of a shadow's model where it is what training a promotion anew would come to."""
        self._follow()
        shadow = next(
            (one for one in self._live.values() if one.begun.record.policy_epoch == epoch.policy_epoch), None
        )
        # What retention took out of the ledger no model from the beginning has.
        if shadow is None or not shadow.begun.is_whole or self._tables.state(DROPPED):
            return None
        start, model = lineage.start, shadow.model
        is_same = (
            start is not None
            and not start.promotion.uses_final
            and not lineage.gaps
            and lineage.quarantines == model.lineage.quarantines
            and model.cursor <= start.end
        )
        if not is_same:
            return None
        return restore_model(epoch, model.policy.save(), model.cursor, model.learned_count, lineage)

    def close(self) -> None:
        """Save what was learned since, and let go of all."""
        for shadow in list(self._live.values()):
            if shadow.met_count:
                self._save(shadow)
        self._close_all()

    def _close_all(self) -> None:
        for shadow in self._live.values():
            shadow.model.policy.close()
        self._live = {}

    def _follow(self) -> None:
        """Have just the shadows that are in force, without what is taken away from learning."""
        shadows = self._fold.shadows
        seen = (shadows.count, self._fold.steering.count)
        if seen == self._seen:
            return
        for key, shadow in list(self._live.items()):
            begun = shadows.in_force.get(key)
            if begun is None or begun.position != shadow.begun.position:
                self._live.pop(key).model.policy.close()
            else:
                self._live[key] = self._trainer.follow(shadow)
        for key in self.store.names():
            if key not in shadows.in_force:
                self.store.remove(*key)
        for key, begun in shadows.in_force.items():
            if key not in self._live and begun.position not in self._failed:
                self._live[key] = self._opened(key)
        self._seen = seen

    def _opened(self, key: Key) -> Shadow:
        begun = self._fold.shadows.in_force[key]
        try:
            state = self.store.read(*key)
        except DamagedFile as error:
            log.error("shadow_file_damaged", error=str(error), effect="derived again from the ledger")
            state = None
        found = self._trainer.restored(begun, state) if state is not None else None
        shadow = found or self._trainer.first(begun)
        shadow.saved_s = self.seconds() - SAVE_S  # what it learns first is shown at once
        if found is None and state is not None:
            self._save(shadow)  # what was learned before may hold what is to be forgotten
        return shadow

    def _teach(self) -> bool:
        """Teach all in turn, a slice at a time; return whether lessons wait."""
        started_s = self.seconds()
        waiting = dict(self._live)
        for _ in range(STEP_LESSONS // SLICE):
            for key, shadow in list(waiting.items()):
                if self._teach_one(key, shadow) < SLICE:
                    del waiting[key]
            if not waiting or self.seconds() - started_s > STEP_S:
                break
        return bool(waiting)

    def _teach_one(self, key: Key, shadow: Shadow) -> int:
        started_s = self.busy_s()
        try:
            return self._trainer.teach(shadow)
        except (PolicyFault, InvalidInput, KeyError, ValueError) as error:
            # Whatever is wrong with a shadow, models that serve learn on.
            log.error("shadow_failed", placement=key[0], shadow=key[1], error=str(error), effect="it stops")
            self._failed.add(shadow.begun.position)
            self._live.pop(key).model.policy.close()
            return 0
        finally:
            shadow.busy_us += round((self.busy_s() - started_s) * 1e6)

    def _thin(self, key: Key, shadow: Shadow) -> None:
        """Lower the share of a shadow that lags, and raise it again once it has kept up for a while."""
        now_us, share = self._fold.time_us, shadow.begun.share
        declared = self._declared(key)
        since_us = self._share_us.setdefault(key, now_us)
        if declared is None or now_us - since_us < LAG_US:
            return
        self._share_us[key] = now_us
        waits_us = self._trainer.waits(shadow)
        if waits_us is not None and now_us - waits_us >= LAG_US:
            # One that catches up with history from before it began lags by nature.
            is_live = waits_us > shadow.begun.record.time_us
            wanted = max(share / 2.0, LEAST_SHARE) if is_live else share
        else:
            wanted = min(share * 2.0, declared[1].share)
        if wanted != share:
            record = replace(shadow.begun.record, share=wanted, time_us=now_us)
            self._drainer.note(record)
            log.warning("shadow_thinned", placement=key[0], shadow=key[1], judged_share=wanted)

    def _is_due(self, shadow: Shadow) -> bool:
        is_old = self.seconds() - shadow.saved_s >= SAVE_S
        return shadow.met_count >= SAVE_LESSONS or (is_old and shadow.met_count > 0)

    def _save(self, shadow: Shadow) -> None:
        shadow.saved_s = self.seconds()
        try:
            self.store.write(shadow.state(self._fold))
        except (PolicyFault, StorageUnavailable) as error:
            record = shadow.begun.record
            log.error("shadow_not_saved", placement=record.placement_id, shadow=record.name, error=str(error))
            return
        shadow.met_count = 0

    def _try_gate(self, shadow: Shadow) -> None:
        """Promote a shadow whose gate is passed: have its model trained, or exchange one that learns none."""
        record = shadow.begun.record
        key = (record.placement_id, record.name)
        declared = self._declared(key)
        if declared is None or declared[1].gate is None or record.policy_epoch == record.incumbent_epoch:
            return
        placement, choice = declared
        why = shadow.judge.passed(declared[1].gate, len(placement.shadows))
        if not why or self._is_promoted(shadow):
            return
        audit = Audit(GATE, f"shadow {record.name} {why}", self._fold.time_us)
        log.info("shadow_passed_its_gate", placement=record.placement_id, shadow=record.name, why=why)
        if not registry.learns(choice.policy.name):
            self._put_in_force(key)
            return
        epoch, description = record.policy_epoch, record.description
        self._drainer.promote(
            Promotion(record.placement_id, epoch, description, 0, 0, uses_final=False, audit=audit)
        )

    def _finish_gates(self, prepared: AbstractSet[bytes]) -> None:
        """Change the catalog for promotions by a gate whose model deciders can load."""
        for key, begun in list(self._fold.shadows.in_force.items()):
            shadow, declared = self._live.get(key), self._declared(key)
            if shadow is None or declared is None or declared[1].gate is None:
                continue
            if begun.record.policy_epoch in prepared and self._is_promoted(shadow):
                self._put_in_force(key)

    def _put_in_force(self, key: Key) -> None:
        """Exchange shadow and policy in the catalog; what fails is tried again after a while."""
        now_s = self.seconds()
        if now_s - self._tried_s.get(key, -RETRY_S) < RETRY_S:
            return
        self._tried_s[key] = now_s
        try:
            self._drainer.bring(self.swap(*key))
        except OfferOptimizerError as error:
            log.error("shadow_not_in_force", placement=key[0], shadow=key[1], error=str(error))

    def _is_promoted(self, shadow: Shadow) -> bool:
        """Return whether a gate promoted it since it began."""
        record = shadow.begun.record
        promotion = self._fold.steering.newest_promotion(record.placement_id)
        return (
            promotion is not None
            and promotion.policy_epoch == record.policy_epoch
            and promotion.audit.actor == GATE
            and promotion.audit.time_us > record.time_us
        )

    def _declared(self, key: Key) -> tuple[Placement, ShadowChoice] | None:
        """Return placement and shadow as the catalog in force has them."""
        revisions = self._fold.revisions
        if not revisions.newest:
            return None
        placement = revisions.catalog(revisions.newest).placement_by_id.get(key[0])
        for shadow in placement.shadows if placement is not None else ():
            if placement is not None and shadow.name == key[1]:
                return placement, shadow
        return None
