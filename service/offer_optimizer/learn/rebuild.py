"""Rebuild: derive fold and models again from the ledger, in a database of its own, and compare.

Starts at the ledger's beginning, or at the base snapshot that stands for it, never at a live snapshot, and
calls the fold and the trainer that live learning calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from offer_optimizer.core.errors import DamagedFile, OfferOptimizerError
from offer_optimizer.learn.base_snapshot import base_cursor, base_model
from offer_optimizer.learn.compare import Comparison
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.lineage import START, Cursor, Lineage
from offer_optimizer.learn.shadow_training import MakeJudge, ShadowTrainer
from offer_optimizer.learn.trainer import BATCH, Model, Trainer, initial_model, restore_model
from offer_optimizer.policy.epoch import is_of_this_release
from offer_optimizer.store.base_file import BaseFile
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.dropping import load_tables
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger, LedgerRecord
from offer_optimizer.store.shadow_file import ShadowState
from offer_optimizer.store.snapshots import Snapshot
from offer_optimizer.store.sqlite import open_writer

Progress = Callable[[int, int], None]
_REPORT_EVERY = 1000


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """A live snapshot against the model rebuilt to the same close cursor."""

    placement_id: str
    policy_epoch: str
    learned_count: int
    live_sha256: str
    rebuilt_sha256: str
    rebuilt_count: int

    @property
    def is_equal(self) -> bool:
        """Return whether both are the same, byte for byte, as this release writes them."""
        return self.live_sha256 == self.rebuilt_sha256 and self.learned_count == self.rebuilt_count


class Rebuilt:
    """The state of the fold after a position of the ledger, derived from its beginning or from a base."""

    def __init__(self, ledger: Ledger, up_to: int, progress: Progress, base: BaseFile | None = None) -> None:
        """Fold the records up to a position, behind a base snapshot if given. Raises DamagedFile.

        `progress` hears of (done, all).
        """
        self.connection = open_writer(None)
        self._ledger = ledger
        self._base = base
        self.tables = FoldTables.create(self.connection)
        self.fold = Fold(ledger, self.tables)
        self.connection.execute("BEGIN")
        if base is not None:
            load_tables(self.connection, base)
            self.fold = Fold(ledger, self.tables)
        self.closed_before = frozenset(
            row[0] for row in self.connection.execute("SELECT position FROM closed")
        )
        """Decisions that had closed by the base already and that it keeps all the same."""
        for record in ledger.records(self.fold.position, up_to):
            self._fold_one(record)
            if record.position % _REPORT_EVERY == 0:
                progress(record.position, up_to)
        self.fold.save_state()
        self.connection.execute("COMMIT")
        progress(up_to, up_to)

    def _fold_one(self, record: LedgerRecord) -> None:
        """Fold a record. Raises DamagedFile for one that was sound when it was folded live."""
        try:
            self.fold.apply(record)
        except (LookupError, ValueError, TypeError, ArithmeticError, DecodeError) as error:
            raise DamagedFile(
                "ledger",
                f"the record at position {record.position} is not what was written"
                f" ({type(error).__name__}): restore the ledger from a backup",
            ) from error

    def model(
        self, policy_epoch: bytes, cursor: Cursor | None = None, lineage: Lineage | None = None
    ) -> Model:
        """Train the model of an epoch from its beginning or the base's, up to a close cursor if given.

        Without a lineage it is the one that the ledger asks for by now. Raises KeyError when the ledger does
        not know the epoch.
        """
        epoch = self.fold.revisions.epoch(policy_epoch)
        if epoch is None:
            raise KeyError(policy_epoch.hex())
        model = (base_model(self._base, epoch) if self._base else None) or initial_model(epoch)
        model.lineage = lineage or self.fold.steering.lineage(
            epoch.placement_id, policy_epoch, self.fold.position
        )
        trainer = Trainer(self._ledger, self.tables, self.fold.revisions)
        while trainer.teach(model, up_to=cursor) == BATCH:
            pass
        return model

    def is_of_this_release(self, policy_epoch: bytes) -> bool:
        """Return whether this release learns an epoch's model byte for byte (featurizer, libraries)."""
        epoch = self.fold.revisions.epoch(policy_epoch)
        return epoch is None or is_of_this_release(epoch.description)

    def is_before_base(self, snapshot: Snapshot) -> bool:
        """Return whether a snapshot had learned less than the base's model: nothing derives it any more."""
        begin = base_cursor(self._base, snapshot.policy_epoch) if self._base else None
        return begin is not None and (snapshot.close_time_us, snapshot.close_position) < begin

    def compare(self, snapshot: Snapshot) -> ModelComparison:
        """Train to where a snapshot stands and compare."""
        lineage = self.fold.steering.lineage(
            snapshot.placement_id,
            snapshot.policy_epoch,
            snapshot.ledger_position,
            snapshot.lineage_position,
        )
        cursor = (snapshot.close_time_us, snapshot.close_position)
        model = self.model(snapshot.policy_epoch, cursor, lineage)
        try:
            state = model.policy.save()
        finally:
            model.policy.close()
        epoch = self.fold.revisions.epoch(snapshot.policy_epoch)
        live = _as_written_now(epoch, snapshot.state, state) if epoch is not None else snapshot.state
        return ModelComparison(
            snapshot.placement_id,
            snapshot.policy_epoch.hex(),
            snapshot.learned_count,
            hashlib.sha256(live).hexdigest(),
            hashlib.sha256(state).hexdigest(),
            model.learned_count,
        )

    def compare_shadow(self, state: ShadowState, make_judge: MakeJudge) -> ModelComparison | None:
        """Train and judge a shadow to where its file stands and compare both.

        None where the ledger does not hold any more what the file was made of: it ended, something was erased
        since, or retention moved out what it had learned.
        """
        begun = self.fold.shadows.in_force.get((state.placement_id, state.name))
        is_gone = begun is None or begun.position != state.begun_position or self._base is not None
        if begun is None or is_gone or state.taken_position < self.fold.shadows.erased_position:
            return None
        trainer = ShadowTrainer(self._ledger, self.tables, self.fold, make_judge)
        shadow = trainer.first(begun, state.taken_position)
        try:
            while trainer.teach(shadow, (state.close_time_us, state.close_position), BATCH) == BATCH:
                pass
            sums, model = shadow.judge.save(), shadow.model.policy.save()
        finally:
            shadow.model.policy.close()
        epoch = Epoch(state.placement_id, 0, state.policy_epoch, begun.record.description)
        live = _as_written_now(epoch, state.model, model)
        return ModelComparison(
            f"{state.placement_id}, shadow {state.name}",
            state.policy_epoch.hex(),
            state.learned_count,
            hashlib.sha256(live + state.sums).hexdigest(),
            hashlib.sha256(model + sums).hexdigest(),
            shadow.model.learned_count,
        )

    def differing_rows(self, live: FoldTables, most: int = 10) -> list[str]:
        """Return what live learning noted otherwise: fates, closed decisions, final rewards, rollups.

        As of the rebuilt position: the live side may run on meanwhile.
        """
        base_position = self._base.header.ledger_position if self._base else 0
        return Comparison(self.tables, live, self.fold.position, self.fold.time_us, base_position).differing(
            most
        )

    def close(self) -> None:
        """Let go of the private database."""
        self.connection.close()


def _as_written_now(epoch: Epoch, live: bytes, rebuilt: bytes) -> bytes:
    """Return a live state as this release writes the model in it; itself where nothing loads it.

    One that an earlier release wrote may be laid out otherwise, and the model is the same.
    """
    if live == rebuilt:
        return live
    try:
        model = restore_model(epoch, live, START, 0)
    except OfferOptimizerError:
        return live
    try:
        return model.policy.save()
    finally:
        model.policy.close()
