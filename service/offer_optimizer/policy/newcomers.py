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
from offer_optimizer.policy.offer_blocks import Known, New
from offer_optimizer.policy.ridge import Indices, Matrix

KNOWN_LEAST: Final = 4
"""Known offers from which on they tell anything of newcomers."""
TRUSTED: Final = 50.0
"""Examples after which an offer counts half as much as one known for sure. Rewards vary about eight times as
much between visitors as between offers."""
UNSURE_LEAST: Final = 0.02
"""Least share of an offer's own variance that newcomers keep, however well attributes predict."""
_DOUBT: Final = 0.1
# Share of the noise that stays in what attributes leave: where there is little else, they tell nothing.
_PENALTIES: Final = (0.01, 0.03, 0.1, 0.3, 1.0)


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
        # Weights of all newcomers, then what each block adds; those of offers are 0.
        self._told: Matrix = np.zeros((1 + block_count, width))

    def fit(self, block_count: int, width: int) -> None:
        """Make room for so many blocks and columns, at least as many as there are."""
        old_rows, old_width = self._told.shape
        if (1 + block_count, width) != (old_rows, old_width):
            self._told = np.pad(self._told, ((0, 1 + block_count - old_rows), (0, width - old_width)))

    def learn(self, known: Known, prior: Prior) -> None:
        """Take over what known offers tell."""
        self.are_told, self.unsure = True, prior.unsure
        found = np.zeros_like(self._told)
        found[0], found[1 + known.shared] = prior.level, prior.slopes
        self._told = found

    def of(self, blocks: Sequence[int], coefficients: Sequence[float]) -> Vector:
        """Return the weights that an offer of these attributes starts from."""
        told: Vector = self._told[0] + np.array(coefficients) @ self._told[1:][list(blocks)]
        return told

    def means(self, read: Vector, new: New) -> Vector:
        """Return what is expected of all newcomers, and what each block asked adds: shape (1 + blocks,)."""
        told: Vector = (self._told if new.rows is None else self._told[new.rows]) @ read
        return told

    def describe(self) -> dict[str, Any]:
        """Return the state but for the arrays, as plain JSON values."""
        return {"are_told": self.are_told, "unsure": self.unsure, "blocks": self._blocks().tolist()}

    def arrays(self) -> dict[str, Matrix]:
        """Return the arrays of the state: of the slopes only the blocks that have any."""
        return {"level": self._told[0], "slopes": self._told[1:][self._blocks()]}

    def restore(
        self, values: Mapping[str, Any], arrays: Mapping[str, Matrix], block_count: int, width: int
    ) -> None:
        """Take over a state. Raises PolicyFault where it can't be one."""
        self.are_told, self.unsure = bool(values["are_told"]), float(values["unsure"])
        blocks = [int(block) for block in values["blocks"]]
        found = arrays["level"].shape, arrays["slopes"].shape
        if found != ((width,), (len(blocks), width)) or not UNSURE_LEAST <= self.unsure <= 1.0:
            raise PolicyFault(f"load: starts of shapes {found}, expected {len(blocks)} blocks of {width}")
        if any(not 0 <= block < block_count for block in blocks):
            raise PolicyFault("load: what newcomers start from lies outside of the model")
        self._told = np.zeros((1 + block_count, width))
        self._told[0] = arrays["level"]
        self._told[1:][blocks] = arrays["slopes"]

    def _blocks(self) -> Indices:
        return np.flatnonzero(self._told[1:].any(axis=1))


def learn_prior(known: Known, weights: Matrix, panel: Matrix, spread: Vector) -> Prior:
    """Return what known offers, at least KNOWN_LEAST, tell of others.

    `weights` (offers, width) are what was learned of each, `panel` (contexts, width) some contexts that they
    are compared in, and `spread` (offers,) the variance of their means there. What attributes leave is the
    share of the offers' differences in excess of their variance, and 1 where that says nothing.
    """
    trust = known.counts / (known.counts + TRUSTED)
    roots = np.sqrt(trust)[:, None]
    expected = weights @ panel.T
    levels = _Ridge(roots, np.zeros(1))
    missed_by_level = missed = levels.missed(expected * roots)
    design = np.hstack((roots, known.made[:, known.shared] * roots))
    best: _Ridge | None = None
    for penalty in _PENALTIES:
        ridge = _Ridge(design, np.array([0.0, *[penalty] * len(known.shared)]))
        if ridge.missed(expected * roots) < missed:
            best, missed = ridge, ridge.missed(expected * roots)
    told = (levels if best is None else best).solve(weights * roots)
    slopes = np.zeros((len(known.shared), weights.shape[1])) if best is None else told[1:]
    noise = float(trust @ spread) * len(panel)
    left, whole = (max(found - noise, 0.0) + _DOUBT * noise for found in (missed, missed_by_level))
    unsure = min(max(left / whole, UNSURE_LEAST), 1.0) if whole > 0.0 else 1.0
    return Prior(told[0], slopes, unsure)


class _Ridge:
    """A ridge regression with a penalty for each column of its design (rows, columns)."""

    def __init__(self, design: Matrix, penalties: Vector) -> None:
        gram = design.T @ design
        gram[np.diag_indices_from(gram)] += penalties
        self._design = design
        self._solved: Matrix = np.asarray(np.linalg.solve(gram, design.T), dtype=np.float64)

    def solve(self, target: Matrix) -> Matrix:
        """Return the weights, shape (columns, targets)."""
        found: Matrix = self._solved @ target
        return found

    def missed(self, target: Matrix) -> float:
        """Return the sum of squared errors on rows when each is left out."""
        leverage = np.einsum("ij,ji->i", self._design, self._solved)
        errors = (target - self._design @ self.solve(target)) / np.maximum(1.0 - leverage, 1e-3)[:, None]
        return float(np.square(errors).sum())
