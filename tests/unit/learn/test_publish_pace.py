"""How often models are published, however many learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.features import EMPTY
from offer_optimizer.learn.publish import BYTES_PER_S, Publisher
from offer_optimizer.learn.trainer import Model
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.uniform import UniformPolicy
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.snapshots import SnapshotStore

ACTIONS = (Action("a", EMPTY), Action("b", EMPTY))


class SameAnswer:
    """A verifier whose child agrees."""

    def canary_pmf(self, epoch: Epoch, state: bytes, actions: tuple[Action, ...]) -> Pmf64:
        return UniformPolicy().pmf(EMPTY, actions)


class Large(UniformPolicy):
    """A policy whose state has 4 MB, a tenth of a second's worth of bytes."""

    def save(self) -> bytes:
        return bytes(BYTES_PER_S // 10)


@dataclass
class Desk:
    """A publisher of ten models with a clock that the test turns."""

    now_us: int = 10_000_000
    policy: type[UniformPolicy] = UniformPolicy
    models: list[Model] = field(default_factory=list)

    def __post_init__(self) -> None:
        store = SnapshotStore(MemoryFiles(directories=("/s",)), Path("/s"))
        self.publisher = Publisher(store, SameAnswer(), lambda: self.now_us, 500_000, 50_000)
        for number in range(10):
            model = Model(f"p{number}", bytes([number] * 16), "uniform", self.policy())
            self.models.append(model)

    def round(self) -> list[str]:
        """Publish what is due, the longest waiting first, and return which placements that were."""
        found = []
        for model in sorted(self.models, key=self.publisher.published_us):
            if self.publisher.is_due(model):
                epoch = Epoch(model.placement_id, 1, model.policy_epoch, "")
                self.publisher.publish(model, epoch, 1, ACTIONS)
                found.append(model.placement_id)
        self.now_us += 100_000
        return found

    def learn(self) -> None:
        """Let every model meet an example."""
        for model in self.models:
            model.policy.learn(Example(EMPTY, ACTIONS, 0, 0.5, 1.0))
            model.learned_count += 1


def rounds(desk: Desk, count: int) -> list[list[str]]:
    """Return what was published in each of so many rounds, all learning all the time."""
    published = []
    for _ in range(count):
        desk.learn()
        published.append(desk.round())
    return published


def test_ten_models_that_learn_all_the_time_are_published_twice_a_second_few_a_round() -> None:
    published = rounds(Desk(), 50)
    assert max(map(len, published)) == 3
    times = {name: [at for at, found in enumerate(published) if name in found] for name in published[0]}
    assert all(np.diff(own).max() <= 6 for own in times.values())


def test_large_models_take_turns_as_far_apart_as_their_bytes_take_to_write() -> None:
    published = rounds(Desk(policy=Large), 31)
    assert [one for found in published[1:] for one in found] == [f"p{at % 10}" for at in range(2, 32)]
    assert [len(found) for found in published[1:]] == [1] * 30


def test_a_clock_that_went_back_holds_nothing_up() -> None:
    desk = Desk()
    desk.learn()
    first = desk.round()
    desk.now_us -= 5_000_000
    desk.learn()
    assert desk.round()[0] not in first
