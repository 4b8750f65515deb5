"""How often models are published, however many learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.features import EMPTY
from offer_optimizer.learn.publish import Publisher
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


@dataclass
class Desk:
    """A publisher with a clock that the test turns."""

    now_us: int = 10_000_000
    models: list[Model] = field(default_factory=list)

    def __post_init__(self) -> None:
        store = SnapshotStore(MemoryFiles(directories=("/s",)), Path("/s"))
        self.publisher = Publisher(store, SameAnswer(), lambda: self.now_us, 500_000, 200_000)
        for number in range(3):
            model = Model(f"p{number}", bytes([number] * 16), "uniform", UniformPolicy())
            self.models.append(model)

    def round(self) -> list[str]:
        """Publish what is due, the longest waiting first, and return which placements that were."""
        found = []
        for model in sorted(self.models, key=self.publisher.published_us):
            if self.publisher.is_due(model):
                epoch = Epoch(model.placement_id, 1, model.policy_epoch, "")
                self.publisher.publish(model, epoch, 1, ACTIONS)
                found.append(model.placement_id)
        return found

    def learn(self) -> None:
        """Let every model meet an example."""
        for model in self.models:
            model.policy.learn(Example(EMPTY, ACTIONS, 0, 0.5, 1.0))
            model.learned_count += 1


def test_models_that_learn_all_the_time_take_turns_a_pace_apart() -> None:
    desk, published = Desk(), []
    for _ in range(12):
        desk.learn()
        published.append(desk.round())
        desk.now_us += 100_000
    assert [one for one in published if one] == [["p0"], ["p1"], ["p2"], ["p0"], ["p1"], ["p2"]]


def test_a_clock_that_went_back_holds_nothing_up() -> None:
    desk = Desk()
    desk.learn()
    desk.round()
    desk.now_us -= 5_000_000
    desk.learn()
    assert desk.round() == ["p1"]
