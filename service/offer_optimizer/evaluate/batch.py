"""What estimators read: rows of a log with what a target policy would do there, as arrays.

A row is one decision. Rows of one visitor may lie in different batches. Knows no offers and no ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.clusters import Flags, Floats, Grouping, Ints

_COLUMNS: Final = (
    "reward",
    "propensity",
    "target",
    "visitor",
    "unsupported",
    "predicted",
    "expected",
    "row_weight",
    "largest_weight",
)


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of a log and a target policy; every array has shape (n,).

    `reward` is what was earned; `propensity` in (0, 1] is the logged probability of the chosen action;
    `target` in [0, 1] is the target policy's; `visitor` says who, the unit of inference (negative where
    nobody knows: such a row is a visitor of its own); `unsupported` in [0, 1] is the probability that the
    target puts on actions which the log could not have chosen. For estimators with a reward model,
    `predicted` is its value of the chosen action, and `expected` its mean under the target policy.

    `row_weight` (above 0) says for how many rows one stands in a log that was thinned with known
    probabilities, None where for itself. `largest_weight` is the greatest importance weight that the row
    could have had, over all actions that the log could have chosen, None where only the chosen one's is
    known.
    """

    reward: Floats
    propensity: Floats
    target: Floats
    visitor: Ints
    unsupported: Floats | None = None
    predicted: Floats | None = None
    expected: Floats | None = None
    row_weight: Floats | None = None
    largest_weight: Floats | None = None
    known_grouping: Grouping | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        count = len(self.reward)
        for name in _COLUMNS:
            column = getattr(self, name)
            if column is None:
                continue
            if column.shape != (count,):
                raise InvalidInput(name, f"has shape {column.shape}, expected ({count},)")
            if not np.isfinite(column).all():
                raise InvalidInput(name, "holds a value that is not finite")
        if count and not (self.propensity.min() > 0.0 and self.propensity.max() <= 1.0 + 1e-9):
            raise InvalidInput("propensity", "must be in (0, 1]: what was chosen had a chance")
        if count and not (self.target.min() >= 0.0 and self.target.max() <= 1.0 + 1e-9):
            raise InvalidInput("target", "must be in [0, 1]")
        if count and self.row_weight is not None and not self.row_weight.min() > 0.0:
            raise InvalidInput("row_weight", "must be above 0: what was kept had a chance to be kept")

    def __len__(self) -> int:
        return len(self.reward)

    @cached_property
    def weight(self) -> Floats:
        """Importance weights: target over logged probability. Never clipped; `row_weight` is not in them."""
        return self.target / self.propensity

    @cached_property
    def grouping(self) -> Grouping:
        """Rows by visitor."""
        return self.known_grouping or Grouping.of(self.visitor)


def dot(first: Floats, second: Floats) -> float:
    """Return the sum of products of two columns, shape (n,), on one thread.

    `@` hands ten thousand numbers to all cores of a BLAS, which wait for each other longer than they work: on
    a busy machine a whole replay took two and a half times as much CPU.
    """
    return float(np.einsum("i,i->", first, second))


def rows_where(batch: Batch, keep: Flags) -> Batch:
    """Return the rows of a batch where `keep`, shape (n,), is true."""

    def cut(column: Floats | None) -> Floats | None:
        return None if column is None else column[keep]

    return Batch(
        batch.reward[keep],
        batch.propensity[keep],
        batch.target[keep],
        batch.visitor[keep],
        cut(batch.unsupported),
        cut(batch.predicted),
        cut(batch.expected),
        cut(batch.row_weight),
        cut(batch.largest_weight),
    )
