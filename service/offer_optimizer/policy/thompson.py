"""The thompson policy: each offer as likely as it is to be the best of all, whatever the context.

Rewards in [0, 1] make a Beta posterior for each offer, from Beta(1, 1); a reward of 0.3 counts as 0.3 of a
success and 0.7 of a failure (Agrawal and Goyal 2012 draw a coin instead; the fraction needs no chance).
Always holds: the pmf is integrated, not sampled; offers are known by id; asking changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np
from pydantic import Field

from offer_optimizer.core import limits
from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import InvalidInput, PolicyFault
from offer_optimizer.core.features import Features
from offer_optimizer.policy.best_of import best_of
from offer_optimizer.policy.contract import Action, Example, check_example
from offer_optimizer.policy.distribution import distribution
from offer_optimizer.policy.options import Options
from offer_optimizer.policy.state import pack, unpack

LEARNING_VERSION: Final = "1"
"""Changes whenever the same options and examples would give another model; part of the policy epoch."""
WEIGHT_CAP: Final = 16.0
"""Most that one example may count for because others like it were thinned out. Biased beyond it."""
OFFERS_MAX: Final = limits.OFFERS
"""Offers with a posterior of their own; further ones stay at the prior."""
_ANSWERS_KEPT: Final = 256


class ThompsonOptions(Options):
    """Options of the thompson policy.

    `half_life` is after how many examples what was learned counts half; None never forgets.
    """

    half_life: Annotated[float, Field(ge=10.0, le=1e9)] | None = None


class ThompsonPolicy:
    """Thompson sampling of offers, context-free, by quadrature."""

    def __init__(self, options: ThompsonOptions, state: bytes | None = None) -> None:
        """Start a new model, or continue one. Raises PolicyFault when `state` is not of these options."""
        content = json.dumps(options.canonical(), sort_keys=True, separators=(",", ":"))
        self._title = f"offer-optimizer thompson {LEARNING_VERSION} {content}"
        self._kept = 1.0 if options.half_life is None else 0.5 ** (1.0 / options.half_life)
        # Successes, failures, and at which example they were last brought up to date.
        self._seen: dict[str, tuple[float, float, int]] = {}
        self._count = 0
        self._answers: dict[int, tuple[Sequence[Action], int, list[float]]] = {}
        self._is_closed = False
        if state is not None:
            self._restore(state)

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:  # noqa: ARG002
        """See contract. Safe to call from several threads."""
        self._check_open()
        if not actions:
            raise InvalidInput("actions", "are empty, at least 1 is needed")
        kept = self._answers.get(id(actions))
        # It keeps the tuple that it belongs to, so no other one can have the same id.
        if kept is not None and kept[0] is actions and kept[1] == self._count:
            return np.array(kept[2])
        answer = distribution(best_of([self._posterior(action.id) for action in actions]), len(actions))
        if isinstance(actions, tuple):
            if len(self._answers) >= _ANSWERS_KEPT:
                self._answers = {}
            self._answers[id(actions)] = (actions, self._count, answer)
        return np.array(answer)

    def learn(self, example: Example) -> None:
        """See contract."""
        self._check_open()
        check_example(example)
        self._count += 1
        offer_id = example.actions[example.chosen].id
        if offer_id not in self._seen and len(self._seen) >= OFFERS_MAX:
            return
        success, failure = self._evidence(offer_id)
        weight = min(example.weight, WEIGHT_CAP)
        self._seen[offer_id] = (
            success + weight * example.reward,
            failure + weight * (1.0 - example.reward),
            self._count,
        )

    def save(self) -> bytes:
        """See contract."""
        self._check_open()
        seen = [[offer_id, *evidence] for offer_id, evidence in self._seen.items()]
        return pack(self._title, {"count": self._count, "seen": seen}, {})

    def close(self) -> None:
        """See contract."""
        self._is_closed = True

    def remarks(self) -> tuple[str, ...]:
        """See contract.Remarking."""
        full = len(self._seen) >= OFFERS_MAX
        return (f"offers: {OFFERS_MAX} are known, new ones are not learned",) if full else ()

    def _check_open(self) -> None:
        if self._is_closed:
            raise PolicyFault("the policy is closed")

    def _evidence(self, offer_id: str) -> tuple[float, float]:
        success, failure, at = self._seen.get(offer_id, (0.0, 0.0, self._count))
        remaining = self._kept ** (self._count - at)
        return success * remaining, failure * remaining

    def _posterior(self, offer_id: str) -> tuple[float, float]:
        success, failure = self._evidence(offer_id)
        return 1.0 + success, 1.0 + failure

    def _restore(self, state: bytes) -> None:
        values, _ = unpack(self._title, state)
        try:
            self._count = int(values["count"])
            self._seen = {
                str(offer_id): (float(success), float(failure), int(at))
                for offer_id, success, failure, at in values["seen"]
            }
        except (KeyError, TypeError, ValueError) as error:
            raise PolicyFault(f"load: the state is damaged: {type(error).__name__}") from error
        for success, failure, at in self._seen.values():
            if not (0.0 <= success < np.inf and 0.0 <= failure < np.inf and 0 <= at <= self._count):
                raise PolicyFault("load: evidence is out of range")
