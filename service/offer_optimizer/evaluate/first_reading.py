"""The first reading of a log: the range of its rewards, and what a reward model learns from it."""

from __future__ import annotations

import math

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import show
from offer_optimizer.core.log import LogRows
from offer_optimizer.evaluate.expectations import Expectations, Fitted
from offer_optimizer.evaluate.reward_model import RewardSums
from offer_optimizer.evaluate.target import LogFacts

REWARD_MODELS = ("mean",)


class FirstReading:
    """Takes the batches of a log; `model` names the reward model, None for none."""

    def __init__(self, model: str | None) -> None:
        if model is not None and model not in REWARD_MODELS:
            raise InvalidInput("reward_model", f"{show(model)} is none of {', '.join(REWARD_MODELS)}")
        self._fits = model is not None
        self._sums: RewardSums | None = None
        self._row_count = 0
        self._low, self._high = math.inf, -math.inf

    def add(self, rows: LogRows, offer_count: int) -> None:
        """Take the next rows."""
        self._row_count += len(rows)
        self._low = min(self._low, float(rows.reward.min()))
        self._high = max(self._high, float(rows.reward.max()))
        if self._fits:
            sums = RewardSums.of(rows.visitor, rows.chosen, rows.reward, offer_count)
            self._sums = sums if self._sums is None else self._sums + sums

    def facts(self) -> LogFacts:
        """Return what was found."""
        return LogFacts(self._row_count, self._low, self._high)

    def expectations(self) -> Expectations | None:
        """Return the fitted reward model, None where none was asked for or there were no rows."""
        return None if self._sums is None else Fitted(self._sums.fit())
