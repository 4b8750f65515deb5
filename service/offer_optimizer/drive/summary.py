"""What a drive earned against what the test itself earned. Pure.

A standard error is the sample standard deviation (n - 1) over the square root of n; None below two values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from offer_optimizer.drive.table import Table

CONFIDENT_SE: Final = 2.0
"""How many standard errors above uniform count as above uniform."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over `n` values with its standard error; None where there are too few."""

    n: int
    mean: float | None
    se: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A drive in figures. `uniform` is the mean of the arms' means: what choosing by a fair die earns."""

    row_count: int
    matched: Mean
    last_half: Mean
    arms: dict[str, Mean]
    uniform: float

    def to_json(self) -> dict[str, object]:
        """Return the object that `--json` prints; exactly these keys, null where there is no figure."""
        return {
            "rows": self.row_count,
            "matched": self.matched.n,
            "mean": self.matched.mean,
            "mean_last_half": self.last_half.mean,
            "se_last_half": self.last_half.se,
            "arms": {name: {"n": arm.n, "mean": arm.mean, "se": arm.se} for name, arm in self.arms.items()},
            "uniform": self.uniform,
        }

    def verdict(self) -> str:
        """Return a sentence: is the last half of the matched rows above uniform by more than two errors?"""
        mean, error = self.last_half.mean, self.last_half.se
        if mean is None or error is None:
            return f"No verdict: {self.matched.n} matched rows are too few."
        margin = mean - self.uniform
        text = (
            f"last half of matched rows {mean:.5g}, uniform {self.uniform:.5g}: a difference of {margin:+.3g}"
        )
        if error == 0.0:
            return f"No verdict: {text}, and every reward of that half is the same."
        ratio = f"{margin / error:+.1f} standard errors"
        if margin > CONFIDENT_SE * error:
            return f"Above uniform by more than {CONFIDENT_SE:g} standard errors: {text}, {ratio}."
        return f"Not above uniform by more than {CONFIDENT_SE:g} standard errors: {text}, {ratio}."


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of values with its standard error."""
    count = len(values)
    if count == 0:
        return Mean(0, None, None)
    array = np.asarray(values, dtype=np.float64)
    error = float(array.std(ddof=1)) / math.sqrt(count) if count > 1 else None
    return Mean(count, float(array.mean()), error)


def summarise(table: Table, matched: Sequence[tuple[int, float]]) -> Summary:
    """Return the figures of a drive; `matched` holds (position in driving order, reward), in any order."""
    rewards = [reward for _, reward in sorted(matched)]
    by_arm: dict[str, list[float]] = {arm: [] for arm in table.arms}
    for row in table.rows:
        by_arm[row.arm].append(row.reward)
    arms = {arm: mean_of(values) for arm, values in by_arm.items()}
    uniform = float(np.mean([arm.mean for arm in arms.values()]))
    return Summary(
        row_count=len(table.rows),
        matched=mean_of(rewards),
        last_half=mean_of(rewards[len(rewards) // 2 :]),
        arms=arms,
        uniform=uniform,
    )
