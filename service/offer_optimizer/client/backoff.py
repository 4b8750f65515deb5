"""How long to wait before asking again. Pure: chance comes in as a number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: many clients that failed together must not return together.

    Source: M. Brooker, "Exponential Backoff And Jitter", 2015 ("full jitter", here with a lower bound of
    a tenth, so that a small draw is not a busy loop).
    """

    first_s: float = 0.05
    most_s: float = 5.0

    def delay_s(self, attempt: int, u: float) -> float:
        """Return the wait before retry `attempt` (counted from 0); `u` is uniform in [0, 1)."""
        # 2 ** 32 is far beyond any cap; a larger exponent would only build huge integers.
        ceiling: float = min(self.most_s, self.first_s * 2.0 ** min(attempt, 32))
        return ceiling * (0.1 + 0.9 * u)
