"""Closed decisions as examples, many at a time: what was drawn, scored by what it had earned at its close.

Reads of a record only what an example is made of, and makes the offers of equal decisions once: the reward
and the weight were made when the window closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.store.fold_tables import ClosedDecision
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.lessons import Drawn, read_drawn

_REMEMBERED: Final = 2000
"""Sets of eligible offers that are kept: the same ones come again and again."""


class DrawnExamples:
    """Makes examples in the order of the lessons."""

    def __init__(self, ledger: Ledger, revisions: Revisions) -> None:
        self._ledger = ledger
        self._revisions = revisions
        self._actions: dict[tuple[int, str, tuple[int, ...]], tuple[Action, ...]] = {}

    def make(self, lessons: Sequence[ClosedDecision]) -> Iterator[Example | None]:
        """Yield the example of each, None where the visitor was erased.

        Raises KeyError where its record or its catalog revision is unknown.
        """
        drawn = dict(read_drawn(self._ledger, [lesson.position for lesson in lessons]))
        for lesson in lessons:
            found = drawn[lesson.position]
            if found.erased:
                yield None
                continue
            rules = self._revisions.rules(found.catalog_revision, found.placement_id)
            if rules is None:
                raise KeyError(found.catalog_revision)
            reward = rules.reward
            yield Example(
                found.context,
                self._eligible(found),
                found.chosen,
                found.propensity,
                (lesson.reward - reward.min) / (reward.max - reward.min),
                lesson.weight,
            )

    def _eligible(self, drawn: Drawn) -> tuple[Action, ...]:
        if drawn.inline:
            actions = self._revisions.actions(drawn.catalog_revision, drawn.placement_id)
            actions += tuple(Action(inline.offer_id, inline.attributes) for inline in drawn.inline)
            return tuple(actions[index] for index in drawn.eligible)
        key = (drawn.catalog_revision, drawn.placement_id, drawn.eligible)
        found = self._actions.get(key)
        if found is None:
            if len(self._actions) >= _REMEMBERED:
                self._actions.clear()
            actions = self._revisions.actions(drawn.catalog_revision, drawn.placement_id)
            found = self._actions[key] = tuple(actions[index] for index in drawn.eligible)
        return found
