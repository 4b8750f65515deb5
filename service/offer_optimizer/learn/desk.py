"""What people ask of learning, checked and put into a control segment: the learner does the rest.

Always holds: what is durable can be acted on, because it was held against the catalog in force and the kept
snapshots first. Runs in deciders; knows no ledger and no policy's maths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from offer_optimizer.core.catalog import Catalog, Placement
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.control import (
    Audit,
    ClockAccepted,
    Control,
    Learning,
    Promotion,
    Quarantine,
    Rollback,
)
from offer_optimizer.core.decision import ModelVersion
from offer_optimizer.core.errors import DamagedFile, InvalidInput, NotFound, UnknownPlacement
from offer_optimizer.core.features import show
from offer_optimizer.learn.lineage import Cursor
from offer_optimizer.learn.ports import Asker, KeptModel, Started
from offer_optimizer.policy import registry
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import encode_control
from offer_optimizer.store.moved import Moved, show_time
from offer_optimizer.store.snapshots import Snapshot, SnapshotStore, order_of


class ControlLog(Protocol):
    """Where control records go."""

    def append_durable(self, payload: bytes) -> None:
        """Append one record and sync. Raises StorageUnavailable."""
        ...


class Reach(Protocol):
    """What of history can still be learned again. Every call may raise StorageUnavailable."""

    def moved(self) -> Moved | None:
        """Return what retention moved to the archive; None where all is there."""
        ...

    def begins_at(self, policy_epoch: bytes) -> Cursor:
        """Return the close cursor that no model of an epoch can go behind. Raises DamagedFile, NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class ControlDesk:
    """Implements LearningDesk. `catalog` returns the one in force, `clock` microseconds since the epoch."""

    control: ControlLog
    snapshots: SnapshotStore
    catalog: Callable[[], Catalog]
    clock: Callable[[], int]
    reach: Reach

    def set_learning(self, placement_id: str, asker: Asker, *, frozen: bool) -> None:
        """See LearningDesk."""
        if placement_id:
            self._placement(placement_id)
        self._ask(Learning(placement_id, frozen, self._audit(asker)))

    def roll_back(self, placement_id: str, version: str, asker: Asker) -> None:
        """See LearningDesk."""
        placement = self._placement(placement_id)
        wanted, in_force = _parse_version(version), epoch_of(placement).id
        if wanted.epoch != in_force:
            raise InvalidInput(
                "model_version",
                f"is of another policy epoch than the one in force, {in_force.hex()}: "
                "apply the catalog that it was learned under first",
            )
        snapshot = self._find(placement_id, wanted)
        begin = self.reach.begins_at(in_force)
        if (snapshot.close_time_us, snapshot.close_position) < begin:
            raise InvalidInput(
                "model_version",
                f"{wanted} had learned less than what was since moved to the archive or erased, and "
                f"nothing of that is learned again: choose one that had learned all that closed by "
                f"{show_time(begin[0])}",
            )
        record = Rollback(
            placement_id,
            in_force,
            wanted.position,
            snapshot.close_time_us,
            snapshot.close_position,
            snapshot.learned_count,
            self._audit(asker),
        )
        self._ask(record)

    def quarantine(
        self, placement_id: str, start_us: int, end_us: int, offer_id: str, source: str, asker: Asker
    ) -> str:
        """See LearningDesk."""
        if placement_id:
            self._placement(placement_id)
        if end_us <= start_us:
            raise InvalidInput("end_time", "is not after start_time")
        if offer_id and source:
            raise InvalidInput("source", "can't be given together with offer_id: ask for each by itself")
        moved = self.reach.moved()
        self._ask(Quarantine(placement_id, start_us, end_us, offer_id, source, self._audit(asker)))
        if moved is None or start_us >= moved.time_us:
            return ""
        return f"what closed before {show_time(moved.time_us)} was moved to the archive and stays learned"

    def start_epoch(self, placement_id: str, document: str, asker: Asker, *, uses_final: bool) -> Started:
        """See LearningDesk."""
        self._placement(placement_id)
        placement = parse_catalog(document, registry.describe).placement_by_id.get(placement_id)
        if placement is None:
            raise UnknownPlacement("placement", f"{show(placement_id)} is not in the document")
        if not registry.learns(placement.policy.name):
            raise InvalidInput(
                "document", f"{placement_id}: the policy {placement.policy.name} learns nothing"
            )
        epoch = epoch_of(placement)
        promoted = self.snapshots.promoted_names(placement_id)
        before = [name for name in self.snapshots.names(placement_id, epoch.id) if name in promoted]
        # The learner sets the cursor: it knows what has closed when the record reaches the ledger.
        self._ask(Promotion(placement_id, epoch.id, epoch.description, 0, 0, uses_final, self._audit(asker)))
        return Started(epoch.id, tuple(ModelVersion(epoch.id, order_of(name)[0]) for name in before))

    def accept_clock(self, asker: Asker) -> None:
        """See LearningDesk."""
        self._ask(ClockAccepted(self._audit(asker)))

    def kept(self, placement_id: str, policy_epoch: bytes | None) -> tuple[KeptModel, ...]:
        """See LearningDesk."""
        placement = self._placement(placement_id)
        epoch = policy_epoch or epoch_of(placement).id
        current = self.snapshots.current_name(placement_id, epoch)
        promoted = self.snapshots.promoted_names(placement_id)
        found = [KeptModel(ModelVersion(epoch, 0), 0, None, current is None, is_promoted=False)]
        for name in reversed(self.snapshots.newest_first(placement_id, epoch)):
            position, learned_count, written_us = order_of(name)
            version = ModelVersion(epoch, position)
            found.append(KeptModel(version, learned_count, written_us, name == current, name in promoted))
        return tuple(found[::-1])

    def _placement(self, placement_id: str) -> Placement:
        placement = self.catalog().placement_by_id.get(placement_id)
        if placement is None:
            raise UnknownPlacement("placement", f"{show(placement_id)} is not in the catalog")
        name = placement.policy.name
        if not registry.learns(name):
            raise InvalidInput("placement", f"{placement_id}: the policy {name} learns nothing")
        return placement

    def _find(self, placement_id: str, wanted: ModelVersion) -> Snapshot:
        """Return the newest snapshot of a version. Raises NotFound with those that are kept."""
        if wanted.position == 0:
            return Snapshot(placement_id, wanted.epoch, "", 0, 0, 0, 0, b"")
        names = self.snapshots.newest_first(placement_id, wanted.epoch)
        for name in [name for name in names if order_of(name)[0] == wanted.position]:
            try:
                return self.snapshots.load(placement_id, name)
            except (DamagedFile, NotFound):
                continue
        positions = sorted({order_of(name)[0] for name in names}, reverse=True)
        kept = "".join(f"\n{ModelVersion(wanted.epoch, position)}" for position in [*positions, 0])
        raise NotFound(f"model_version: {wanted} is not kept; these are, newest first:{kept}")

    def _ask(self, control: Control) -> None:
        self.control.append_durable(encode_control(control))

    def _audit(self, asker: Asker) -> Audit:
        return Audit(asker.actor, asker.reason, self.clock())


def _parse_version(text: str) -> ModelVersion:
    epoch, colon, position = text.partition(":")
    try:
        found = ModelVersion(bytes.fromhex(epoch), int(position))
    except ValueError:
        found = None
    if found is None or not colon or len(found.epoch) != 16 or not 0 <= found.position < 2**63:
        raise InvalidInput("model_version", f"must be EPOCH:POSITION as Decide returns it (is {show(text)})")
    return found
