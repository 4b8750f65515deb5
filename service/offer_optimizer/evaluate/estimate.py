"""One figure with its interval, or the reason why there is none: what every estimator ends in.

Knows no log and no formula. A refusal is an answer; a figure that was asked for in spite of one says so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from offer_optimizer.evaluate.intervals import CONFIDENCE, Interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval, or a refusal: then `value`, `low` and `high` are None.

    With `forced` there is a figure although `refused_reason` says why there should be none. Without `low` and
    `high` beside a value, no interval holds for it, and `assumes` says why. `ess` and `max_weight` speak of
    importance weights, `row_count` of decisions, `visitor_count` of clusters. `assumes` says what a
    guaranteed interval rests on. `bias_bound` is by how much the estimator is off at most besides chance,
    about, and None where it is not by its nature: the interval does not hold it.
    """

    value: float | None
    low: float | None
    high: float | None
    refused_reason: str
    standard_error: float | None = None
    ess: float = 0.0
    max_weight: float = 0.0
    mean_weight: float = 0.0
    unsupported_share: float = 0.0
    row_count: int = 0
    visitor_count: int = 0
    interval: Interval = Interval.NORMAL
    confidence: float = CONFIDENCE
    forced: bool = False
    assumes: str = ""
    bias_bound: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return f"refused: {self.refused_reason}"
        ends = f"(no interval: {self.assumes})" if self.low is None else f"[{self.low:.4f}, {self.high:.4f}]"
        bias = "" if self.bias_bound is None else f", off by up to {self.bias_bound:.4f} besides"
        forced = f", FORCED although {self.refused_reason}" if self.forced else ""
        return f"{self.value:.4f} {ends}{bias}{forced}"

    @property
    def width(self) -> float | None:
        """How wide the interval is; None where there is none."""
        return None if self.low is None or self.high is None else self.high - self.low

    @property
    def lowest(self) -> float | None:
        """The interval's lower end less `bias_bound`, as cut weights leave it; None where there is none."""
        return None if self.low is None else self.low - (self.bias_bound or 0.0)

    def is_above(self, bound: float) -> bool:
        """Return whether there is a figure and its whole interval, less its bias, lies above a bound."""
        return self.lowest is not None and self.lowest > bound

    def is_below(self, bound: float) -> bool:
        """Return whether there is a figure and its whole interval, with its bias, lies below a bound."""
        return self.high is not None and self.high + (self.bias_bound or 0.0) < bound

    def to_dict(self) -> dict[str, Any]:
        """Return its fields and its width as plain values."""
        return asdict(self) | {"interval": self.interval.value, "width": self.width}
