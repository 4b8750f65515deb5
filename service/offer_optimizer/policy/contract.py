"""What a policy is: a rule from context and actions to a pmf, which learns from examples.

Every entry of the registry passes the conformance suite in tests/policies. A policy never draws: the
decision path does. It knows neither placements nor feedback, only features and scaled rewards.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import Features


class Action:
    """An offer as policies see it: id, attributes, the id of the offer that it is `like`, "" for none, and
    the scaled reward in [0, 1] that is `expected` of it, None where nobody said.

    What it is like and what is expected may set where it starts from, before it has examples of its own.
    Equal content gives an equal `key`. Built once per catalog revision and reused, so that policies may cache
    by `key` (16 bytes).
    """

    __slots__ = ("attributes", "expected", "id", "key", "like")

    def __init__(
        self,
        id: str,  # noqa: A002  (the field's name)
        attributes: Features,
        like: str = "",
        expected: float | None = None,
    ) -> None:
        self.id = id
        self.attributes = attributes
        self.like = like
        self.expected = expected
        content = repr((id, attributes.categories, attributes.numbers, attributes.tags))
        if like:
            # Left out where there is none: so actions keep the keys that saved models know them by.
            content += f" like {like}"
        if expected is not None:
            content += f" expected {expected!r}"
        self.key = hashlib.blake2b(content.encode(), digest_size=16).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Action) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Action({self.id!r})"


@dataclass(frozen=True, slots=True)
class Example:
    """One lesson: `reward` is scaled to [0, 1]; `propensity` is in (0, 1] and the logged one;
    `weight` is at least 1 and more than 1 only where silence was thinned out with a logged probability.
    """

    context: Features
    actions: tuple[Action, ...]
    chosen: int
    propensity: float
    reward: float
    weight: float = 1.0


class Policy(Protocol):
    """A rule from context and actions to a pmf."""

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        """Return the distribution over `actions` (at least one): float64, shape (n,), sums to 1.

        Has no side effect that a later answer could show. Raises PolicyFault when the model's answer
        is not a distribution.
        """
        ...

    def learn(self, example: Example) -> None:
        """Update from one example. The order of examples matters and is the ledger's."""
        ...

    def save(self) -> bytes:
        """Return the whole state: loading it and going on equals never having stopped, byte for byte.

        Raises PolicyFault when the state is not finite.
        """
        ...

    def close(self) -> None:
        """Let go of what the policy holds. May be repeated.

        Where there was something, later calls raise PolicyFault.
        """
        ...


@runtime_checkable
class Remarking(Protocol):
    """A policy with something to say about how it answers."""

    def remarks(self) -> tuple[str, ...]:
        """Return a sentence for each part that is answered more cheaply than the options ask, and why; and
        which policy answers, where that was left open.

        No visitor's value is in it. Empty where there is nothing to say.
        """
        ...


def remarks(policy: Policy) -> tuple[str, ...]:
    """Return what `Remarking` says, nothing for policies without remarks."""
    return policy.remarks() if isinstance(policy, Remarking) else ()


def check_example(example: Example) -> None:
    """Raise InvalidInput unless the numbers of an example are in range."""
    if not 0 <= example.chosen < len(example.actions):
        raise InvalidInput("example.chosen", f"{example.chosen} is not one of {len(example.actions)} actions")
    if not 0.0 <= example.reward <= 1.0:
        raise InvalidInput("example.reward", f"{example.reward} is outside [0, 1]")
    if not 0.0 < example.propensity <= 1.0:
        raise InvalidInput("example.propensity", f"{example.propensity} is outside (0, 1]")
    if not 1.0 <= example.weight < math.inf:
        raise InvalidInput("example.weight", f"{example.weight} is not a finite number of at least 1")
