"""Bayesian ridge regression in blocks: one for each offer and one for each attribute, all on one context.

What an offer earns in a context x is the sum over its blocks of coefficient * (weights . x). Each block keeps
its weights and their covariance (in units of the noise); correlations between blocks are dropped, which
leaves covariances too large rather than too small. For an offer with one block this is exact recursive least
squares by Sherman and Morrison's formula (Hager 1989, SIAM Review 31, eq. 2).

Forgetting is a return to the prior: a block not heard of for n examples has weights times `kept**n`, and a
covariance that much nearer to the prior, so that what is never seen is never surer or less sure than at the
start. Always holds: numbers are float64, added in a fixed order. Knows no names: blocks and columns are
numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.policy.encoding import Vector

Matrix = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


class RidgeBlocks:
    """Blocks of weights over one row of columns.

    `prior` is the variance of a weight before examples, `kept` in (0, 1] what remains of a weight after an
    example that is not its block's. With `is_diagonal` a block keeps variances only: width numbers instead
    of their square.
    """

    def __init__(self, prior: float, kept: float, block_count: int, width: int) -> None:
        self.prior = prior
        self.is_diagonal = False
        self._kept = kept
        self.weights: Matrix = np.zeros((block_count, width))
        self.covariance: Matrix = self._fresh(block_count, width)
        # At which example each block was last brought up to date.
        self._stamps: Vector = np.zeros(block_count)
        # What remains of each block, and at which example: asked twice in a question and in many.
        self._left: tuple[float, Vector] | None = None

    def fit(self, block_count: int, width: int) -> None:
        """Make room for so many blocks and columns, at least as many as there are."""
        old_count, old_width = self.weights.shape
        if (block_count, width) == (old_count, old_width):
            return
        weights, covariance, stamps = self.weights, self.covariance, self._stamps
        self.weights = np.zeros((block_count, width))
        self.weights[:old_count, :old_width] = weights
        self.covariance = self._fresh(block_count, width)
        places = (slice(old_count), slice(old_width), slice(old_width))[: covariance.ndim]
        self.covariance[places] = covariance
        self._stamps = np.zeros(block_count)
        self._stamps[:old_count] = stamps
        self._left = None

    def forget_correlations(self) -> None:
        """Keep variances only from now on."""
        if not self.is_diagonal:
            self.covariance = np.ascontiguousarray(np.diagonal(self.covariance, axis1=1, axis2=2))
            self.is_diagonal = True

    def means(self, row: Vector, blocks: Indices | None, now: float) -> Vector:
        """Return what each block adds at example `now`; `blocks` None asks all."""
        means: Vector = (self.weights if blocks is None else self.weights[blocks]) @ row
        return means if self._kept == 1.0 else means * self._remaining(blocks, now)

    def variances(self, row: Vector, blocks: Indices | None, now: float) -> Vector:
        """Return the variance of what each block adds, in units of the noise, at least 0."""
        covariance = self.covariance if blocks is None else self.covariance[blocks]
        if self.is_diagonal:
            variances: Vector = covariance @ (row * row)
        else:
            count, width = covariance.shape[:2]
            variances = (covariance.reshape(count * width, width) @ row).reshape(count, width) @ row
        variances = np.maximum(variances, 0.0)
        if self._kept == 1.0:
            return variances
        squared = self._remaining(blocks, now) ** 2
        fresh = self.prior * float(row @ row)
        return fresh + (variances - fresh) * squared

    def mean(self, row: Vector, blocks: Sequence[int], coefficients: Sequence[float]) -> float:
        """Return the mean of one offer whose blocks were refreshed."""
        parts = zip(blocks, coefficients, strict=True)
        return sum(coefficient * float(self.weights[block] @ row) for block, coefficient in parts)

    def begin(self, block: int, weights: Vector, unsure: float, now: float) -> None:
        """Give a block that has learned nothing its weights, and a share of the prior's variance."""
        self.weights[block] = weights
        self.covariance[block] *= unsure
        self._stamps[block] = now
        self._left = None

    def begin_like(
        self, block: int, origin: int, weights: Vector, variances: tuple[float, float], now: float
    ) -> None:
        """Give a block that has learned nothing its weights, and the covariance of another one, up to date.

        `variances` are what that one's counts for, and the share of the prior's that is added: how far the
        two may differ. Where nothing was learned of either, the sum is larger than the prior's by that share.
        """
        share, doubt = variances
        self.weights[block] = weights
        self.covariance[block] = min(share, 1.0) * self.covariance[origin]
        diagonal = self.covariance[block] if self.is_diagonal else _diagonal(self.covariance[block])
        diagonal += doubt * self.prior
        self._stamps[block] = now
        self._left = None

    def current(self, now: float) -> Matrix:
        """Return the weights of all blocks at example `now`."""
        return self.weights if self._kept == 1.0 else self.weights * self._remaining(None, now)[:, None]

    def refresh(self, blocks: Sequence[int], now: float) -> None:
        """Bring some blocks up to date: let them forget for as long as they were not heard of."""
        if self._kept == 1.0:
            return
        self._left = None
        for block in blocks:
            remaining = self._kept ** (now - float(self._stamps[block]))
            self._stamps[block] = now
            self.weights[block] *= remaining
            self.covariance[block] *= remaining * remaining
            grown = (1.0 - remaining * remaining) * self.prior
            diagonal = self.covariance[block] if self.is_diagonal else _diagonal(self.covariance[block])
            diagonal += grown

    def learn(
        self, row: Vector, blocks: Sequence[int], coefficients: Sequence[float], error: float, weight: float
    ) -> None:
        """Move the blocks of one offer by the error of their sum; `weight` is what the example counts for."""
        from offer_optimizer.policy.rank_one import subtract_square  # noqa: PLC0415  (scipy: learners only)

        total = 1.0 / weight
        gains: list[Vector] = []
        for block, coefficient in zip(blocks, coefficients, strict=True):
            covariance = self.covariance[block]
            gains.append(coefficient * (covariance * row if self.is_diagonal else covariance @ row))
            total += max(coefficient * float(gains[-1] @ row), 0.0)
        for block, gain in zip(blocks, gains, strict=True):
            self.weights[block] += (error / total) * gain
            # One factor on both sides keeps the matrix symmetric to the last bit.
            scaled = gain / math.sqrt(total)
            if self.is_diagonal:
                self.covariance[block] -= scaled * scaled
            else:
                subtract_square(self.covariance[block], scaled)

    def arrays(self) -> dict[str, Matrix]:
        """Return the state: of covariances the lower triangles, as long as they are symmetric to the bit."""
        covariance = self.covariance if self.is_diagonal else _lower(self.covariance)
        return {"weights": self.weights, "covariance": covariance, "stamps": self._stamps}

    def restore(self, arrays: Mapping[str, Matrix], block_count: int, width: int) -> None:
        """Take over a state of so many blocks and columns. Raises PolicyFault where it has another shape.

        One without covariances can be asked for means only.
        """
        shape = (block_count, width)
        found = arrays["weights"].shape, arrays["stamps"].shape
        if found != (shape, (block_count,)):
            raise PolicyFault(f"load: arrays of shapes {found}, expected {block_count} blocks of {width}")
        self.weights, self._stamps = arrays["weights"], arrays["stamps"]
        self._left = None
        covariance = arrays.get("covariance")
        if covariance is None:
            self.covariance = np.zeros((0, 0) if self.is_diagonal else (0, 0, 0))
            return
        square, lower = (*shape, width), (block_count, width * (width + 1) // 2)
        if covariance.shape not in ((shape,) if self.is_diagonal else (square, lower)):
            raise PolicyFault(f"load: {covariance.shape} are no covariances of {block_count} by {width}")
        if not self.is_diagonal and covariance.shape == lower:
            covariance = covariance.take(_triangle(width)[2], axis=1).reshape(square)
        self.covariance = covariance

    def _remaining(self, blocks: Indices | None, now: float) -> Vector:
        left = self._left
        if left is None or left[0] != now:
            left = self._left = now, self._kept ** (now - self._stamps)
        return left[1] if blocks is None else left[1][blocks]

    def _fresh(self, block_count: int, width: int) -> Matrix:
        if self.is_diagonal:
            return np.full((block_count, width), self.prior)
        covariance = np.zeros((block_count, width, width))
        _diagonal(covariance)[...] = self.prior
        return covariance


@lru_cache(maxsize=16)
def _triangle(width: int) -> tuple[Indices, Indices, Indices]:
    """Return the places of the lower triangle in a flat square, those of its mirror image in the same order,
    and where in the lower one each place of the square lies.
    """
    rows, columns = np.tril_indices(width)
    places = np.zeros((width, width), dtype=np.intp)
    places[rows, columns] = places[columns, rows] = np.arange(len(rows))
    return rows * width + columns, columns * width + rows, places.ravel()


def _lower(squares: Matrix) -> Matrix:
    """Return the lower triangles of squares (blocks, width, width); the squares where one is not symmetric.

    An update treats both halves alike, but BLAS promises nothing of the last bit.
    """
    count, width = squares.shape[:2]
    flat = squares.reshape(count, width * width)
    lower, upper, _ = _triangle(width)
    found: Matrix = flat.take(lower, axis=1)
    return found if np.array_equal(found, flat.take(upper, axis=1)) else squares


def _diagonal(covariance: Matrix) -> Matrix:
    """Return a view of the diagonals."""
    view: Matrix = np.einsum("...ii->...i", covariance)
    return view
