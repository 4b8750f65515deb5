"""Target policies of the registry, learned progressively on the log: each row is judged, then learned.

As in service: the policy is asked for its probabilities over the eligible offers, and then learns the logged
choice with its logged propensity and, where the log was thinned out, the row's weight; rewards are scaled to
[0, 1] by the range given, else by that of the log. Rows that no policy may learn are judged and not learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.core.log import Log, LogRows, Vocabulary
from offer_optimizer.evaluate.target import LogFacts, StillRun, TargetRows, TargetRun, aligned, position_of
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example, Policy

_ACTIONS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class LearnedPolicy:
    """A registered policy with its options, from its initial model on. `reward_range` is None for the
    log's.
    """

    text: str
    name: str
    options: Mapping[str, Any]
    baseline: tuple[str, ...] = ()
    reward_range: tuple[float, float] | None = None

    @property
    def is_progressive(self) -> bool:
        """See TargetPolicy."""
        return registry.learns(self.name)

    @property
    def needs_facts(self) -> bool:
        """See TargetPolicy."""
        return self.is_progressive and self.reward_range is None

    def start(self, log: Log, facts: LogFacts | None) -> TargetRun:
        """See TargetPolicy."""
        policy = registry.create(self.name, self.options, self.baseline)
        learner = Learner(policy, reward_range(self.reward_range, facts)) if self.is_progressive else None
        return _LearnedRun(policy, learner, log.vocabulary)


def reward_range(given: tuple[float, float] | None, facts: LogFacts | None) -> tuple[float, float]:
    """Return the rewards that become 0 and 1: those given, [0, 1] where the log stays within, else the log's.

    Raises InvalidInput where there is no range.
    """
    if given is None:
        if facts is None:
            raise InvalidInput("reward_range", "is needed, or a first reading of the log")
        if facts.reward_min >= 0.0 and facts.reward_max <= 1.0:
            return 0.0, 1.0
        given = facts.reward_min, facts.reward_max
    if not given[0] < given[1]:
        raise InvalidInput("reward_range", f"{given[0]:g} to {given[1]:g} is no range")
    return given


class Learner:
    """Teaches a policy logged choices. `learned_count` of rows, `clipped_count` of rewards out of range."""

    def __init__(self, policy: Policy, reward_range: tuple[float, float]) -> None:
        self._policy = policy
        self._low, high = reward_range
        self._span = high - self._low
        self.reward_range = reward_range
        self.learned_count = 0
        self.clipped_count = 0

    def learn(
        self, rows: LogRows, row: int, context: Features, actions: tuple[Action, ...], chosen: int
    ) -> None:
        """Learn one row, unless it may not be; `chosen` indexes `actions`."""
        if rows.is_learned is not None and not rows.is_learned[row]:
            return
        scaled = (float(rows.reward[row]) - self._low) / self._span
        reward = min(max(scaled, 0.0), 1.0)
        self.clipped_count += reward != scaled
        self.learned_count += 1
        weight = 1.0 if rows.weight is None else float(rows.weight[row])
        self._policy.learn(Example(context, actions, chosen, float(rows.propensity[row]), reward, weight))

    def notes(self, row_count: int) -> list[str]:
        """Return what must be said of what was learned."""
        low, high = self.reward_range
        how = f"each as the logged choice with its logged propensity; rewards {low:g} to {high:g} as 0 to 1"
        found = [
            "Judged progressively: each row before it is learned, so the figure holds early mistakes too.",
            "A row's reward is known to the next one; in service it comes when its window closes.",
            f"Learned {self.learned_count:,} of {row_count:,} rows, {how}.",
        ]
        if self.clipped_count:
            found.append(f"{self.clipped_count:,} rewards lay outside of that and were learned as its ends.")
        return found


class ActionMaker:
    """Makes the actions of rows; those of equal offers and attributes are made once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: dict[tuple[int, Features], Action] = {}
        self._sets: dict[bytes, tuple[Action, ...]] = {}

    def of(self, rows: LogRows, row: int) -> tuple[Action, ...]:
        """Return the eligible offers of a row, in order."""
        if rows.attributes is None:
            key = rows.offers[row].tobytes()
            found = self._sets.get(key)
            if found is None:
                found = self._sets[key] = tuple(self._action(number, EMPTY) for number in _numbers(rows, row))
                if len(self._sets) > _ACTIONS_KEPT:
                    self._sets.clear()
            return found
        attributes = rows.attributes[row]
        return tuple(self._action(n, own) for n, own in zip(_numbers(rows, row), attributes, strict=True))

    def _action(self, number: int, attributes: Features) -> Action:
        key = (number, attributes)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _ACTIONS_KEPT:
                self._known.clear()
            found = self._known[key] = Action(self._vocabulary.ids[number], attributes)
        return found


def _numbers(rows: LogRows, row: int) -> list[int]:
    return [number for number in rows.offers[row].tolist() if number >= 0]


class _LearnedRun(StillRun):
    def __init__(self, policy: Policy, learner: Learner | None, vocabulary: Vocabulary) -> None:
        self._policy = policy
        self._learner = learner
        self._actions = ActionMaker(vocabulary)
        self._row_count = 0

    def follow(self, rows: LogRows) -> TargetRows:
        """See TargetRun."""
        mass = np.zeros(rows.offers.shape)
        chosen = position_of(rows, rows.chosen).tolist()
        for row in range(len(rows)):
            context, actions = rows.contexts.features(row), self._actions.of(rows, row)
            mass[row, : len(actions)] = self._policy.pmf(context, actions)
            if self._learner is not None:
                self._learner.learn(rows, row, context, actions, chosen[row])
        self._row_count += len(rows)
        return aligned(rows, mass)

    def notes(self) -> Sequence[str]:
        """See TargetRun."""
        return () if self._learner is None else self._learner.notes(self._row_count)

    def close(self) -> None:
        """See TargetRun."""
        self._policy.close()
