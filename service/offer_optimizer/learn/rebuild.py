"""Rebuild: derive fold and models again from the ledger, in a database of its own, and compare.

Starts at the ledger's beginning, never at a live snapshot, and calls the fold and the trainer that live
learning calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.lineage import Cursor, Lineage
from offer_optimizer.learn.trainer import BATCH, Model, Trainer, initial_model
from offer_optimizer.policy.epoch import is_of_this_release
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.rollup_tables import RollupTables
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
        """Return whether both are the same, byte for byte."""
        return self.live_sha256 == self.rebuilt_sha256 and self.learned_count == self.rebuilt_count


class Rebuilt:
    """The state of the fold after a position of the ledger, derived from its beginning."""

    def __init__(self, ledger: Ledger, up_to: int, progress: Progress) -> None:
        """Fold the records up to a position; `progress` hears of (done, all)."""
        self._connection = open_writer(None)
        self._ledger = ledger
        self.tables = FoldTables.create(self._connection)
        self.fold = Fold(ledger, self.tables)
        self._connection.execute("BEGIN")
        for record in ledger.records(0, up_to):
            self.fold.apply(record)
            if record.position % _REPORT_EVERY == 0:
                progress(record.position, up_to)
        self.fold.save_state()
        self._connection.execute("COMMIT")
        progress(up_to, up_to)

    def model(
        self, policy_epoch: bytes, cursor: Cursor | None = None, lineage: Lineage | None = None
    ) -> Model:
        """Train the model of an epoch from its beginning, up to a close cursor if given.

        Without a lineage it is the one that the ledger asks for by now. Raises KeyError when the ledger does
        not know the epoch.
        """
        epoch = self.fold.revisions.epoch(policy_epoch)
        if epoch is None:
            raise KeyError(policy_epoch.hex())
        model = initial_model(epoch)
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
        return ModelComparison(
            snapshot.placement_id,
            snapshot.policy_epoch.hex(),
            snapshot.learned_count,
            hashlib.sha256(snapshot.state).hexdigest(),
            hashlib.sha256(state).hexdigest(),
            model.learned_count,
        )

    def differing_rows(self, live: FoldTables, most: int = 10) -> list[str]:
        """Return what live learning noted otherwise: fates, closed decisions, final rewards, rollups.

        As of the rebuilt position: the live side may run on meanwhile.
        """
        differing: list[str] = []
        bounds: tuple[tuple[Literal["fate", "closed"], int], ...] = (
            ("fate", self.fold.position),
            ("closed", self.fold.time_us),
        )
        for table, bound in bounds:
            ours, theirs = set(self.tables.settled(table, bound)), set(live.settled(table, bound))
            differing += [f"{table} {row}: only rebuilt" for row in sorted(ours - theirs, key=repr)]
            differing += [f"{table} {row}: only live" for row in sorted(theirs - ours, key=repr)]
        return [*differing, *self._differing_finals(live), *self._differing_rollups(live)][:most]

    def _differing_finals(self, live: FoldTables) -> list[str]:
        """Return final rewards that differ; what moved again since can't be compared."""
        ours, theirs = self.tables.finals(), live.finals()
        known = {at for at, (_, changed) in theirs.items() if changed <= self.fold.position}
        return [
            f"final {at}: {ours.get(at)} rebuilt, {theirs.get(at)} live"
            for at in sorted((ours.keys() - theirs.keys()) | known)
            if ours.get(at) != theirs.get(at)
        ]

    def _differing_rollups(self, live: FoldTables) -> list[str]:
        """Return rollups that differ. They go on changing: compared where both stand at the same record."""
        if live.state("position") != self.fold.position:
            return []
        differing: list[str] = []
        sides = (("only rebuilt", self.tables, live), ("only live", live, self.tables))
        for side, one, other in sides:
            rows = RollupTables(one.connection).rows() - RollupTables(other.connection).rows()
            differing += [f"rollup {row}: {side}" for row in sorted(rows)]
        return differing

    def close(self) -> None:
        """Let go of the private database."""
        self._connection.close()
