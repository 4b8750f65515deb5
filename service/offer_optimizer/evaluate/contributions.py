"""What the features of a context contribute to an offer's probability: each left out in turn, one model.

The model asked is the one in service now, which may not be the one that decided: say so beside the figures.
Knows neither ledger nor decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from offer_optimizer.core.catalog import Placement
from offer_optimizer.core.decision import ModelVersion
from offer_optimizer.core.errors import DamagedFile, InvalidInput, NotFound, PolicyFault
from offer_optimizer.core.features import Features
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Policy
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.snapshots import SnapshotStore

T = TypeVar("T")

LISTED: Final = 10
LEAST_CHANGE: Final = 1e-6
"""Below it a change is rounding: pmfs are computed in single precision."""


@dataclass(frozen=True, slots=True)
class CurrentModel:
    """The model that a placement serves now."""

    version: ModelVersion
    policy: Policy


@dataclass(frozen=True, slots=True)
class Contribution:
    """`change` is the chosen offer's probability by the model, less what it is without the feature."""

    feature: str
    change: float


@dataclass(frozen=True, slots=True)
class Contributions:
    """The largest changes, the largest first, by the model of `version`.

    `probability` is that model's for the chosen offer, before baseline and floor are mixed in.
    """

    version: ModelVersion
    probability: float
    largest: tuple[Contribution, ...]


def contributions(
    model: CurrentModel, context: Features, actions: Sequence[Action], chosen: int
) -> Contributions | None:
    """Leave each feature of a context out in turn; a tag set counts as one. At most 200 pmfs are computed.

    `chosen` indexes `actions` (at least one). None where the model's answer is not a distribution.
    """
    try:
        whole = float(model.policy.pmf(context, actions)[chosen])
        found = [
            Contribution(name, whole - float(model.policy.pmf(without, actions)[chosen]))
            for name, without in _left_out(context)
        ]
    except PolicyFault:
        return None
    found = [one for one in found if abs(one.change) >= LEAST_CHANGE]
    found.sort(key=lambda one: (-abs(one.change), one.feature))
    return Contributions(model.version, whole, tuple(found[:LISTED]))


def current_model(snapshots: SnapshotStore, placement: Placement) -> CurrentModel | None:
    """Return the model that deciders serve at a placement; None when it can't be used."""
    name, options, baseline = placement.policy.name, placement.policy.options, placement.baseline
    try:
        epoch = epoch_of(placement).id
        file_name = snapshots.current_name(placement.id, epoch)
        if file_name is None:
            return CurrentModel(ModelVersion(epoch, 0), registry.create(name, options, baseline))
        snapshot = snapshots.load(placement.id, file_name)
        policy = registry.load_asked(name, options, baseline, snapshot.state)
    except (DamagedFile, InvalidInput, NotFound, PolicyFault):
        return None
    return CurrentModel(ModelVersion(epoch, snapshot.ledger_position), policy)


def _left_out(context: Features) -> Iterator[tuple[str, Features]]:
    """Yield each feature's name, and the context without it."""
    for index, (name, _) in enumerate(context.categories):
        yield name, replace(context, categories=_without(context.categories, index))
    for index, (name, _) in enumerate(context.numbers):
        yield name, replace(context, numbers=_without(context.numbers, index))
    for index, (name, _) in enumerate(context.tags):
        yield name, replace(context, tags=_without(context.tags, index))


def _without(items: tuple[T, ...], index: int) -> tuple[T, ...]:
    return items[:index] + items[index + 1 :]
