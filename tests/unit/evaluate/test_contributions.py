"""Contributions: each feature left out in turn, by the model of today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offer_optimizer.core.decision import ModelVersion, Pmf64
from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.evaluate.contributions import CurrentModel, contributions, current_model
from offer_optimizer.evaluate.desks import with_contributions
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.snapshots import Snapshot, SnapshotStore
from tests.unit.api.fakes import STORY
from tests.unit.learn.worlds import placement

ACTIONS = (Action("a", EMPTY), Action("b", EMPTY))
VERSION = ModelVersion(bytes(16), 9)
CONTEXT = Features(
    categories=(("device", "phone"), ("land", "de")),
    numbers=(("cart", 2.0),),
    tags=(("seen", ("x", "y")),),
)


class Additive:
    """A policy whose probability of the first action is a sum over features."""

    def __init__(self) -> None:
        self.contexts: list[Features] = []
        self.is_broken = False

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        if self.is_broken:
            raise PolicyFault("not a distribution")
        self.contexts.append(context)
        names = {name for name, _ in (*context.categories, *context.numbers, *context.tags)}
        first = 0.25 + 0.125 * ("device" in names) - 0.0625 * ("cart" in names) + 0.25 * ("seen" in names)
        return np.array([first, 1.0 - first])

    def learn(self, example: Example) -> None:
        raise AssertionError("explaining teaches nothing")

    def save(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


def test_each_feature_counts_for_what_leaving_it_out_changes_the_largest_first() -> None:
    found = contributions(CurrentModel(VERSION, Additive()), CONTEXT, ACTIONS, 0)
    assert found is not None
    assert (found.version, found.probability) == (VERSION, 0.5625)
    changes = [(one.feature, one.change) for one in found.largest]
    assert changes == [("seen", 0.25), ("device", 0.125), ("cart", -0.0625)]


def test_the_other_offer_gets_the_opposite() -> None:
    found = contributions(CurrentModel(VERSION, Additive()), CONTEXT, ACTIONS, 1)
    assert found is not None
    assert found.largest[0].change == -0.25


def test_only_the_ten_largest_are_listed_and_every_feature_is_asked_about() -> None:
    numbers = tuple((f"n{index:02}", 1.0) for index in range(30))

    class ManyFeatures(Additive):
        def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
            self.contexts.append(context)
            first = sum(int(name[1:]) for name, _ in context.numbers) / 1000
            return np.array([first, 1.0 - first])

    policy = ManyFeatures()
    found = contributions(CurrentModel(VERSION, policy), Features(numbers=numbers), ACTIONS, 0)
    assert found is not None
    assert [one.feature for one in found.largest] == [f"n{index:02}" for index in range(29, 19, -1)]
    assert len(policy.contexts) == 31


def test_a_model_without_an_answer_contributes_nothing() -> None:
    policy = Additive()
    policy.is_broken = True
    assert contributions(CurrentModel(VERSION, policy), CONTEXT, ACTIONS, 0) is None


def test_a_story_is_weighed_only_with_a_model_a_context_and_a_choice() -> None:
    bare = replace(STORY, contributions=None)
    model = CurrentModel(VERSION, Additive())
    assert with_contributions(bare, None).contributions is None
    assert with_contributions(replace(bare, context=EMPTY), model).contributions is None
    unchosen = tuple(replace(candidate, is_chosen=False) for candidate in bare.candidates)
    assert with_contributions(replace(bare, candidates=unchosen), model).contributions is None
    weighed = with_contributions(bare, model).contributions
    assert weighed is not None
    assert [one.feature for one in weighed.largest] == ["device", "cart"]


@pytest.fixture
def snapshots() -> SnapshotStore:
    return SnapshotStore(MemoryFiles(directories=("/", "/snapshots")), Path("/snapshots"))


def test_without_a_snapshot_the_initial_model_is_the_current_one(snapshots: SnapshotStore) -> None:
    model = current_model(snapshots, placement())
    assert model is not None
    assert (model.version.epoch, model.version.position) == (epoch_of(placement()).id, 0)
    assert model.policy.pmf(EMPTY, ACTIONS).sum() == pytest.approx(1.0)


def test_the_published_snapshot_is_the_current_model(snapshots: SnapshotStore) -> None:
    own = placement()
    policy = registry.create(own.policy.name, own.policy.options, own.baseline)
    policy.learn(Example(EMPTY, ACTIONS, 0, 0.5, 1.0))
    epoch = epoch_of(own).id
    snapshots.publish(Snapshot(own.id, epoch, own.policy.name, 77, 5, 6, 1, policy.save()), 0)
    model = current_model(snapshots, own)
    assert model is not None
    assert model.version.position == 77
    assert model.policy.pmf(EMPTY, ACTIONS).tolist() == policy.pmf(EMPTY, ACTIONS).tolist()


def test_a_snapshot_of_something_else_is_no_model(snapshots: SnapshotStore) -> None:
    own = placement()
    epoch = epoch_of(own).id
    snapshots.publish(Snapshot(own.id, epoch, "vw", 77, 5, 6, 1, b"nonsense"), 0)
    assert current_model(snapshots, own) is None
