"""Contexts as rows of fixed width, for peers that take matrices: what one of their users would write.

A column for each value of each category (all values are known before, which a live system can't have: a
favour to the peers), one for each number as online z-score, and the constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from offer_optimizer.core.features import Features
from offer_optimizer.policy.encoding import Encoder


class PeerColumns:
    """The columns of one problem. Only `learn` moves means and deviations."""

    def __init__(self, contexts: Sequence[Features]) -> None:
        pairs = sorted({pair for context in contexts for pair in context.categories})
        names = sorted({name for context in contexts for name, _ in context.numbers})
        self._flags = {pair: 1 + at for at, pair in enumerate(pairs)}
        self._numbers = {name: 1 + len(pairs) + at for at, name in enumerate(names)}
        self._scores = Encoder(len(names) + 1, 0)
        self.width = 1 + len(pairs) + len(names)

    def encode(self, context: Features) -> npt.NDArray[np.float64]:
        """Return the row of a context, shape (width,); a number never learned is 0."""
        row = np.zeros(self.width)
        row[0] = 1.0
        for pair in context.categories:
            row[self._flags[pair]] = 1.0
        for name, score in self._scores.scores(context):
            row[self._numbers[name]] = score
        return row

    def learn(self, context: Features) -> None:
        """Move means and deviations by one context."""
        self._scores.learn(Features(numbers=context.numbers))
