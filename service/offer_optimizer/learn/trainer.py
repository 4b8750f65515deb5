"""Models learn from closed decisions, in closing order, one model per placement and policy epoch.

A model's close cursor says how far it has learned; catching up after a restart, learning live and training
a rebuild are the same loop from another cursor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from offer_optimizer.learn.drawn_examples import DrawnExamples
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Policy
from offer_optimizer.policy.epoch import parse_description
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger

Cursor = tuple[int, int]
START: Final[Cursor] = (0, 0)
BATCH: Final = 500
"""Examples read at a time; between batches other work gets its turn."""


@dataclass
class Model:
    """A policy with how far it has learned: close time (microseconds) and position of the last example."""

    placement_id: str
    policy_epoch: bytes
    policy_name: str
    policy: Policy
    cursor: Cursor = START
    learned_count: int = 0


def initial_model(epoch: Epoch) -> Model:
    """Build the model that an epoch starts with."""
    name, options, baseline = parse_description(epoch.description)
    policy = registry.create(name, options, baseline)
    return Model(epoch.placement_id, epoch.policy_epoch, name, policy)


def restore_model(epoch: Epoch, state: bytes, cursor: Cursor, learned_count: int) -> Model:
    """Build a model from its saved state. Raises PolicyFault or InvalidInput when the state is no good."""
    name, options, baseline = parse_description(epoch.description)
    policy = registry.load(name, options, baseline, state)
    return Model(epoch.placement_id, epoch.policy_epoch, name, policy, cursor, learned_count)


class Trainer:
    """Feeds closed decisions to models."""

    def __init__(self, ledger: Ledger, tables: FoldTables, revisions: Revisions) -> None:
        self._tables = tables
        self._examples = DrawnExamples(ledger, revisions)

    def teach(self, model: Model, up_to: Cursor | None = None, limit: int = BATCH) -> int:
        """Let a model learn what it has not seen yet; return the number of examples, at most `limit`."""
        lessons = self._tables.lessons(model.placement_id, model.policy_epoch, model.cursor, up_to, limit)
        for lesson, example in zip(lessons, self._examples.make(lessons), strict=True):
            model.policy.learn(example)
            model.cursor = (lesson.close_time_us, lesson.position)
            model.learned_count += 1
        return len(lessons)
