"""Another reward than the log's own: a column or an outcome by name, CEL over feedback, or a function.

A log that knows other rewards offers them by `with_reward`; which texts it takes is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import show
from offer_optimizer.core.log import BadLine, Floats, Log, LogRows, Vocabulary
from offer_optimizer.evaluate.formula_rewards import FormulaRewards, logged_catalogs

Reward: TypeAlias = "str | Callable[[LogRows], Floats]"


@runtime_checkable
class HasRewards(Protocol):
    """A log that can be read with another reward."""

    def with_reward(self, reward: str) -> Log:
        """Return the same log with another reward. Raises InvalidInput naming those that there are."""
        ...


def rewarded(log: Log, reward: Reward) -> Log:
    """Return a log with another reward. Raises InvalidInput where the log has only its own."""
    if not isinstance(reward, str):
        return FunctionRewards(log, reward)
    if isinstance(log, HasRewards):
        return log.with_reward(reward)
    if logged_catalogs(log):
        return FunctionRewards(log, FormulaRewards(log, reward))
    raise InvalidInput("reward", f"{show(reward)}: {log.name} has no reward but its own")


class FunctionRewards:
    """A log whose rewards are a function of its rows, shape (n,). Implements core.log.Log."""

    def __init__(self, log: Log, function: Callable[[LogRows], Floats]) -> None:
        self._log = log
        self._function = function
        self.catalogs = logged_catalogs(log)

    @property
    def name(self) -> str:
        """See Log."""
        return self._log.name

    @property
    def has_visitors(self) -> bool:
        """See Log."""
        return self._log.has_visitors

    @property
    def vocabulary(self) -> Vocabulary:
        """See Log."""
        return self._log.vocabulary

    @property
    def bad_lines(self) -> Sequence[BadLine]:
        """See Log."""
        return self._log.bad_lines

    @property
    def bad_line_count(self) -> int:
        """See Log."""
        return self._log.bad_line_count

    @property
    def notes(self) -> Sequence[str]:
        """See Log."""
        return self._log.notes

    def batches(self) -> Iterator[LogRows]:
        """See Log. Raises InvalidInput for another shape, or a reward that is not finite."""
        for rows in self._log.batches():
            reward = np.asarray(self._function(rows), dtype=np.float64)
            if reward.shape != rows.reward.shape:
                raise InvalidInput("reward", f"has shape {reward.shape}, expected {rows.reward.shape}")
            if not np.isfinite(reward).all():
                raise InvalidInput("reward", "makes a number that is not finite")
            yield replace(rows, reward=reward)
