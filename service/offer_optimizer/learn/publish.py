"""Publishing models: save, verify in a child process, write, point deciders at it.

A model that is not finite, does not load elsewhere, or answers another pmf there is never published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.core.features import Features
from offer_optimizer.learn.trainer import Model
from offer_optimizer.policy.contract import Action
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.snapshots import Snapshot, SnapshotStore

log = structlog.get_logger(__name__)

CANARY_CONTEXT = Features(categories=(("canary", "yes"),), numbers=(("canary_number", 1.0),))


class Verifier(Protocol):
    """Loads a state somewhere else and asks it the canary question."""

    def canary_pmf(self, epoch: Epoch, state: bytes, actions: tuple[Action, ...]) -> Pmf64:
        """Return the pmf that the loaded state answers. Raises PolicyFault."""
        ...


@dataclass
class PublishState:
    """When a model was last published, and what it had learned then."""

    learned_count: int = -1
    time_us: int = 0


@dataclass
class Publisher:
    """Publishes models that have learned something, each at most once per interval."""

    store: SnapshotStore
    verifier: Verifier
    clock: Callable[[], int]
    interval_us: int
    _states: dict[bytes, PublishState] = field(default_factory=dict)

    def note_unpublished(self, model: Model) -> None:
        """Forget what was published: the current snapshot is not what the model was made from."""
        self._states.pop(model.policy_epoch, None)

    def note_restored(self, model: Model) -> None:
        """Remember that the current snapshot holds just what the model has learned."""
        self._states[model.policy_epoch] = PublishState(model.learned_count, 0)

    def note_failed(self, model: Model) -> None:
        """Wait an interval before the next try."""
        learned_count = self._states.get(model.policy_epoch, PublishState()).learned_count
        self._states[model.policy_epoch] = PublishState(learned_count, self.clock())

    def has_news(self, model: Model) -> bool:
        """Return whether a model has learned something since it was last published."""
        return model.learned_count != self._states.get(model.policy_epoch, PublishState()).learned_count

    def is_due(self, model: Model) -> bool:
        """Return whether a model has something new and its interval is over."""
        state = self._states.get(model.policy_epoch, PublishState())
        # A clock that went back must not hold models back until it is where it was.
        return self.has_news(model) and not 0 <= self.clock() - state.time_us < self.interval_us

    def publish(self, model: Model, epoch: Epoch, ledger_position: int, actions: tuple[Action, ...]) -> None:
        """Save, verify and publish. Raises PolicyFault when the model must not be served."""
        state = model.policy.save()
        own = model.policy.pmf(CANARY_CONTEXT, actions)
        elsewhere = self.verifier.canary_pmf(epoch, state, actions)
        if own.tolist() != elsewhere.tolist():
            raise PolicyFault(
                f"placement {model.placement_id}: the saved model answers another pmf than the live one"
            )
        now_us = self.clock()
        self.store.publish(
            Snapshot(
                placement_id=model.placement_id,
                policy_epoch=model.policy_epoch,
                policy=model.policy_name,
                ledger_position=ledger_position,
                close_time_us=model.cursor[0],
                close_position=model.cursor[1],
                learned_count=model.learned_count,
                state=state,
                lineage_position=model.lineage.position,
            ),
            now_us,
            is_promoted=model.is_promoted,
        )
        self._states[model.policy_epoch] = PublishState(model.learned_count, now_us)
        if not model.is_promoted:  # else the one in force may be another, and must not be taken for left
            self.store.prune(model.placement_id, model.policy_epoch, now_us)
        model.is_promoted = False
