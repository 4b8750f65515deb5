"""The plain reward model: a mean for each offer, shrunk to the mean of all, and blind to the row's visitor.

Cross-fitted: visitors fall into folds by a hash, and what is said about a row comes from the other folds.
Sums merge by addition, so one pass over a log fits it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.evaluate.clusters import Floats, Ints, fold_of

FOLD_COUNT: Final = 5
SHRINKAGE: Final = 10.0
"""As if every offer had earned the mean of all so many times already."""


@dataclass(frozen=True, slots=True, eq=False)
class RewardSums:
    """Decisions and rewards by fold and offer, both of shape (FOLD_COUNT, offers)."""

    counts: Floats
    rewards: Floats

    @classmethod
    def of(
        cls,
        visitor: Ints,
        chosen: Ints,
        reward: Floats,
        offer_count: int,
        row_weight: Floats | None = None,
    ) -> RewardSums:
        """Sum rows, shape (n,), each as often as `row_weight` says; `chosen` is in [0, offer_count)."""
        earned = reward if row_weight is None else reward * row_weight
        cell = fold_of(visitor, FOLD_COUNT) * offer_count + chosen
        size, shape = FOLD_COUNT * offer_count, (FOLD_COUNT, offer_count)
        counts = np.bincount(cell, weights=row_weight, minlength=size).astype(np.float64)
        rewards = np.bincount(cell, weights=earned, minlength=size).astype(np.float64)
        return cls(counts.reshape(shape), rewards.reshape(shape))

    def __add__(self, other: RewardSums) -> RewardSums:
        width = max(self.counts.shape[1], other.counts.shape[1])
        return RewardSums(
            _widened(self.counts, width) + _widened(other.counts, width),
            _widened(self.rewards, width) + _widened(other.rewards, width),
        )

    def fit(self) -> RewardModel:
        """Return what each fold may say about each offer.

        Of the other folds: (rewards + SHRINKAGE * mean of all) / (decisions + SHRINKAGE).
        """
        counts = self.counts.sum(axis=0) - self.counts
        rewards = self.rewards.sum(axis=0) - self.rewards
        all_counts = counts.sum(axis=1, keepdims=True)
        overall = np.divide(
            rewards.sum(axis=1, keepdims=True),
            all_counts,
            out=np.zeros_like(all_counts),
            where=all_counts > 0,
        )
        return RewardModel((rewards + SHRINKAGE * overall) / (counts + SHRINKAGE))


@dataclass(frozen=True, slots=True, eq=False)
class RewardModel:
    """Expected rewards by fold of the row and offer, shape (FOLD_COUNT, offers)."""

    values: Floats

    def of(self, visitor: Ints, offers: Ints) -> Floats:
        """Return the expected reward of `offers`, shape (n,) or (n, k), for visitors, shape (n,)."""
        fold = fold_of(visitor, FOLD_COUNT)
        found: Floats = self.values[fold if offers.ndim == 1 else fold[:, None], offers]
        return found

    def of_all(self, visitor: Ints, offers: NDArray[np.integer[Any]]) -> Floats:
        """Return the expected rewards of the same offers, shape (k,), for visitors, shape (n,): (n, k)."""
        found: Floats = self.values[:, offers][fold_of(visitor, FOLD_COUNT)]
        return found


def _widened(sums: Floats, width: int) -> Floats:
    wide: Floats = np.pad(sums, ((0, 0), (0, width - sums.shape[1])))
    return wide
