"""The uniform policy: every offer is as likely as any other. It never learns and has no state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import Features
from offer_optimizer.policy.contract import Action, Example


class UniformPolicy:
    """Mass 1/n on each of n offers."""

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:  # noqa: ARG002
        """See contract."""
        if not actions:
            raise InvalidInput("actions", "are empty, at least 1 is needed")
        return np.full(len(actions), 1.0 / len(actions), dtype=np.float64)

    def learn(self, example: Example) -> None:
        """Do nothing."""

    def save(self) -> bytes:
        """Return no bytes: there is no state."""
        return b""

    def close(self) -> None:
        """Do nothing."""
