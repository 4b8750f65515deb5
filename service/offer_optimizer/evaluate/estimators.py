"""Estimators of a target policy's value from another policy's log, by name.

Each turns a batch into a partial result; partial results add up in any order, so a log of any size needs the
memory of one batch. Formulas, papers and assumptions are with the classes. The value is the mean reward of a
decision, and visitors are what is independent: rows of one visitor are not.

What their intervals claim: mean, ips, snips, dr and sndr cover the policy's value; clipped-ips, switch-dr and
dros cover it when widened by their bias bound; dm has none. Guaranteed intervals exist for mean, ips, snips
and clipped-ips, which have no fitted part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.clusters import Flags
from offer_optimizer.evaluate.differences import difference, paired_difference
from offer_optimizer.evaluate.estimate import Estimate
from offer_optimizer.evaluate.estimators_modelled import DM, DR, SNDR, DRos, SwitchDR, doubly_robust
from offer_optimizer.evaluate.estimators_weighted import IPS, SNIPS, ClippedIPS, MeanReward
from offer_optimizer.evaluate.partial import Partial

__all__ = [
    "DM",
    "DR",
    "ESTIMATORS",
    "IPS",
    "SNDR",
    "SNIPS",
    "ClippedIPS",
    "DRos",
    "Estimate",
    "Estimator",
    "MeanReward",
    "Partial",
    "SwitchDR",
    "difference",
    "doubly_robust",
    "estimator_of",
    "needs_reward_model",
    "paired_difference",
]


class Estimator(Protocol):
    """Turns batches into partial results."""

    @property
    def name(self) -> str:
        """What it is called in reports: lower case, short."""
        ...

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """Return the part of a batch's rows, or of those where `keep`, shape (n,), is true."""
        ...


ESTIMATORS: Final[Mapping[str, Callable[[], Estimator]]] = MappingProxyType(
    {
        "dm": DM,
        "ips": IPS,
        "clipped-ips": ClippedIPS,
        "snips": SNIPS,
        "dr": DR,
        "sndr": SNDR,
        "switch-dr": SwitchDR,
        "dros": DRos,
        "mean": MeanReward,
    }
)
"""Every estimator with its own defaults, by name."""

_MODELLED: Final = frozenset({"dm", "dr", "sndr", "switch-dr", "dros"})


def estimator_of(name: str) -> Estimator:
    """Return an estimator by its name. Raises InvalidInput."""
    made = ESTIMATORS.get(name)
    if made is None:
        raise InvalidInput("estimator", f"{name!r} is none of {', '.join(ESTIMATORS)}")
    return made()


def needs_reward_model(estimator: Estimator) -> bool:
    """Return whether its batches need the columns of a reward model."""
    return estimator.name in _MODELLED
