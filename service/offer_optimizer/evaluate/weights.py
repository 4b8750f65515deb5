"""How importance weights are spread: counts in fixed bins that merge, whatever the log's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from offer_optimizer.core.log import Floats, Ints

EDGES: Final[Floats] = np.concatenate([[0.0], 2.0 ** np.arange(-6, 13)])
"""Left ends of the bins behind the first, which is for weights of exactly 0; the last has no right end."""


@dataclass(frozen=True, eq=False)
class WeightHistogram:
    """Counts of rows by weight: `counts[0]` of weight 0, `counts[i]` in (EDGES[i - 1], EDGES[i]]."""

    counts: Ints

    @classmethod
    def empty(cls) -> WeightHistogram:
        """Return a histogram of no rows."""
        return cls(np.zeros(len(EDGES) + 1, dtype=np.int64))

    @classmethod
    def of(cls, weight: Floats) -> WeightHistogram:
        """Count weights, shape (n,)."""
        bins = np.searchsorted(EDGES, weight, side="left")
        return cls(np.bincount(bins, minlength=len(EDGES) + 1))

    def __add__(self, other: WeightHistogram) -> WeightHistogram:
        return WeightHistogram(self.counts + other.counts)

    def labels(self) -> list[str]:
        """Return what each bin is, for people."""
        ends = [_fraction(edge) for edge in EDGES.tolist()[1:]]
        return ["0", *[f"≤ {end}" for end in ends], f"> {ends[-1]}"]


def _fraction(number: float) -> str:
    return f"{number:g}" if number >= 1.0 else f"1/{1.0 / number:g}"
