"""Publishing models: save, verify in a child process, write, point deciders at it.

A model that is not finite, does not load elsewhere, or answers another pmf there is never published. With an
executor, all but saving happens beside learning, in the order in which models were handed over: a disk takes
tens of milliseconds to sync a large one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import PolicyFault, StorageUnavailable
from offer_optimizer.core.features import Features
from offer_optimizer.learn.lineage import START, Cursor
from offer_optimizer.learn.trainer import Model
from offer_optimizer.policy.contract import Action, remarks
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.snapshots import Snapshot, SnapshotStore

log = structlog.get_logger(__name__)

CREDIT_US: Final = 100_000
"""About a round of the learner: two models may follow each other in one round and none in the next."""
BYTES_PER_S: Final = 40_000_000
"""Snapshots are synced to the disk, and the default policy's have 100 KB an offer."""
CANARY_CONTEXT = Features(categories=(("canary", "yes"),), numbers=(("canary_number", 1.0),))


class Verifier(Protocol):
    """Loads a state somewhere else and asks it the canary question."""

    def canary_pmf(self, epoch: Epoch, state: bytes, actions: tuple[Action, ...]) -> Pmf64:
        """Return the pmf that the loaded state answers. Raises PolicyFault."""
        ...


@dataclass
class PublishState:
    """When a model was last published, how much it had learned then, and up to where it had met examples."""

    learned_count: int = -1
    time_us: int = 0
    cursor: Cursor = START


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A model on its way: what was saved of it, and its own answer to the canary question."""

    model: Model
    snapshot: Snapshot
    own: Pmf64
    epoch: Epoch
    actions: tuple[Action, ...]
    is_promoted: bool


@dataclass
class Publisher:
    """Publishes models that have met examples, each at most once per interval, `pace_us` apart on average.

    A large one counts for as long as its bytes take at BYTES_PER_S, and what could have been published in the
    last CREDIT_US may be made up for. So publishing neither holds up learning nor wears the disk out.
    """

    store: SnapshotStore
    verifier: Verifier
    clock: Callable[[], int]
    interval_us: int
    pace_us: int = 0
    executor: Executor | None = None
    """Carries deliveries out, one at a time in order; None: whoever publishes waits."""
    _free_us: int = 0
    """When the next model may be published, whichever."""
    _longest_us: int = 0
    """What the last one counted for: a clock that went back further must not hold models back."""
    _states: dict[bytes, PublishState] = field(default_factory=dict)
    _under_way: dict[bytes, tuple[_Delivery, Future[int]]] = field(default_factory=dict)
    _disowned: set[bytes] = field(default_factory=set)
    """Epochs whose delivery under way is of a model that another one took the place of."""

    def note_unpublished(self, model: Model) -> None:
        """Forget what was published: the current snapshot is not what the model was made from."""
        if model.policy_epoch in self._under_way:
            self._disowned.add(model.policy_epoch)
        self._states.pop(model.policy_epoch, None)

    def note_restored(self, model: Model) -> None:
        """Remember that the current snapshot holds just what the model has learned."""
        self._states[model.policy_epoch] = PublishState(model.learned_count, 0, model.cursor)

    def note_failed(self, model: Model) -> None:
        """Wait an interval before the next try."""
        state = self._states.get(model.policy_epoch, PublishState())
        self._states[model.policy_epoch] = PublishState(state.learned_count, self.clock(), state.cursor)

    def has_news(self, model: Model) -> bool:
        """Return whether a model has met examples since it was last published.

        Those in quarantine too, which it does not learn: else nobody could tell it from one that is stuck.
        """
        state = self._states.get(model.policy_epoch, PublishState())
        return (model.learned_count, model.cursor) != (state.learned_count, state.cursor)

    def is_due(self, model: Model) -> bool:
        """Return whether a model has something new, its interval is over, and no other was just published."""
        if model.policy_epoch in self._under_way or not self.has_news(model):
            return False
        state, now_us = self._states.get(model.policy_epoch, PublishState()), self.clock()
        # A clock that went back must not hold models back until it is where it was.
        is_early = 0 <= now_us - state.time_us < self.interval_us
        return not is_early and not 0 < self._free_us - now_us <= self._longest_us

    def published_us(self, model: Model) -> int:
        """Return when a model was last published; 0 for never: who waited longest comes first."""
        return self._states.get(model.policy_epoch, PublishState()).time_us

    def _note_cost(self, now_us: int, size: int) -> None:
        cost_us = max(self.pace_us, size * 1_000_000 // BYTES_PER_S) if self.pace_us else 0
        self._longest_us = max(self.pace_us, cost_us)
        since_us = self._free_us if 0 <= now_us - self._free_us < CREDIT_US else now_us - CREDIT_US
        self._free_us = since_us + cost_us

    def publish(self, model: Model, epoch: Epoch, ledger_position: int, actions: tuple[Action, ...]) -> None:
        """Save, verify and publish. Raises PolicyFault when the model must not be served, StorageUnavailable.

        With an executor, `collect` tells what became of it.
        """
        state = model.policy.save()
        snapshot = Snapshot(
            placement_id=model.placement_id,
            policy_epoch=model.policy_epoch,
            policy=model.policy_name,
            ledger_position=ledger_position,
            close_time_us=model.cursor[0],
            close_position=model.cursor[1],
            learned_count=model.learned_count,
            state=state,
            lineage_position=model.lineage.position,
            remarks=remarks(model.policy),
        )
        own = model.policy.pmf(CANARY_CONTEXT, actions)
        delivery = _Delivery(model, snapshot, own, epoch, actions, model.is_promoted)
        self._note_cost(self.clock(), len(state))
        if self.executor is None:
            self._note_published(delivery, self._carry_out(delivery))
        else:
            self._under_way[model.policy_epoch] = delivery, self.executor.submit(self._carry_out, delivery)

    def collect(self) -> list[tuple[Model, Exception]]:
        """Note what the executor has published by now; return what it could not publish, and why."""
        failed: list[tuple[Model, Exception]] = []
        for policy_epoch, (delivery, future) in list(self._under_way.items()):
            if future.done():
                del self._under_way[policy_epoch]
                is_disowned = policy_epoch in self._disowned
                self._disowned.discard(policy_epoch)
                try:
                    written_us = future.result()
                except (PolicyFault, StorageUnavailable) as error:
                    failed.append((delivery.model, error))
                else:
                    if not is_disowned:
                        self._note_published(delivery, written_us)
        return failed

    def settle(self) -> None:
        """Return once nothing is under way, so that snapshots are what was published last."""
        for _, future in self._under_way.values():
            future.exception()

    def _carry_out(self, delivery: _Delivery) -> int:
        """Verify and write, in whatever thread; return when it was written."""
        snapshot = delivery.snapshot
        elsewhere = self.verifier.canary_pmf(delivery.epoch, snapshot.state, delivery.actions)
        if delivery.own.tolist() != elsewhere.tolist():
            raise PolicyFault(
                f"placement {snapshot.placement_id}: the saved model answers another pmf than the live one"
            )
        now_us = self.clock()
        self.store.publish(snapshot, now_us, is_promoted=delivery.is_promoted)
        if not delivery.is_promoted:  # else the one in force may be another, and must not be taken for left
            self.store.prune(snapshot.placement_id, snapshot.policy_epoch, now_us)
        return now_us

    def _note_published(self, delivery: _Delivery, now_us: int) -> None:
        snapshot = delivery.snapshot
        cursor = snapshot.close_time_us, snapshot.close_position
        self._states[snapshot.policy_epoch] = PublishState(snapshot.learned_count, now_us, cursor)
        if delivery.is_promoted:
            delivery.model.is_promoted = False
