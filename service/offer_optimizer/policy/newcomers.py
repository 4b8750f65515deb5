"""What attributes say of offers never seen: a regression over the offers that are known.

Each known offer has the weights that were learned of it, on every column of the context. A second regression,
of those weights on attributes, tells a newcomer's weights, and how it does on offers that it has not seen
tells how far to believe it (empirical Bayes; leave-one-out residuals as in Allen 1974, Technometrics 16).
Always holds: where attributes predict no better than the mean of all offers, newcomers start from that mean
and are as unsure as ever; the same offers give the same numbers. Knows neither names nor contexts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.policy.encoding import Vector
from offer_optimizer.policy.offer_blocks import Known, Plan
from offer_optimizer.policy.ridge import Matrix

KNOWN_LEAST: Final = 4
"""Known offers from which on they tell anything of newcomers."""
TRUSTED: Final = 50.0
"""Examples after which an offer counts half as much as one known for sure. Rewards vary about eight times as
much between visitors as between offers."""
UNSURE_LEAST: Final = 0.05
"""Least share of an offer's own variance that newcomers keep, however well attributes predict."""
_PENALTIES: Final = (0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True, slots=True)
class Prior:
    """What newcomers start from: weights `level` (width,) of all, and `slopes` (attributes, width) by
    attribute; `unsure` in [UNSURE_LEAST, 1] is the share of the variance that attributes leave.
    """

    level: Vector
    slopes: Matrix
    unsure: float


class Starts:
    """What the offers known tell one regression of newcomers: nothing at first, until `learn`.

    `unsure` in [UNSURE_LEAST, 1] is the share of an offer's own variance that attributes leave.
    """

    def __init__(self, block_count: int, width: int) -> None:
        self.are_told = False
        self.unsure = 1.0
        self._level: Vector = np.zeros(width)
        # By block; those of offers are 0.
        self._slopes: Matrix = np.zeros((block_count, width))

    def fit(self, block_count: int, width: int) -> None:
        """Make room for so many blocks and columns, at least as many as there are."""
        old_count, old_width = self._slopes.shape
        if (block_count, width) != (old_count, old_width):
            grown = (0, block_count - old_count), (0, width - old_width)
            self._slopes, self._level = np.pad(self._slopes, grown), np.pad(self._level, grown[1])

    def learn(self, known: Known, weights: Matrix) -> None:
        """Learn from known offers, given the weights of all blocks, shape (blocks, width)."""
        if len(known.counts) >= KNOWN_LEAST:
            prior = learn_prior(known.made[:, known.shared], known.made @ weights, known.counts)
            self.are_told, self.unsure, self._level = True, prior.unsure, prior.level
            self._slopes = np.zeros_like(self._slopes)
            self._slopes[known.shared] = prior.slopes

    def of(self, blocks: Sequence[int], coefficients: Sequence[float]) -> Vector:
        """Return the weights that an offer of these attributes starts from."""
        told: Vector = self._level + np.array(coefficients) @ self._slopes[list(blocks)]
        return told

    def means(self, read: Vector, plan: Plan) -> Vector:
        """Return what is expected of each offer of a plan, were it a newcomer."""
        slopes = self._slopes if plan.blocks is None else self._slopes[plan.blocks]
        means: Vector = float(self._level @ read) + plan.coefficients @ (slopes @ read)
        return means

    def describe(self) -> dict[str, Any]:
        """Return the state but for the arrays, as plain JSON values."""
        return {"are_told": self.are_told, "unsure": self.unsure}

    def arrays(self) -> dict[str, Matrix]:
        """Return the arrays of the state."""
        return {"level": self._level, "slopes": self._slopes}

    def restore(
        self, values: Mapping[str, Any], arrays: Mapping[str, Matrix], block_count: int, width: int
    ) -> None:
        """Take over a state. Raises PolicyFault where it can't be one."""
        self.are_told, self.unsure = bool(values["are_told"]), float(values["unsure"])
        self._level, self._slopes = arrays["level"], arrays["slopes"]
        found = self._level.shape, self._slopes.shape
        if found != ((width,), (block_count, width)) or not UNSURE_LEAST <= self.unsure <= 1.0:
            raise PolicyFault(f"load: starts of shapes {found}, expected {block_count} blocks of {width}")


def learn_prior(attributes: Matrix, weights: Matrix, counts: Vector) -> Prior:
    """Return what known offers tell: `attributes` (offers, attributes), `weights` (offers, width), and of how
    many examples each was learned, all at least 1. At least KNOWN_LEAST offers.
    """
    roots = np.sqrt(counts / (counts + TRUSTED))
    ones = roots[:, None]
    target = weights * ones
    level, least = _fit(ones, target, np.zeros(1))
    best, unsure = np.vstack((level, np.zeros((attributes.shape[1], weights.shape[1])))), 1.0
    if least > 0.0:
        design = np.hstack((ones, attributes * ones))
        for penalty in _PENALTIES:
            penalties = np.full(design.shape[1], penalty)
            penalties[0] = 0.0
            found, missed = _fit(design, target, penalties)
            if missed < unsure * least:
                best, unsure = found, missed / least
    return Prior(best[0], best[1:], max(unsure, UNSURE_LEAST))


def _fit(design: Matrix, target: Matrix, penalties: Vector) -> tuple[Matrix, float]:
    """Return the weights of a ridge regression, and its squared error on each row when left out."""
    gram = design.T @ design
    gram[np.diag_indices_from(gram)] += penalties
    solved = np.linalg.solve(gram, design.T)
    leverage = np.einsum("ij,ji->i", design, solved)
    found: Matrix = solved @ target
    missed = (target - design @ found) / np.maximum(1.0 - leverage, 1e-3)[:, None]
    return found, float(np.square(missed).sum())
