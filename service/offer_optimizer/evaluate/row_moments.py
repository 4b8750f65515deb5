"""What guaranteed intervals and bias bounds need of the rows themselves, beside sums by visitor.

Merges by addition. Knows ratios and weights; not which estimator they belong to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.clusters import Flags, Floats


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the greatest of some numbers; inverted infinities of none."""

    low: float = math.inf
    high: float = -math.inf

    @classmethod
    def of(cls, numbers: Floats) -> Range:
        """Return the range of numbers, shape (n,)."""
        return cls(float(numbers.min()), float(numbers.max())) if len(numbers) else cls()

    def __add__(self, other: Range) -> Range:
        return Range(min(self.low, other.low), max(self.high, other.high))

    @property
    def is_one_number(self) -> bool:
        """Whether all numbers are the same and above 0, within what storing them as float32 loses."""
        return self.high > 0.0 and self.high - self.low <= 1e-6 * self.high


@dataclass(frozen=True, slots=True)
class RowMoments:
    """Moments of the rows of one ratio, row weights included.

    `squares`, `products` and `other_squares` are the sums of numerator^2, numerator * denominator and
    denominator^2; the ranges are of the rewards, and of numerators, denominators and used weights that
    are not 0.
    `largest_weight` is the greatest importance weight that a row could have had, if `is_possible`, else the
    greatest seen. `is_anonymous`: no row says whose it is, so each is a visitor of its own. `most_rows` is
    the most decisions of a visitor in one batch. `cut` is the sum of weight that the formula left out.
    """

    squares: float = 0.0
    products: float = 0.0
    other_squares: float = 0.0
    rewards: Range = Range()
    numerators: Range = Range()
    denominators: Range = Range()
    weights: Range = Range()
    largest_weight: float = 0.0
    is_possible: bool = True
    is_anonymous: bool = True
    most_rows: float = 0.0
    cut: float = 0.0

    @classmethod
    def of(
        cls, batch: Batch, numerator: Floats, denominator: Floats, used_weight: Floats, keep: Flags | None
    ) -> RowMoments:
        """Return the moments of the rows where `keep`, shape (n,), is true. The columns have shape (n,).

        The first two have row weights in them, `used_weight` (the importance weights of the formula) has not.
        """
        largest = batch.weight if batch.largest_weight is None else batch.largest_weight
        weight, reward, visitor = batch.weight, batch.reward, batch.visitor
        row_weight = np.ones(len(batch)) if batch.row_weight is None else batch.row_weight
        code = batch.grouping.code
        used = row_weight * used_weight
        cut = row_weight * weight - used
        if keep is not None:
            numerator, denominator, used = numerator[keep], denominator[keep], used[keep]
            largest, cut = largest[keep], cut[keep]
            reward, visitor, row_weight, code = reward[keep], visitor[keep], row_weight[keep], code[keep]
        return cls(
            squares=float(numerator @ numerator),
            products=float(numerator @ denominator),
            other_squares=float(denominator @ denominator),
            rewards=Range.of(reward),
            numerators=Range.of(numerator[numerator != 0.0]),
            denominators=Range.of(denominator[denominator != 0.0]),
            weights=Range.of(used[used != 0.0]),
            largest_weight=float(largest.max(initial=0.0)),
            is_possible=batch.largest_weight is not None,
            is_anonymous=not (visitor >= 0).any(),
            most_rows=float(np.bincount(code, weights=row_weight).max(initial=0.0)),
            cut=float(cut.sum()),
        )

    def __add__(self, other: RowMoments) -> RowMoments:
        return RowMoments(
            self.squares + other.squares,
            self.products + other.products,
            self.other_squares + other.other_squares,
            self.rewards + other.rewards,
            self.numerators + other.numerators,
            self.denominators + other.denominators,
            self.weights + other.weights,
            max(self.largest_weight, other.largest_weight),
            self.is_possible and other.is_possible,
            self.is_anonymous and other.is_anonymous,
            max(self.most_rows, other.most_rows),
            self.cut + other.cut,
        )
