"""What guaranteed intervals and bias bounds need of the rows themselves, beside sums by visitor.

Merges by addition. Knows ratios and weights; not which estimator they belong to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.batch import Batch, dot
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
        cls,
        batch: Batch,
        ratio: tuple[Floats, Floats],
        used_weight: Floats | None,
        keep: Flags | None,
        *,
        is_bounded: bool,
    ) -> RowMoments:
        """Return the moments of the rows where `keep`, shape (n,), is true.

        `ratio` has row weights in it. `used_weight` are the importance weights of the formula, without row
        weights, None where it cuts none. Unless `is_bounded`, what only guaranteed intervals ask for is left
        out. Raises InvalidInput where nobody is known and two rows have the same number.
        """

        def cut(column: Floats) -> Floats:
            return column if keep is None else column[keep]

        numerator, denominator = cut(ratio[0]), cut(ratio[1])
        moments = cls(
            squares=dot(numerator, numerator),
            products=dot(numerator, denominator),
            other_squares=dot(denominator, denominator),
            rewards=Range.of(cut(batch.reward)),
            is_anonymous=_is_anonymous(batch, keep),
        )
        weight = batch.weight if batch.row_weight is None else batch.weight * batch.row_weight
        used = weight
        if used_weight is not None:
            used = used_weight if batch.row_weight is None else used_weight * batch.row_weight
            moments = replace(moments, cut=float(cut(weight - used).sum()))
        if not is_bounded:
            return moments
        used, code = cut(used), batch.grouping.code if keep is None else batch.grouping.code[keep]
        row_weight = None if batch.row_weight is None else cut(batch.row_weight)
        largest = batch.weight if batch.largest_weight is None else batch.largest_weight
        return replace(
            moments,
            numerators=Range.of(numerator[numerator != 0.0]),
            denominators=Range.of(denominator[denominator != 0.0]),
            weights=Range.of(used[used != 0.0]),
            largest_weight=float(cut(largest).max(initial=0.0)),
            is_possible=batch.largest_weight is not None,
            most_rows=float(np.bincount(code, weights=row_weight).max(initial=0)),
        )

    def residual_squares(self, value: float) -> float:
        """Return the sum over rows of (numerator - value * denominator)^2."""
        return max(self.squares - 2.0 * value * self.products + value**2 * self.other_squares, 0.0)

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


def _is_anonymous(batch: Batch, keep: Flags | None) -> bool:
    visitor = batch.visitor if keep is None else batch.visitor[keep]
    if visitor.max(initial=-1) >= 0:
        return False
    # Variances are taken from single rows then, which is wrong for somebody who came twice.
    if np.searchsorted(batch.grouping.ids, 0) < int((batch.visitor < 0).sum()):
        raise InvalidInput("visitor", "has a negative number twice: those are of rows that know no visitor")
    return True
