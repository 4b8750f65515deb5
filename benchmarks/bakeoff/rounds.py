"""What policies are raced on: contexts, the offers that are live, and what is known of their rewards.

Always holds: a round tells a policy nothing but context, offers and the reward of its own choice; values stay
raw, so that scaling is the policy's work and done without looking ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offer_optimizer.core.features import Features
from offer_optimizer.policy.contract import Action

Numbers = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Phase:
    """Which offers are live from round `start` on, as columns of the rewards and as policies see them."""

    start: int
    columns: tuple[int, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Rounds:
    """A problem. `rewards` has shape (rounds, offers), the chance or mean of each, NaN where an offer isn't
    live; where a randomised test was logged, shape (rounds,): what the `logged` choice earned, drawn evenly.

    `delay` is after how many rounds a reward is learned, `batch` after how many what is due is handed over.
    `is_ordered` says that rounds follow each other in time; else a seed shuffles them.
    """

    name: str
    contexts: Sequence[Features]
    actions: tuple[Action, ...]
    rewards: Numbers
    logged: npt.NDArray[np.int64] | None = None
    phases: tuple[Phase, ...] = ()
    delay: int = 0
    batch: int = 1
    is_ordered: bool = False

    def live(self) -> tuple[Phase, ...]:
        """Return the phases, one with every offer where nothing comes or goes."""
        return self.phases or (Phase(0, tuple(range(len(self.actions))), self.actions),)

    def order(self, seed: int) -> npt.NDArray[np.int64]:
        """Return the rows in the order they are raced in."""
        if self.is_ordered:
            return np.arange(len(self.contexts))
        return np.random.RandomState(seed).permutation(len(self.contexts))

    def uniform(self) -> float:
        """Return what choosing evenly among the live offers earns a round."""
        if self.logged is not None:
            return float(self.rewards.mean())
        return float(np.nanmean(self.rewards, axis=1).mean(dtype=np.float64))

    def best_possible(self) -> float | None:
        """Return what choosing the best live offer in each round earns, None where a log can't tell."""
        if self.logged is not None:
            return None
        return float(np.nanmax(self.rewards, axis=1).mean(dtype=np.float64))

    def best_fixed(self) -> float:
        """Return what the best fixed order of offers earns, found with hindsight: the first that is live.

        Where all are live always that is the best single offer; else offers are ordered by their means while
        live.
        """
        if self.logged is not None:
            return max(float(self.rewards[self.logged == k].mean()) for k in range(len(self.actions)))
        is_live = ~np.isnan(self.rewards)
        means = np.nansum(self.rewards, axis=0, dtype=np.float64) / np.maximum(is_live.sum(axis=0), 1)
        first = np.where(is_live, means, -np.inf).argmax(axis=1)
        return float(self.rewards[np.arange(len(first)), first].mean(dtype=np.float64))
