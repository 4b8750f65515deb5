"""Models learn from closed decisions, in closing order, one model per placement and policy epoch.

A model's close cursor says how far it has learned, and its lineage what is left out; catching up after a
restart, learning live, training anew behind a quarantine and a rebuild are the same loop from another cursor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from offer_optimizer.learn.drawn_examples import DrawnExamples
from offer_optimizer.learn.examples import ExampleMaker
from offer_optimizer.learn.lineage import END, START, WHOLE, Cursor, Lineage
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Example, Policy
from offer_optimizer.policy.epoch import parse_description
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.fold_tables import ClosedDecision, CloseStatus, FoldTables
from offer_optimizer.store.ledger import Ledger

BATCH: Final = 500
"""Examples read at a time; between batches other work gets its turn."""


@dataclass
class Model:
    """A policy with how far it has learned: close time (microseconds) and position of the last example met.

    Whoever sets another lineage has to know that both agree up to the cursor.
    """

    placement_id: str
    policy_epoch: bytes
    policy_name: str
    policy: Policy
    cursor: Cursor = START
    learned_count: int = 0
    lineage: Lineage = WHOLE
    is_promoted: bool = False
    """It has not been published yet since a promotion made it."""


def initial_model(epoch: Epoch, lineage: Lineage = WHOLE) -> Model:
    """Build the model that an epoch starts with."""
    name, options, baseline = parse_description(epoch.description)
    policy = registry.create(name, options, baseline)
    return Model(epoch.placement_id, epoch.policy_epoch, name, policy, lineage=lineage)


def restore_model(
    epoch: Epoch, state: bytes, cursor: Cursor, learned_count: int, lineage: Lineage = WHOLE
) -> Model:
    """Build a model from its saved state. Raises PolicyFault or InvalidInput when the state is no good."""
    name, options, baseline = parse_description(epoch.description)
    policy = registry.load(name, options, baseline, state)
    return Model(epoch.placement_id, epoch.policy_epoch, name, policy, cursor, learned_count, lineage)


class Trainer:
    """Feeds closed decisions to models."""

    def __init__(self, ledger: Ledger, tables: FoldTables, revisions: Revisions) -> None:
        self._tables = tables
        self._revisions = revisions
        self._examples = ExampleMaker(ledger, tables, revisions)
        self._drawn = DrawnExamples(ledger, revisions)

    def teach(self, model: Model, up_to: Cursor | None = None, limit: int = BATCH) -> int:
        """Let a model learn what it has not met yet; return how many examples it met, at most `limit`.

        Fewer than `limit` means that there are no more. A quarantined one is met and not learned.
        """
        lessons = self._lessons(model, up_to or END, limit)
        for lesson, example in zip(lessons, self._made(lessons, model.lineage), strict=True):
            if example is not None:
                model.policy.learn(example)
                model.learned_count += 1
            model.cursor = (lesson.close_time_us, lesson.position)
        return len(lessons)

    def _made(self, lessons: list[ClosedDecision], lineage: Lineage) -> Iterator[Example | None]:
        """Yield the example of each; nearly always there is nothing to leave out or to score anew."""
        if lineage.start is None and not lineage.quarantines:
            return self._drawn.make(lessons)
        return (self._examples.make(lesson, lineage) for lesson in lessons)

    def _lessons(self, model: Model, up_to: Cursor, limit: int) -> list[ClosedDecision]:
        found: list[ClosedDecision] = []
        for after, until in model.lineage.ranges(model.cursor, up_to):
            if len(found) >= limit:
                break
            found += self._history(model, after, min(until, model.lineage.history_end), limit - len(found))
            own_after = max(after, model.lineage.history_end)
            if own_after < until and len(found) < limit:
                own = (model.placement_id, model.policy_epoch, own_after, until)
                found += self._tables.lessons(*own, limit - len(found))
        return found

    def _history(self, model: Model, after: Cursor, until: Cursor, limit: int) -> list[ClosedDecision]:
        if after >= until:
            return []
        epochs = self._revisions.epochs_of(model.placement_id)
        return self._tables.history(model.placement_id, epochs, (CloseStatus.LEARNED,), after, until, limit)
