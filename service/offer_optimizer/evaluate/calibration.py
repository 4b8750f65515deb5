"""Whether a log's probabilities are those with which was chosen: choices counted against logged pmfs.

A choice is a draw from its own pmf whatever was before, so rows of one visitor need no clustering here. For
logs that keep the pmf; where only the propensity of the choice is known, the mean weight has to do
(evaluate.support). Sums merge by addition. Knows no target policy and no reward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import chdtrc

from offer_optimizer.core.log import LogRows
from offer_optimizer.evaluate.clusters import Floats, Ints
from offer_optimizer.evaluate.verify_choices import chi_square

OFFER_CELLS: Final = 32
"""Cells that choices are counted in by offer; more offers share them."""
CHANCE_CELLS: Final = 16
"""Cells by logged probability: two for each halving, the last for all below 0.6 %."""
FALSE_ALARMS: Final = 1e-6
"""How often a right log may be refused."""
MISPLACED_SHARE: Final = 0.01
"""Choices that may lie elsewhere than the pmfs say: rounded propensities in a long log are not an error."""
MISMATCH: Final = 1e-3
"""By how much the propensity may differ from its entry in the pmf, relative."""


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Choices in cells: how many there were and should be, shape (cells,), and the covariance of that."""

    observed: Floats
    expected: Floats
    covariance: Floats

    @classmethod
    def empty(cls, cells: int) -> Counts:
        """Return counts of nothing."""
        return cls(np.zeros(cells), np.zeros(cells), np.zeros((cells, cells)))

    @classmethod
    def of(cls, cell: Ints, chosen_cell: Ints, pmf: Floats, row_weight: Floats | None, cells: int) -> Counts:
        """Count choices. `cell` and `pmf` have shape (n, k), `chosen_cell` and `row_weight` (n,)."""
        count = len(cell)
        flat = (np.arange(count)[:, None] * cells + cell).ravel()
        mass = np.bincount(flat, weights=pmf.ravel(), minlength=count * cells).reshape(count, cells)
        if row_weight is None:
            expected = mass.sum(axis=0)
            observed = np.bincount(chosen_cell, minlength=cells).astype(np.float64)
            return cls(observed, expected, np.diag(expected) - mass.T @ mass)
        chosen = np.zeros((count, cells))
        chosen[np.arange(count), chosen_cell] = 1.0
        # What was thinned out may depend on the choice: only the choices that were kept tell how it varies.
        apart = (chosen - mass) * row_weight[:, None]
        return cls(row_weight @ chosen, row_weight @ mass, apart.T @ apart)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.observed + other.observed,
            self.expected + other.expected,
            self.covariance + other.covariance,
        )

    def test(self) -> tuple[float, int]:
        """Return the chi-square of the counts and its degrees of freedom, over what has varied enough."""
        return chi_square(self.observed - self.expected, self.covariance)

    @property
    def misplaced_share(self) -> float:
        """The share of choices that would have to lie in another cell, in [0, 1]."""
        total = float(self.expected.sum())
        return float(np.abs(self.observed - self.expected).sum()) / 2.0 / total if total else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Choices by offer and by logged probability, and rows whose propensity is not their pmf's."""

    row_count: int
    mismatched_count: int
    by_offer: Counts
    by_chance: Counts

    @classmethod
    def empty(cls) -> Calibration:
        """Return what is known of no rows."""
        return cls(0, 0, Counts.empty(OFFER_CELLS), Counts.empty(CHANCE_CELLS))

    @classmethod
    def of(cls, rows: LogRows) -> Calibration:
        """Count the choices of rows; of none, where they don't keep their pmf."""
        if rows.pmf is None or not len(rows):
            return cls.empty()
        eligible = rows.offers >= 0
        pmf = np.where(eligible, rows.pmf.astype(np.float64), 0.0)
        pmf /= pmf.sum(axis=1, keepdims=True)
        said = np.where(rows.offers == rows.chosen[:, None], pmf, 0.0).sum(axis=1)
        mismatched = np.abs(said - rows.propensity) > MISMATCH * rows.propensity
        offer_cell = np.where(eligible, rows.offers, 0).astype(np.int64) % OFFER_CELLS
        return cls(
            len(rows),
            int(mismatched.sum()),
            Counts.of(offer_cell, rows.chosen % OFFER_CELLS, pmf, rows.weight, OFFER_CELLS),
            Counts.of(_chance_cell(pmf), _chance_cell(said), pmf, rows.weight, CHANCE_CELLS),
        )

    def __add__(self, other: Calibration) -> Calibration:
        return Calibration(
            self.row_count + other.row_count,
            self.mismatched_count + other.mismatched_count,
            self.by_offer + other.by_offer,
            self.by_chance + other.by_chance,
        )

    @property
    def p_value(self) -> float:
        """How probable counts as far off are if the pmfs are right, in [0, 1]; of the worse table."""
        chances = [float(chdtrc(freedom, square)) for square, freedom in self._tests() if freedom]
        return min(1.0, 2.0 * min(chances, default=1.0))

    def _tests(self) -> tuple[tuple[float, int], tuple[float, int]]:
        return self.by_offer.test(), self.by_chance.test()

    @property
    def misplaced_share(self) -> float:
        """The share of choices that are not where the pmfs say, in [0, 1]; of the worse of both tables."""
        return max(self.by_offer.misplaced_share, self.by_chance.misplaced_share)

    def refusal(self) -> str:
        """Return why no propensity of this log can be believed, or nothing."""
        if self.mismatched_count > MISPLACED_SHARE * self.row_count:
            return (
                f"in {self.mismatched_count} of {self.row_count} decisions the propensity is not the chosen "
                "offer's in the logged pmf"
            )
        p_value, share = self.p_value, self.misplaced_share
        if p_value < FALSE_ALARMS and share > MISPLACED_SHARE:
            square, freedom = max(self._tests(), key=lambda test: test[0] - test[1])
            return (
                f"{share:.1%} of the choices are not where the logged probabilities put them (chi-square "
                f"{square:.0f} at {freedom} degrees of freedom): they are not those with which was chosen"
            )
        return ""


def _chance_cell(chance: Floats) -> Ints:
    """Return the cell of probabilities, any shape: two for each halving."""
    halvings = -2.0 * np.log2(np.maximum(chance, 2.0**-CHANCE_CELLS))
    cell: Ints = np.minimum(halvings + 1e-9, CHANCE_CELLS - 1).astype(np.int64)
    return cell
