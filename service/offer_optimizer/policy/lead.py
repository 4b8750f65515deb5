"""Which of two learners predicts rewards better of late: the evidence that `auto` picks by. Pure arithmetic.

Both predict what the offer that was chosen will earn, before they learn it; what counts is the difference of
their squared errors. Not weighted by propensities: both are judged on the same choices, where the weights
would add noise without taking a bias from one of them, and what is predicted well has to be what is mostly
shown. Always holds: the evidence follows from the examples in their order; one example, whatever it says,
lifts a score s to sqrt(s * s + 1) at most, and moves the share by SHARE_STEP, so none turns the choice.
"""

from __future__ import annotations

import math
from typing import Any, Final

from offer_optimizer.core.errors import PolicyFault

MEMORY: Final = 1000.0
"""Examples that the evidence looks back on; older ones fade."""
ENOUGH: Final = 2.0
"""Standard errors by which the other has to be better before it takes over."""
SHARE_STEP: Final = 1.0 / 32.0
"""How far one example moves the share of the second learner. A power of 2, so that steps add up exactly."""
_KEPT: Final = 1.0 - 1.0 / MEMORY


class Lead:
    """How far the second learner is ahead, and what share of the choice is its own: 0 at first."""

    def __init__(self) -> None:
        self.share = 0.0
        self.is_second = False
        self._sum = 0.0
        self._squares = 0.0

    @property
    def score(self) -> float:
        """Return by how many standard errors the second one's squared errors are the smaller ones."""
        return self._sum / math.sqrt(self._squares) if self._squares > 0.0 else 0.0

    def learn(self, first: float, second: float, weight: float) -> None:
        """Compare two errors of the prediction of one reward, each in [-1, 1]; `weight` is at least 1."""
        gained = weight * (first * first - second * second)
        self._sum = _KEPT * self._sum + gained
        self._squares = _KEPT * _KEPT * self._squares + gained * gained
        if abs(self.score) > ENOUGH:
            self.is_second = self.score > 0.0
        self.move()

    def move(self) -> None:
        """Move the share one step to where it is going."""
        step = SHARE_STEP if self.is_second else -SHARE_STEP
        self.share = min(max(self.share + step, 0.0), 1.0)

    def describe(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "share": self.share,
            "is_second": self.is_second,
            "sum": self._sum,
            "squares": self._squares,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a described state. Raises PolicyFault when it can't be one."""
        self.share, self.is_second = float(state["share"]), bool(state["is_second"])
        self._sum, self._squares = float(state["sum"]), float(state["squares"])
        if not (0.0 <= self.share <= 1.0 and math.isfinite(self._sum) and 0.0 <= self._squares < math.inf):
            raise PolicyFault("load: a share or the evidence for it is out of range")
