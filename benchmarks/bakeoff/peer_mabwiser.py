"""MABWiser's contextual policies with their default options, behind our contract.

It is taught in batches, as a matrix library is: every `fit` copies the models of all arms. Its choices are
certain given its state, so the pmf has one 1; arms that left are removed, new ones added untrained.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from mabwiser.mab import MAB, LearningPolicy

from benchmarks.bakeoff.peer_columns import PeerColumns
from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.features import Features
from offer_optimizer.policy.contract import Action, Example

LEARNERS: Final[dict[str, Callable[[], Any]]] = {
    "LinUCB": LearningPolicy.LinUCB,
    "LinGreedy": LearningPolicy.LinGreedy,
}


class MabwiserPolicy:
    """One of MABWiser's linear bandits, fitted once `batch` examples have come together."""

    def __init__(self, learner: str, columns: PeerColumns, batch: int, seed: int) -> None:
        self._columns = columns
        self._batch = batch
        self._learner = learner
        self._seed = seed
        self._chance = np.random.default_rng(seed)
        self._mab: Any = None
        self._live: Sequence[Action] = ()
        self._buffer: list[Example] = []

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        """Return 1 for MABWiser's choice, 0 for the rest; a fair draw before its first fit."""
        pmf = np.zeros(len(actions))
        if self._mab is None:
            pmf[self._chance.integers(len(actions))] = 1.0
            return pmf
        if actions is not self._live:
            self._follow(actions)
        arm = self._mab.predict(self._columns.encode(context)[None, :])
        pmf[[action.id for action in actions].index(arm)] = 1.0
        return pmf

    def learn(self, example: Example) -> None:
        """Keep the example, and fit when the batch is full."""
        self._buffer.append(example)
        if len(self._buffer) >= self._batch:
            self._fit()

    def save(self) -> bytes:
        """Return the models as pickled by Python; for their size."""
        return pickle.dumps(self._mab)

    def close(self) -> None:
        """Nothing is held."""

    def _follow(self, actions: Sequence[Action]) -> None:
        ids = {action.id for action in actions}
        for arm in [arm for arm in self._mab.arms if arm not in ids]:
            self._mab.remove_arm(arm)
        for action in actions:
            if action.id not in self._mab.arms:
                self._mab.add_arm(action.id)
        self._live = actions

    def _fit(self) -> None:
        examples, self._buffer = self._buffer, []
        for example in examples:
            self._columns.learn(example.context)
        rows = np.array([self._columns.encode(example.context) for example in examples])
        chosen = [example.actions[example.chosen].id for example in examples]
        rewards = [example.reward for example in examples]
        if self._mab is None:
            self._mab = MAB(
                [action.id for action in examples[-1].actions], LEARNERS[self._learner](), seed=self._seed
            )
            fit = self._mab.fit
        else:
            fit = self._mab.partial_fit
        # It knows nothing of arms that have left meanwhile.
        known = [at for at, arm in enumerate(chosen) if arm in self._mab.arms]
        if known:
            fit([chosen[at] for at in known], [rewards[at] for at in known], rows[known])
