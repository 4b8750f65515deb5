"""Numbers of a context as z-scores, for the vw policy: what was learned before decides what is much.

Always holds: asking changes nothing; a number whose name was never learned is left out, like one that is the
mean. What is kept is a line of JSON in front of the model.
"""

from __future__ import annotations

import json
from typing import Final

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.core.features import Features
from offer_optimizer.policy.encoding import Encoder

NAMES_MAX: Final = 1024
"""Names of numbers that are known; further ones are left out."""


class VwScores:
    """Means and deviations of the numbers of contexts."""

    def __init__(self) -> None:
        self._encoder = Encoder(NAMES_MAX + 1, 0)

    def standardised(self, context: Features) -> Features:
        """Return the context with z-scores for numbers."""
        return Features(context.categories, self._encoder.scores(context), context.tags)

    def learn(self, context: Features) -> None:
        """Move means and deviations by the numbers of one context."""
        self._encoder.learn(Features(numbers=context.numbers))

    def save(self) -> bytes:
        """Return the state as one line."""
        return json.dumps(self._encoder.describe(), separators=(",", ":")).encode() + b"\n"

    def restore(self, state: bytes) -> bytes:
        """Take over the line that a state begins with, and return what follows it. Raises PolicyFault."""
        line, _, rest = state.partition(b"\n")
        try:
            self._encoder.restore(json.loads(line))
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise PolicyFault(f"load: means and deviations are damaged: {type(error).__name__}") from error
        return rest
