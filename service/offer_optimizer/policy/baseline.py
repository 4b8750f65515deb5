"""The baseline policy: what the business would show without a model. It never learns and has no state.

Always holds: the answer depends on ids alone, not on the order in which offers are listed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import Features
from offer_optimizer.policy.contract import Action, Example


class BaselinePolicy:
    """Mass 1 on the offer that comes first in `baseline`.

    Where none of the list is offered, mass 1 on the least id by code points: a service that can show nothing
    there need not ask, but whoever asks gets a distribution. One foreseeable offer rather than all evenly,
    because evenly would hand out the dearest coupon to somebody.
    """

    def __init__(self, baseline: Sequence[str]) -> None:
        self._rank = {offer_id: rank for rank, offer_id in reversed(list(enumerate(baseline)))}

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:  # noqa: ARG002
        """See contract."""
        if not actions:
            raise InvalidInput("actions", "are empty, at least 1 is needed")
        unranked = len(self._rank)
        places = [(self._rank.get(action.id, unranked), action.id) for action in actions]
        answer = np.zeros(len(actions), dtype=np.float64)
        answer[places.index(min(places))] = 1.0
        return answer

    def learn(self, example: Example) -> None:
        """Do nothing."""

    def save(self) -> bytes:
        """Return no bytes: there is no state."""
        return b""

    def close(self) -> None:
        """Do nothing."""
