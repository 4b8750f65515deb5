"""A reward model that reads the context: ridge regression for each offer, shrunk to one for all offers.

Context columns are hashed into WIDTH numbers, so memory is bounded whatever a log holds. Cross-fitted like
the plain one: what is said about a row comes from the normal equations of the other folds of visitors. Those
add up, so one pass over a log fits it, and parts of a log may be summed apart. Knows no target policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np

from offer_optimizer.core.log import Contexts, LogRows
from offer_optimizer.evaluate.clusters import Floats, Ints, fold_of
from offer_optimizer.evaluate.reward_model import FOLD_COUNT

WIDTH: Final = 64
"""Numbers that a context is hashed into; columns and values that meet in one share its coefficient."""
OFFER_CELLS: Final = 128
"""Offers with coefficients of their own; those seen later share the last ones. With WIDTH, 22 MB."""
RIDGE: Final = 10.0
"""As if every standardised coefficient had been seen at what it is shrunk to so many times already."""


def hashed_context(contexts: Contexts) -> Floats:
    """Return the contexts as numbers, shape (n, 1 + WIDTH): a 1, then hashed columns.

    A text is an indicator of column and value; a number enters as asinh, which keeps dollars and timestamps
    within a few units; what is missing adds nothing. Signs are hashed too, so that collisions average out.
    Source: Weinberger et al. 2009, "Feature hashing for large scale multitask learning", arXiv:0902.2206.
    """
    count = len(contexts)
    found = np.zeros((count, 1 + WIDTH))
    found[:, 0] = 1.0
    every = np.arange(count)
    for name in contexts.names():
        column = contexts.column(name)
        if isinstance(column, np.ndarray) and column.dtype.kind == "f":
            place, sign = _place(name, "")
            found[:, place] += sign * np.arcsinh(np.nan_to_num(column, nan=0.0, posinf=1e300, neginf=-1e300))
            continue
        places, signs = _places_of(name, column)
        # One place a row and column, so no index comes twice.
        found[every, places] += signs
    return found


def _places_of(name: str, texts: Sequence[str] | Floats) -> tuple[Ints, Floats]:
    code: dict[str, int] = {}
    index = np.fromiter((code.setdefault(str(text), len(code)) for text in texts), np.int64)
    known = [_place(name, text) if text else (0, 0.0) for text in code]
    places = np.array([place for place, _ in known], dtype=np.int64)
    signs = np.array([sign for _, sign in known])
    return places[index], signs[index]


@lru_cache(maxsize=65_536)
def _place(name: str, value: str) -> tuple[int, float]:
    digest = blake2b(f"{len(name)}|{name}|{value}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    return 1 + number % WIDTH, 1.0 if number >> 63 else -1.0


@dataclass(frozen=True, slots=True, eq=False)
class RidgeSums:
    """Normal equations by fold and offer, d = 1 + WIDTH.

    `grams` has shape (FOLD_COUNT, offers, d, d), `moments` (FOLD_COUNT, offers, d); `lows` and `highs`,
    shape (FOLD_COUNT,), are the least and greatest rewards.
    """

    grams: Floats
    moments: Floats
    lows: Floats
    highs: Floats

    @classmethod
    def empty(cls, offer_count: int = 0) -> RidgeSums:
        """Return sums over nothing."""
        size = 1 + WIDTH
        return cls(
            np.zeros((FOLD_COUNT, offer_count, size, size)),
            np.zeros((FOLD_COUNT, offer_count, size)),
            np.full(FOLD_COUNT, np.inf),
            np.full(FOLD_COUNT, -np.inf),
        )

    @classmethod
    def of(cls, rows: LogRows) -> RidgeSums:
        """Sum rows, each as often as its weight says."""
        if not len(rows):
            return cls.empty()
        cell = np.minimum(rows.chosen, OFFER_CELLS - 1)
        sums = cls.empty(int(cell.max()) + 1)
        fold = fold_of(rows.visitor, FOLD_COUNT)
        features = hashed_context(rows.contexts)
        np.minimum.at(sums.lows, fold, rows.reward)
        np.maximum.at(sums.highs, fold, rows.reward)
        group = fold * sums.grams.shape[1] + cell
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        for part in np.split(order, starts[1:]):
            here, x = (fold[part[0]], cell[part[0]]), features[part]
            weighted = x if rows.weight is None else x * rows.weight[part, None]
            sums.grams[here] = weighted.T @ x
            sums.moments[here] = weighted.T @ rows.reward[part]
        return sums

    def __add__(self, other: RidgeSums) -> RidgeSums:
        width = max(self.grams.shape[1], other.grams.shape[1])
        wide, more = self._widened(width), other._widened(width)
        return RidgeSums(
            wide.grams + more.grams,
            wide.moments + more.moments,
            np.minimum(self.lows, other.lows),
            np.maximum(self.highs, other.highs),
        )

    def _widened(self, width: int) -> RidgeSums:
        grown = width - self.grams.shape[1]
        if not grown:
            return self
        return RidgeSums(
            np.pad(self.grams, ((0, 0), (0, grown), (0, 0), (0, 0))),
            np.pad(self.moments, ((0, 0), (0, grown), (0, 0))),
            self.lows,
            self.highs,
        )

    def fit(self) -> RidgeModel:
        """Return what each fold may say, from the other folds.

        Features are standardised, coefficients of all offers shrunk to 0, those of one offer to those of all.
        """
        count, size = self.grams.shape[1], self.grams.shape[2]
        coefficients = np.zeros((FOLD_COUNT, size, count + 1))
        limits = np.zeros((FOLD_COUNT, 2))
        for fold in range(FOLD_COUNT):
            others = np.arange(FOLD_COUNT) != fold
            grams, moments = self.grams[others].sum(axis=0), self.moments[others].sum(axis=0)
            if grams[:, 0, 0].sum() > 0.0:
                coefficients[fold] = _solved(grams, moments)
                limits[fold] = self.lows[others].min(), self.highs[others].max()
        return RidgeModel(coefficients, limits)


def _solved(grams: Floats, moments: Floats) -> Floats:
    """Return coefficients, shape (d, offers + 1); the last column is for offers that were never seen."""
    size = grams.shape[1]
    whole = grams.sum(axis=0)
    mean = whole[0] / whole[0, 0]
    spread = np.sqrt(np.maximum(whole.diagonal() / whole[0, 0] - mean**2, 0.0))
    # A column that hardly varies can't be told from the 1: standardised it would be noise.
    scale = np.where(spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0)
    standardise = np.diag(scale)
    standardise[:, 0] = -mean * scale
    standardise[0] = np.eye(size)[0]
    here = standardise @ grams @ standardise.T
    there = moments @ standardise.T
    free_mean = RIDGE * np.eye(size)
    free_mean[0, 0] = 0.0
    shared = np.linalg.solve(here.sum(axis=0) + free_mean, there.sum(axis=0))
    own = np.linalg.solve(here + RIDGE * np.eye(size), (there + RIDGE * shared)[:, :, None])[:, :, 0]
    found: Floats = standardise.T @ np.concatenate([own, shared[None, :]]).T
    return found


@dataclass(frozen=True, slots=True, eq=False)
class RidgeModel:
    """Coefficients by fold of the row, shape (FOLD_COUNT, d, offers + 1), and the range of rewards seen."""

    coefficients: Floats
    limits: Floats

    def values(self, rows: LogRows) -> Floats:
        """Return the expected reward of every eligible offer, shape (n, k); 0 where there is none.

        Never beyond the rewards that were seen.
        """
        fold = fold_of(rows.visitor, FOLD_COUNT)
        features = hashed_context(rows.contexts)
        last = self.coefficients.shape[2] - 1
        cell = np.minimum(np.minimum(np.maximum(rows.offers, 0), OFFER_CELLS - 1), last).astype(np.int64)
        found = np.zeros(rows.offers.shape)
        for number in range(FOLD_COUNT):
            mine = np.flatnonzero(fold == number)
            said = features[mine] @ self.coefficients[number]
            low, high = self.limits[number]
            found[mine] = np.clip(np.take_along_axis(said, cell[mine], axis=1), low, high)
        return np.where(rows.offers >= 0, found, 0.0)
