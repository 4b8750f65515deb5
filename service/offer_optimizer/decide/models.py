"""The models a decider serves: one per placement, swapped whole when a newer snapshot is published.

A placement whose epoch has no snapshot yet runs the policy's initial model, and that is a model. One whose
snapshot can't be used keeps the model it has; without any it has none, and the decision says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from offer_optimizer.core.decision import ModelVersion
from offer_optimizer.core.errors import NotFound, OfferOptimizerError, StorageUnavailable
from offer_optimizer.decide.prepared import PreparedCatalog, PreparedPlacement
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Policy
from offer_optimizer.store.snapshots import Snapshot

log = structlog.get_logger(__name__)

SWAPS: Final = 3
"""With a rest between two of them, and a tenth of a second between refreshes: fewer than 25 a second."""
LONG_S: Final = 0.02
"""A swap that took more processor time, of a model of many bits, is the last one of its refresh."""
IDLE_REFRESHES: Final = 3
"""For so many refreshes a model stays that no placement names any more."""
_Key = tuple[str, bytes]


class SnapshotReader(Protocol):
    """What the shelf reads snapshots through."""

    def current_name(self, placement_id: str, policy_epoch: bytes) -> str | None:
        """Return the file name of an epoch's current snapshot, or None. Raises StorageUnavailable."""
        ...

    def load(self, placement_id: str, name: str) -> Snapshot:
        """Read a snapshot. Raises DamagedFile, NotFound, StorageUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model in service, and the snapshot file it came from (None: the initial model)."""

    version: ModelVersion
    policy: Policy
    snapshot_name: str | None
    learned_count: int = 0


class ModelShelf:
    """Models by placement and epoch. Readers take a reference; one refresher swaps them.

    A model that the catalog no longer names stays for some refreshes: requests that began under the
    revision before still ask for it while the next revision's models are being loaded.

    Loading holds the interpreter lock for 2 to 3 ms with Vowpal Wabbit, while every request waits. So a
    refresh swaps SWAPS models at most, those that have waited longest, and none behind one that took long;
    `rest` gives requests their turn between any two loads. `seconds` is the processor time of the thread that
    asks: by the clock every load takes long in a busy decider, as it waits for the interpreter lock itself.
    """

    def __init__(
        self,
        snapshots: SnapshotReader,
        rest: Callable[[], None] = lambda: None,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._snapshots = snapshots
        self._rest = rest
        self._seconds = seconds
        self._models: dict[_Key, ServedModel] = {}
        self._idle: dict[_Key, int] = {}
        self._refused: set[tuple[str, str]] = set()
        self._turns: dict[_Key, int] = {}
        """In which turn a model was last swapped."""
        self._turn = 0

    def get(self, placement_id: str, epoch: bytes) -> ServedModel | None:
        """Return the model in service for a placement's epoch, or None."""
        return self._models.get((placement_id, epoch))

    def refresh(self, catalog: PreparedCatalog, most: int | None = None) -> None:
        """Load what placements lack, and swap models that have a newer snapshot; cheap when none has.

        Loads `most` models at most, all by default: the other placements answer their baseline until they
        have theirs. Raises StorageUnavailable.
        """
        is_serving = bool(self._models)
        newer: dict[_Key, tuple[PreparedPlacement, str]] = {}
        for placement_id, placement in catalog.placements.items():
            key = (placement_id, placement.epoch.id)
            name = self._snapshots.current_name(*key)
            served = self._models.get(key)
            if (placement_id, name or "") in self._refused:
                continue
            if served is None and most is not None and len(self._models) >= most:
                continue
            if served is None:
                self._put(key, placement, name)
                if is_serving:
                    self._rest()
            elif name is not None and name != served.snapshot_name:
                newer[key] = (placement, name)
        self._swap(newer)
        named = {(placement_id, placement.epoch.id) for placement_id, placement in catalog.placements.items()}
        self._forget_idle(named)

    def _swap(self, newer: Mapping[_Key, tuple[PreparedPlacement, str]]) -> None:
        longest_waiting = sorted(newer, key=lambda key: self._turns.get(key, 0))[:SWAPS]
        for count, key in enumerate(longest_waiting):
            if count:
                self._rest()
            self._turn += 1
            # Before it is loaded: one that can't be read must not keep the others waiting.
            self._turns[key] = self._turn
            began_s = self._seconds()
            self._put(key, *newer[key])
            if self._seconds() - began_s > LONG_S:
                break

    def _put(self, key: _Key, placement: PreparedPlacement, name: str | None) -> None:
        model = self._load(key[0], placement, name)
        if model is not None:
            self._models[key] = model

    def _forget_idle(self, named: AbstractSet[_Key]) -> None:
        self._idle = {key: self._idle.get(key, 0) + 1 for key in self._models.keys() - named}
        for key, refresh_count in self._idle.items():
            if refresh_count > IDLE_REFRESHES:
                del self._models[key]
                self._turns.pop(key, None)

    def _load(self, placement_id: str, placement: PreparedPlacement, name: str | None) -> ServedModel | None:
        policy_name, options = placement.placement.policy.name, placement.placement.policy.options
        baseline = placement.placement.baseline
        epoch = placement.epoch.id
        try:
            if name is None:
                return ServedModel(
                    ModelVersion(epoch, 0), registry.create(policy_name, options, baseline), None
                )
            snapshot = self._snapshots.load(placement_id, name)
            policy = registry.load_asked(policy_name, options, baseline, snapshot.state)
        except NotFound:
            return None  # pruned between the look and the read; the next refresh sees its successor
        except StorageUnavailable as error:
            log.error(
                "snapshot_not_read", placement=placement_id, snapshot=name, error=str(error), effect="retried"
            )
            return None
        except OfferOptimizerError as error:
            log.error("snapshot_refused", placement=placement_id, snapshot=name, error=str(error))
            self._refused.add((placement_id, name or ""))
            return None
        return ServedModel(
            ModelVersion(epoch, snapshot.ledger_position), policy, name, snapshot.learned_count
        )


REFRESH_S: Final = 0.1
"""How often deciders look for newer snapshots and catalogs: they switch within 250 ms."""
